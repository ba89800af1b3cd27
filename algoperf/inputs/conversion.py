"""What is to be converted: the jobs of a preparation, as a data set describes them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from algoperf.errors import UserError
from algoperf.inputs.shards import Records
from algoperf.inputs.stores import PreparedStore, TfdsStore

FORMAT = 1
"""Of shards and manifest; another number makes everything be written anew."""


@dataclass(frozen=True)
class Kept:
    """A record to be written.

    Attributes:
        data: Its bytes.
        size: Its size in each dimension, for records that are packed or are blocks of examples.
        examples: How many examples it holds.
        note: What was done to it that should be counted, such as a truncation.
    """

    data: bytes
    size: tuple[int, ...] = ()
    examples: int = 1
    note: str | None = None


@dataclass(frozen=True)
class Dropped:
    """Examples that are left out, and why."""

    reason: str
    examples: int = 1


Converted = Iterator[Kept | Dropped]


@dataclass(frozen=True)
class Job:
    """One shard to be written.

    Attributes:
        name: Of the shard.
        part: Which part of the store it belongs to.
        sources: The files that it is made of.
        convert: Reads them.
        recipe: Whatever else decides its content, such as the hash of a vocabulary.
    """

    name: str
    part: str
    sources: Sequence[Path]
    convert: Callable[[], Converted] = field(repr=False)
    recipe: str = ""

    @property
    def file(self) -> str:
        """File name of the shard."""
        return f"{self.name}.array_record"

    def origin(self) -> dict[str, Any]:
        """What decides the shard's content; where it has changed, the shard is written anew."""
        states = [(path.name, path.stat()) for path in self.sources]
        sources = [[name, state.st_size, state.st_mtime_ns] for name, state in states]
        return {"format": FORMAT, "part": self.part, "recipe": self.recipe, "sources": sources}


Tell = Callable[[str], None]


@dataclass(frozen=True)
class Preparation:
    """How the files of a publisher become the records of a store.

    Attributes:
        store: Where they go.
        plan: (root of all data, folder of the store, tell) -> the shards to be written; raises
            `UserError` where files are missing.
        source: Examples in the publisher's files, before anything is dropped, by part; parts
            without a published number are not checked.
    """

    store: PreparedStore
    plan: Callable[[Path, Path, Tell], list[Job]]
    source: Mapping[str, int] = field(default_factory=dict)


def open_tfds(root: Path, sources: Mapping[str, tuple[TfdsStore, str]]) -> dict[str, Records]:
    """The records of builders' folders that a preparation starts from.

    Args:
        root: The folder of all data.
        sources: Name to store and the store's part.

    Raises:
        UserError: Lists everything that is not there.
    """
    stores = dict.fromkeys(store for store, _ in sources.values())
    if faults := [fault for store in stores for fault in store.faults(root)]:
        raise UserError.of_many("What is to be converted is not there:", faults)
    return {name: store.open(root, part) for name, (store, part) in sources.items()}


def pieces(
    name: str,
    part: str,
    records: Records,
    convert: Callable[[Records], Converted],
    *,
    size: int,
    recipe: str = "",
) -> list[Job]:
    """A shard for each `size` records of another store.

    Args:
        name: Of the shards; their number is appended.
        part: Which part they belong to.
        records: What is converted.
        convert: A piece of that -> what is written.
        size: Records in a piece.
        recipe: Whatever else decides the content.
    """
    return [
        Job(
            f"{name}-{start // size:04d}",
            part,
            [shard.path for shard in records.overlapping(start, stop)],
            partial(convert, records.piece(start, stop)),
            f"{recipe}{start}-{stop}",
        )
        for start in range(0, len(records), size)
        for stop in [min(start + size, len(records))]
    ]


def files_of(folder: Path, pattern: str, what: str) -> list[Path]:
    """The files that match, in order.

    Raises:
        UserError: If there is none.
    """
    found = sorted(folder.glob(pattern))
    if not found:
        raise UserError(f"There is no {what} in {folder} ({pattern}).")
    return found
