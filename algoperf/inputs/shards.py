"""Files of records, what can be wrong with them, and reading them at random."""

import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from algoperf.disk import file_sha256
from algoperf.errors import UserError
from algoperf.inputs.extra import require


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
        if hashes and self.sha256 is not None and file_sha256(self.path) != self.sha256:
            return f"{self.path} is damaged: its hash is not the recorded one"
        return None


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


_SPARE_FILES = 512


def allow_open_files(count: int) -> None:
    """Lets the process hold `count` more files open: a reader keeps each of its shards open.

    Raises:
        UserError: If the machine does not allow that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = len(list(Path("/dev/fd").iterdir()))
    needed = there + count + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < there + count:
        raise UserError(
            f"{count} files have to be open at once, and this machine allows {hard}: raise its "
            "limit (ulimit -Hn, or /etc/security/limits.conf)."
        )
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def sizes_file(shard: Path) -> Path:
    """The file with the sizes of a shard's records."""
    return shard.with_suffix(".sizes.npy")
