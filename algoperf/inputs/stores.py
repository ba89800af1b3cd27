"""Where records lie on disk: array_record shards that TensorFlow Datasets or we have written."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from algoperf.errors import UserError
from algoperf.inputs.extra import require

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """A file of records, as its index describes it.

    Attributes:
        path: The file.
        part: The part of the store that it belongs to.
        records: How many it holds.
        examples: How many examples those are; a record may be a block of them.
        bytes: Its size; None where the index does not say.
        sha256: Its hash; None where the index does not say.
        sizes: The file with the size of each record, if records have sizes.
    """

    path: Path
    part: str
    records: int
    examples: int
    bytes: int | None = None
    sha256: str | None = None
    sizes: Path | None = None

    def fault(self) -> str | None:
        """What is wrong with it at first sight; reads nothing."""
        for path in filter(None, (self.path, self.sizes)):
            if not path.is_file():
                return f"{path} is missing"
        found = self.path.stat().st_size
        if self.bytes is not None and found != self.bytes:
            kind = "truncated" if found < self.bytes else "changed"
            return f"{self.path} is {kind}: {found} bytes of {self.bytes}"
        return None

    def deep_fault(self, *, hashes: bool) -> str | None:
        """What is wrong with it once it is opened and, if asked for, hashed."""
        if fault := self.fault():
            return fault
        module = require("array_record.python.array_record_module")
        try:
            reader = module.ArrayRecordReader(str(self.path))
            found = reader.num_records()
            reader.close()
        except RuntimeError as error:
            return f"{self.path} is truncated or damaged: {error or 'it has no index of records'}"
        if found != self.records:
            return f"{self.path} holds {found} records, {self.records} belong there"
        if hashes and self.sha256 is not None and hash_of_file(self.path) != self.sha256:
            return f"{self.path} is damaged: its hash is not the recorded one"
        return None


def hash_of_file(path: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store(Protocol):
    """A folder of records, below the root of all data."""

    def faults(self, root: Path) -> list[str]:
        """What is missing at first sight, in milliseconds."""
        ...

    def shards(self, root: Path) -> Sequence[Shard]:
        """Its files; only where `faults` finds nothing."""
        ...

    def fingerprint(self, root: Path) -> str:
        """Identifies what it holds: SHA-256 of its index."""
        ...

    def open(self, root: Path, part: str) -> "Records":
        """The records of a part."""
        ...


@dataclass(frozen=True)
class Records:
    """Records of a part, read at random and by many threads at once.

    Attributes:
        shards: The files, in the order of the records.
        read: Indices to raw records.
        parse: A raw record to the record.
        first: Where the part begins, for parts that are a piece of their files.
        count: How many there are.
    """

    shards: Sequence[Shard]
    read: Callable[[Sequence[int]], Sequence[Any]]
    parse: Callable[[Any], Any]
    first: int
    count: int

    def __len__(self) -> int:
        return self.count

    def piece(self, start: int, stop: int | None) -> "Records":
        """The records from `start` to `stop`."""
        stop = self.count if stop is None else stop
        return Records(self.shards, self.read, self.parse, self.first + start, stop - start)

    def overlapping(self, start: int, stop: int) -> list[Shard]:
        """The files that hold the records from `start` to `stop`."""
        ends = np.cumsum([shard.records for shard in self.shards]).tolist()
        return [
            shard
            for shard, end in zip(self.shards, ends, strict=True)
            if end > start + self.first and end - shard.records < stop + self.first
        ]

    def each(self, step: int = 256) -> Iterator[Any]:
        """All records in order, read some at a time."""
        for start in range(0, self.count, step):
            yield from self.take(range(start, min(start + step, self.count)))

    @cached_property
    def sizes(self) -> np.ndarray:
        """The size of each record, int (records, dimensions)."""
        whole = np.concatenate([np.load(shard.sizes) for shard in self.shards if shard.sizes])
        return whole[self.first : self.first + self.count]

    @cached_property
    def ends(self) -> np.ndarray:
        """For records that are blocks: examples up to the end of each, int64 (records,)."""
        return np.cumsum(self.sizes[:, 0], dtype=np.int64)

    def take(self, rows: Iterable[int] | np.ndarray) -> list[Any]:
        """The records at `rows`.

        Raises:
            UserError: If a file is damaged; names it.
        """
        places = [int(row) + self.first for row in rows]
        try:
            return [self.parse(raw) for raw in self.read(places)]
        except (RuntimeError, ValueError, IndexError, OSError) as error:
            raise self._damage(places, error) from error

    def _damage(self, places: Sequence[int], error: Exception) -> UserError:
        ends = np.cumsum([shard.records for shard in self.shards])
        for place in places:
            try:
                self.parse(self.read([place])[0])
            except (RuntimeError, ValueError, IndexError, OSError) as own:
                shard = self.shards[int(np.searchsorted(ends, place, side="right"))]
                return UserError(
                    f"{shard.path} is damaged: record {place} cannot be read ({own}). Delete it "
                    "and prepare the data again, or copy it anew; `algoperf data check` finds more."
                )
        return UserError(f"Reading {self.shards[0].path.parent} failed, and then did not: {error}")


@dataclass(frozen=True)
class TfdsStore:
    """A builder's folder of TensorFlow Datasets, in the format array_record.

    Attributes:
        folder: Below the root, without the version.
        version: The version whose examples the targets were set on.
        raw: Features that are left encoded, such as images.
    """

    folder: str
    version: str
    raw: tuple[str, ...] = ()

    def _path(self, root: Path) -> Path:
        return root / self.folder / self.version

    def _index(self, root: Path) -> dict[str, Any]:
        return json.loads((self._path(root) / "dataset_info.json").read_text())

    def faults(self, root: Path) -> list[str]:
        path = self._path(root)
        if not path.is_dir():
            others = sorted(p.parent.name for p in path.parent.glob("*/dataset_info.json"))
            there = f" (there is version {', '.join(others)})" if others else ""
            return [f"{path} is missing{there}"]
        try:
            index = self._index(root)
            version, form = index["version"], index.get("fileFormat", "tfrecord")
            splits = [split["shardLengths"] for split in index["splits"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return [f"{path / 'dataset_info.json'} cannot be read: {type(error).__name__} {error}"]
        if version != self.version:
            return [f"{path} holds version {version}; {self.version} is needed"]
        if form != "array_record":
            convert = (
                f"tfds convert_format --dataset_version_dir={path} --out_file_format=array_record "
                "--out_dir=NEW"
            )
            text = (
                f"{path} is in the format {form}, which only TensorFlow reads; where TensorFlow is "
                f"installed, `{convert}` converts it: put NEW in its place"
            )
            return [text]
        if not splits:
            return [f"{path / 'dataset_info.json'} lists no splits"]
        return [fault for shard in self.shards(root) if (fault := shard.fault())]

    def shards(self, root: Path) -> Sequence[Shard]:
        index = self._index(root)
        return [
            Shard(self._path(root) / file, split["name"], records, records)
            for split in index["splits"]
            for file, records in self._files(index["name"], split)
        ]

    @staticmethod
    def _files(name: str, split: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        lengths = split["shardLengths"]
        for place, records in enumerate(lengths):
            shard = f"{place:05d}-of-{len(lengths):05d}"
            yield (
                (
                    template.replace("{DATASET}", name)
                    .replace("{SPLIT}", split["name"])
                    .replace("{FILEFORMAT}", "array_record")
                    .replace("{SHARD_X_OF_Y}", shard)
                ),
                int(records),
            )

    def fingerprint(self, root: Path) -> str:
        return hash_of_file(self._path(root) / "dataset_info.json")

    def open(self, root: Path, part: str) -> Records:
        tfds = require("tensorflow_datasets")
        shards = [shard for shard in self.shards(root) if shard.part == part]
        builder = tfds.builder_from_directory(self._path(root))
        decoders = {name: tfds.decode.SkipDecoding() for name in self.raw}
        source = builder.as_data_source(split=part, decoders=decoders or None)
        count = sum(shard.records for shard in shards)
        return Records(shards, source.__getitems__, lambda example: example, 0, count)


@dataclass(frozen=True)
class PreparedStore:
    """What `algoperf data prepare` has written: shards, and a manifest that lists them.

    Attributes:
        folder: The data set's, below the root; the shards are in `prepared` below it.
        parse: A raw record to the record.
    """

    folder: str
    parse: Callable[[bytes], Any] = field(repr=False)

    def path(self, root: Path) -> Path:
        """Where the shards are."""
        return root / self.folder / "prepared"

    def manifest(self, root: Path) -> dict[str, Any]:
        """What was written, and from what."""
        return json.loads((self.path(root) / MANIFEST).read_text())

    def faults(self, root: Path) -> list[str]:
        path = self.path(root) / MANIFEST
        if not path.is_file():
            return [f"{path} is missing: the data are not prepared"]
        try:
            shards = self.shards(root)
        except (ValueError, KeyError, TypeError) as error:
            return [f"{path} cannot be read: {type(error).__name__} {error}"]
        return [fault for shard in shards if (fault := shard.fault())]

    def shards(self, root: Path) -> Sequence[Shard]:
        path = self.path(root)
        return [
            Shard(
                path=path / entry["file"],
                part=entry["part"],
                records=entry["records"],
                examples=entry["examples"],
                bytes=entry["bytes"],
                sha256=entry["sha256"],
                sizes=sizes_file(path / entry["file"]) if entry["sized"] else None,
            )
            for entry in self.manifest(root)["shards"]
        ]

    def fingerprint(self, root: Path) -> str:
        hashes = [(shard.part, shard.sha256) for shard in self.shards(root)]
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()

    def open(self, root: Path, part: str) -> Records:
        source = require("array_record.python.array_record_data_source")
        shards = [shard for shard in self.shards(root) if shard.part == part]
        # With the counts given, no file is opened before it is read.
        files = [_Instruction(str(s.path), 0, s.records, s.records) for s in shards if s.records]
        count = sum(shard.records for shard in shards)
        reader = source.ArrayRecordDataSource(files)
        return Records(shards, reader.__getitems__, self.parse, 0, count)


@dataclass(frozen=True)
class _Instruction:
    """Which records of a file to read, in the form that array_record takes."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


def sizes_file(shard: Path) -> Path:
    """The file with the sizes of a shard's records."""
    return shard.with_suffix(".sizes.npy")
