"""Data made by seeded generators: written once into the user's cache, checked by their hash.

A generator uses NumPy's PCG64 and arithmetic whose result is rounded to few bits (bytes, small
integers), so that it makes the same data on every platform.
"""

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from algoperf import machine
from algoperf.data import ArrayDataset, Arrays, Augment, Prepare
from algoperf.spec import Split

Splits = Mapping[Split, Arrays]


def generated(
    name: str,
    make: Callable[[], Splits],
    sha256: str,
    *,
    example: Mapping[str, jax.ShapeDtypeStruct],
    augment: Augment | None = None,
    prepare: Prepare | None = None,
) -> ArrayDataset:
    """A data set whose arrays `make` makes, the first time that somebody needs them.

    Args:
        name: Its name.
        make: Returns the arrays of every split; always the same.
        sha256: `hash_of` what it returns.
        example: Shape and type of each array of a row.
        augment: As in `ArrayDataset`.
        prepare: As in `ArrayDataset`.
    """

    def load() -> Splits:
        return _kept(name, sha256) or _keep(make(), name, sha256)

    return ArrayDataset(name, load, sha256, augment, prepare, example)


def joined(parts: Sequence[Arrays]) -> Arrays:
    """The rows of all parts, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def with_eval_train(splits: Splits) -> Splits:
    """Adds `EVAL_TRAIN`: the first training rows, as many as there are validation rows."""
    count = len(next(iter(splits[Split.VALIDATION].values())))
    part = {name: array[:count] for name, array in splits[Split.TRAIN].items()}
    return {**splits, Split.EVAL_TRAIN: part}


def _file(name: str, sha256: str) -> Path:
    return machine.cache_folder() / "generated" / f"{name}-{sha256[:16]}.npz"


def _kept(name: str, sha256: str) -> Splits | None:
    """What an earlier process kept; None if there is nothing, or nothing whole."""
    splits: dict[Split, dict[str, np.ndarray]] = {}
    try:
        with _file(name, sha256).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for key in arrays.files:
                split, _, array = key.partition("/")
                splits.setdefault(Split(split), {})[array] = arrays[key]
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return splits


def _keep(splits: Splits, name: str, sha256: str) -> Splits:
    """Writes the arrays for the next process; where that cannot be done, each makes its own."""
    try:
        path = _file(name, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        with partial.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                **{f"{split}/{key}": a for split, of in splits.items() for key, a in of.items()},
            )
        partial.replace(path)
    except (OSError, RuntimeError):  # no home, no room, no right
        pass
    return splits
