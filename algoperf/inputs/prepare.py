"""Converts what publishers ship into shards of records: once, shard by shard, and counted.

A shard is written under another name, and renamed when it is whole. Beside it lies a note of what
went in and what came out; a shard with such a note is not written again. The manifest is written
last, when all counts agree.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from algoperf.disk import file_sha256
from algoperf.errors import UserError
from algoperf.inputs.conversion import FORMAT, Dropped, Job, Tell
from algoperf.inputs.dataset import RecordDataset
from algoperf.inputs.extra import require
from algoperf.inputs.shards import sizes_file
from algoperf.inputs.stores import MANIFEST


class Watcher(Protocol):
    """Whoever watches a preparation."""

    def planned(self, total_bytes: int) -> None: ...

    def working(self, what: str) -> None: ...

    def done(self, source_bytes: int) -> None: ...


def prepare(dataset: RecordDataset, watcher: Watcher) -> None:
    """Writes the shards that are missing, and the manifest.

    Raises:
        UserError: If files are missing, damaged, or not as many as were published.
    """
    preparation = dataset.preparation
    if preparation is None:
        return
    root = dataset.data_root
    folder = preparation.store.path(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error}") from error
    jobs = preparation.plan(root, folder, watcher.working)
    weights = [sum(path.stat().st_size for path in job.sources) for job in jobs]
    watcher.planned(sum(weights))
    notes = []
    for job, weight in zip(jobs, weights, strict=True):
        notes.append(_finished(job, folder) or _write(job, folder, watcher.working))
        watcher.done(weight)
    _check_counts(dataset.name, preparation.source, notes)
    manifest = {"format": FORMAT, "data_set": dataset.name, "shards": notes}
    _write_whole(folder / MANIFEST, json.dumps(manifest, indent=1))


def _finished(job: Job, folder: Path) -> dict[str, Any] | None:
    """The note of a shard that is there already and made of the same files."""
    try:
        note = json.loads(_note_file(job, folder).read_text())
        whole = (folder / job.file).stat().st_size == note["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if whole and note["origin"] == job.origin() else None


def _note_file(job: Job, folder: Path) -> Path:
    return folder / f"{job.name}.json"


def _write(job: Job, folder: Path, tell: Tell) -> dict[str, Any]:
    """Converts one shard; what a stopped attempt left is overwritten."""
    path = folder / job.file
    unfinished = folder / f"{job.name}.partial"
    sizes, dropped, notes = [], Counter[str](), Counter[str]()
    examples = 0
    with _writing(unfinished) as write:
        for item in job.convert():
            if isinstance(item, Dropped):
                dropped[item.reason] += item.examples
                continue
            write(item.data)
            examples += item.examples
            sizes.append(item.size)
            if item.note:
                notes[item.note] += item.examples
            if len(sizes) % 100 == 0:
                tell(f"{job.name}: {examples:,} examples")
    sized = bool(sizes) and sizes[0] != ()
    if sized:
        np.save(sizes_file(path), np.array(sizes, np.int32))
    found = {
        "file": job.file,
        "part": job.part,
        "records": len(sizes),
        "examples": examples,
        "bytes": unfinished.stat().st_size,
        "sha256": file_sha256(unfinished),
        "sized": sized,
        "dropped": dict(dropped),
        "notes": dict(notes),
        "origin": job.origin(),
    }
    unfinished.replace(path)
    tell(f"{job.name}: {examples:,} examples")
    _write_whole(_note_file(job, folder), json.dumps(found))
    return found


@contextmanager
def _writing(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Appends records to a new file; a full disk is the user's to mend."""
    writer = require("array_record.python.array_record_module").ArrayRecordWriter(
        str(path), "group_size:1"
    )

    def attempt(call: Callable[..., None], *data: bytes) -> None:
        try:
            call(*data)
        except RuntimeError as error:
            raise UserError(
                f"{path} cannot be written: {error}. Make room, and prepare the data again: the "
                "shards that are whole are kept."
            ) from error

    try:
        yield partial(attempt, writer.write)
    except BaseException:
        with suppress(RuntimeError):
            writer.close()
        raise
    attempt(writer.close)


def _write_whole(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part."""
    unfinished = path.with_suffix(f".{os.getpid()}.partial")
    unfinished.write_text(text)
    unfinished.replace(path)


def _check_counts(name: str, source: Mapping[str, int], notes: Iterable[Mapping[str, Any]]) -> None:
    found = Counter[str]()
    for note in notes:
        found[note["part"]] += note["examples"] + sum(note["dropped"].values())
    faults = [
        f"the {part} files hold {found[part]:,} examples, {published:,} were published"
        for part, published in source.items()
        if found[part] != published
    ]
    if faults:
        what = f"{name!r} is not whole: a file is missing, truncated, or of another version"
        raise UserError.of_many(f"{what} (what was converted is kept):", faults)


def report(dataset: RecordDataset) -> list[str]:
    """What the preparation dropped and changed, a line for each part and reason."""
    preparation = dataset.preparation
    if preparation is None:
        return []
    counts: Counter[tuple[str, str]] = Counter()
    for note in preparation.store.manifest(dataset.data_root)["shards"]:
        for reason, examples in (note["dropped"] | note["notes"]).items():
            counts[note["part"], reason] += examples
    changed = [f"{part}: {count:,} {reason}" for (part, reason), count in sorted(counts.items())]
    return changed + dataset.unlike_published()


def check(
    dataset: RecordDataset, *, hashes: bool = False, tell: Tell = lambda _: None
) -> list[str]:
    """Everything that is wrong with the files, found by opening each.

    Args:
        dataset: The data set.
        hashes: Read every prepared shard and compare its hash, which takes as long as reading does.
        tell: Called with the name of each file.
    """
    if faults := dataset.faults():
        return faults
    found = []
    for store in dataset.stores:
        for shard in store.shards(dataset.data_root):
            tell(shard.path.name)
            if fault := shard.deep_fault(hashes=hashes):
                found.append(fault)
    return found
