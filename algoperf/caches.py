"""Where compilations are kept, and who may write there. No jax.

    <cache>/compilations/harness/<kind>/    what the harness compiles, read by every trial
    <cache>/compilations/<hash>/<kind>/     what a trial of that submission compiles

`kind` is machine and versions. Whoever can write what others will run can have them run anything,
evaluation included. So a submission's process writes for its own version only, and the harness's
programs are compiled in a folder of the trial's before the submission is imported, and taken over
from there by the process that follows the trial, before it is.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from algoperf import machine

HARNESS = "harness"
"""Whose compilations those are that are made where no submission is."""


def folder_of(owner: str) -> Path | None:
    """Where compilations of `owner`, `HARNESS` or a submission's hash, are kept.

    Returns:
        None if that cannot be written.
    """
    try:
        folder = machine.cache_folder() / "compilations" / owner[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return folder if os.access(folder, os.W_OK) else None
    except (OSError, RuntimeError):  # no home at all
        return None


def mirror(folder: Path) -> None:
    """Links to all that the harness has compiled, in a folder that is made."""
    folder.mkdir()
    if (known := folder_of(HARNESS)) is None:
        return
    for path in known.glob("*/*"):
        place = folder / path.relative_to(known)
        place.parent.mkdir(exist_ok=True)
        with suppress(OSError):
            place.symlink_to(path)


def take_over(folder: Path) -> None:
    """Keeps for all what was compiled in a folder that `mirror` made, and that none has read."""
    if (known := folder_of(HARNESS)) is None:
        return
    with suppress(OSError):  # no room, say: the next trial tries again
        for path in folder.glob("*/*"):
            place = known / path.relative_to(folder)
            if path.is_symlink() or not path.is_file() or place.exists():
                continue
            place.parent.mkdir(exist_ok=True)
            partial = place.with_name(f".{place.name}.{os.getpid()}")
            shutil.copyfile(path, partial)
            partial.replace(place)
