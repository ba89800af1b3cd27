"""Source and point in a trial's folder, by which it is known to be the trial's. No jax.

The trial's process may write there: what is read here may be anything.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from algoperf import sources
from algoperf.disk import CannotRecord, below, plain, read_json, read_small, write_json
from algoperf.records import HYPERPARAMETERS, SOURCE, SOURCES, TrialSpec

FILES = {SOURCE, SOURCES, HYPERPARAMETERS}


def source_of(spec: TrialSpec) -> dict[str, bytes]:
    """The submission's files, which have to be what they were when the trial was planned.

    Raises:
        CannotRecord: If they are not, or cannot be read.
    """
    try:
        contents = sources.read(spec.path)
    except OSError as error:
        raise CannotRecord(f"{spec.path} cannot be read any more: {error.strerror}.") from error
    if sources.digest(contents) != spec.sha256:
        raise CannotRecord(
            f"{spec.path} was changed while its trials were run. Those recorded are of the version "
            f"before: move {spec.submission!r} in the results folder away, and run it again."
        )
    return contents


def write(folder: Path, spec: TrialSpec, contents: Mapping[str, bytes]) -> None:
    """Puts source and point into a trial's folder; raises `OSError`."""
    for kept, content in _places(contents):
        (folder / kept).parent.mkdir(parents=True, exist_ok=True)
        (folder / kept).write_bytes(content)
    write_json(folder / HYPERPARAMETERS, _point(spec))


def is_begun(folder: Path, spec: TrialSpec, contents: Mapping[str, bytes]) -> bool:
    """Whether this is the start of a trial of the same files at the same point."""
    try:
        same = all(read_small(folder / kept, len(was)) == was for kept, was in _places(contents))
    except OSError:
        return False
    return same and _is_at(folder, spec)


def is_own(folder: Path, spec: TrialSpec) -> bool:
    """Whether source and point in it, and nothing beside them, are still the trial's."""
    files = folder / SOURCES
    try:
        contents = {spec.path.name: read_small(folder / SOURCE)}
        for entry in below(files):
            if entry.is_file():
                name = os.path.relpath(entry.path, files)
                contents[name] = read_small(Path(entry.path))
            if len(contents) > sources.MOST_FILES:
                return False
    except OSError:
        return False
    return _is_at(folder, spec) and sources.digest(contents) == spec.sha256


def _is_at(folder: Path, spec: TrialSpec) -> bool:
    return read_json(folder / HYPERPARAMETERS) == plain(_point(spec))


def _point(spec: TrialSpec) -> dict[str, Any]:
    return {} if spec.point is None else dict(spec.point)


def _places(contents: Mapping[str, bytes]) -> Iterator[tuple[Path, bytes]]:
    """Where each of a submission's files is kept; its own comes first."""
    for place, (name, content) in enumerate(contents.items()):
        yield Path(SOURCES) / name if place else Path(SOURCE), content
