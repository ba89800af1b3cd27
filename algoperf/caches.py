"""Where compilations are kept, and who may write there. No jax.

    <cache>/compilations/harness/<kind>/    what the harness compiles, read by every trial
    <cache>/compilations/<hash>/<kind>/     what a trial of that submission compiles

`kind` is machine and versions. Whoever can write what others will run can have them run anything,
evaluation included. So a submission's process writes for its own version only, and the harness's
programs are compiled in a folder of the trial's before the submission is imported, and taken over
from there by the process that follows the trial, before it is. What was not used for a month is
removed when something is trained: nothing is lost but time.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from algoperf import machine

HARNESS = "harness"
"""Whose compilations those are that are made where no submission is."""

UNUSED_S = 30 * 24 * 3600.0
"""For how long compilations are kept that nobody uses."""


def folder_of(owner: str) -> Path | None:
    """Where compilations of `owner`, `HARNESS` or a submission's hash, are kept.

    Returns:
        None if that cannot be written.
    """
    try:
        folder = _root() / owner[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return folder if os.access(folder, os.W_OK) else None
    except (OSError, RuntimeError):  # no home at all
        return None


def mirror(folder: Path) -> None:
    """Links to all that the harness has compiled, in a folder that is made."""
    folder.mkdir()
    if (known := folder_of(HARNESS)) is None:
        return
    with suppress(OSError):  # what is not found is compiled
        for kind in known.iterdir():
            place = folder / kind.name
            place.mkdir()
            for path in kind.iterdir():
                (place / path.name).symlink_to(path)
            _age_as(place, kind)


def take_over(folder: Path) -> None:
    """Keeps for all what was compiled in a folder that `mirror` made, and that none has read."""
    if (known := folder_of(HARNESS)) is None:
        return
    with suppress(OSError):  # no room, say: the next trial tries again
        for kind in folder.iterdir():
            (known / kind.name).mkdir(exist_ok=True)
            for path in kind.iterdir():
                place = known / kind.name / path.name
                if path.is_symlink() or not path.is_file() or place.exists():
                    continue
                partial = place.with_name(f".{place.name}.{os.getpid()}")
                shutil.copyfile(path, partial)
                partial.replace(place)
            _age_as(known / kind.name, kind)


def use(kind: Path) -> None:
    """Makes the folder if need be, and has it kept for a month from now.

    Raises:
        OSError: If it cannot be written.
    """
    kind.mkdir(exist_ok=True)
    os.utime(kind)


def _age_as(folder: Path, other: Path) -> None:
    """A folder that was mirrored was used when its mirror was."""
    used = other.stat().st_mtime
    os.utime(folder, (used, used))


def prune() -> None:
    """Removes compilations that nobody has used for `UNUSED_S`, and folders empty for as long."""
    with suppress(OSError, RuntimeError):
        for kind in filter(_unused, _root().glob("*/*")):
            shutil.rmtree(kind, ignore_errors=True)
        for owner in filter(_unused, _root().iterdir()):
            with suppress(OSError):  # it is not empty
                owner.rmdir()


def _unused(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > UNUSED_S


def _root() -> Path:
    return machine.cache_folder() / "compilations"
