"""Folders of shards in the format array_record, written by TensorFlow Datasets or by us."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from algoperf.disk import file_sha256
from algoperf.inputs.extra import require
from algoperf.inputs.shards import Records, Shard, allow_open_files, sizes_file

MANIFEST = "manifest.json"


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

    def open(self, root: Path, part: str) -> Records:
        """The records of a part."""
        ...


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
        return file_sha256(self._path(root) / "dataset_info.json")

    def open(self, root: Path, part: str) -> Records:
        tfds = require("tensorflow_datasets")
        shards = [shard for shard in self.shards(root) if shard.part == part]
        allow_open_files(len(shards))
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
        allow_open_files(len(shards))
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
