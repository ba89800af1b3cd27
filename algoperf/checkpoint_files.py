"""Checkpoints as files of a trial's folder; what is in them is `checkpoint`'s. No jax."""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algoperf.disk import entries, replacing

if TYPE_CHECKING:
    import numpy as np

FACTS = "facts"
"""The array that holds a checkpoint's JSON."""

_NAME = re.compile(r"checkpoint_\d{1,18}\.npz")

Arrays = Mapping[str, "np.ndarray"]


class Unusable(Exception):
    """A checkpoint that cannot be gone on from; the message says why."""


def listed(folder: Path) -> list[Path]:
    """Those in a trial's folder, the latest first."""
    named = [path for path in entries(folder) if is_one(path)]
    return sorted(named, key=step_of, reverse=True)


def is_one(path: Path) -> bool:
    """Whether the file is called as checkpoints are."""
    return _NAME.fullmatch(path.name) is not None


def step_of(checkpoint: Path) -> int:
    """The step at which the trial was."""
    return int(checkpoint.stem.partition("_")[2])


def write(folder: Path, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Adds a checkpoint, and keeps of the others only the one before.

    Args:
        folder: The trial's.
        arrays: What `facts` has no room for.
        facts: JSON; with `step`.
    """
    import numpy as np  # planning a run does not need it

    text = json.dumps(facts).encode()
    with replacing(folder / f"checkpoint_{facts['step']}.npz") as file:
        facts_array = np.frombuffer(text, np.uint8)
        np.savez(file, allow_pickle=False, **{**arrays, FACTS: facts_array})
    for old in listed(folder)[2:]:
        old.unlink()


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and facts that `write` was given.

    Raises:
        Unusable: If the file is not what was written.
    """
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)  # each has a checksum, which is checked here
        return arrays, json.loads(arrays.pop(FACTS).tobytes())
    except Exception as error:
        reason = "is truncated" if isinstance(error, zipfile.BadZipFile) else "is damaged"
        raise Unusable(f"it {reason} ({error})") from error
