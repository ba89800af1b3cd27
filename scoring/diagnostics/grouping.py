"""The rows of one family and task, and its columns as dense arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics.readers.models import Models
from scoring.diagnostics.table import Booleans, Integers
from scoring.intervals import Floats


@dataclass(frozen=True)
class Group:
    """The rows of one family and task; codes count from 0 without gaps."""

    family: str
    task: str
    rows: Integers
    models: list[str]
    model: Integers
    samples: np.ndarray
    sample: Integers

    @property
    def where(self) -> str:
        return f"{self.family}, {self.task}"

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.models), len(self.samples)


def groups(frame: pd.DataFrame) -> Iterator[Group]:
    """The rows of each family and task."""
    family, task = frame["family"].cat, frame["task"].cat
    key = family.codes.to_numpy(np.intp) * len(task.categories) + task.codes.to_numpy(np.intp)
    order = np.argsort(key, kind="stable")
    ends = np.flatnonzero(np.diff(key[order], append=-1)) + 1
    models, samples = frame["model"].cat, frame["sample_id"].cat
    start = 0
    for end in ends:
        rows = order[start:end]
        start = end
        own, model = _compact(models.codes.to_numpy()[rows], len(models.categories))
        named, sample = _compact(samples.codes.to_numpy()[rows], len(samples.categories))
        of = divmod(int(key[rows[0]]), len(task.categories))
        yield Group(
            str(family.categories[of[0]]),
            str(task.categories[of[1]]),
            rows,
            [str(name) for name in models.categories[own]],
            model,
            samples.categories[named].to_numpy(object),
            sample,
        )


def _compact(codes: np.ndarray, size: int) -> tuple[Integers, Integers]:
    """Which codes occur, and the codes counted among those."""
    there = np.flatnonzero(np.bincount(codes, minlength=size))
    place = np.zeros(size, np.intp)
    place[there] = np.arange(len(there))
    return there, place[codes]


def dense(
    frame: pd.DataFrame, name: str, group: Group, flat: Integers, shape: tuple[int, ...]
) -> tuple[Floats, Booleans]:
    """A column as an array (choices, models, samples), NaN where empty, and what is filled.

    Raises:
        UserError: If two rows are about the same choice and differ.
    """
    values = frame[name].to_numpy()[group.rows].astype(float)
    dense = np.full(int(np.prod(shape)), np.nan)
    dense[flat] = values
    filled = np.zeros(dense.shape, bool)
    filled[flat] = True
    unlike = (dense[flat] != values) & ~(np.isnan(dense[flat]) & np.isnan(values))
    if unlike.any():
        first = int(np.argmax(unlike))
        samples = len(set(zip(group.model[unlike], group.sample[unlike], strict=True)))
        raise UserError(
            f"{group.where}: {samples} samples are there more than once and contradict themselves. "
            f"{name} of sample {group.samples[group.sample[first]]!r}, model "
            f"{group.models[group.model[first]]!r} is {values[first]:g} in one row and "
            f"{dense[flat[first]]:g} in another. Give one run of each model and task."
        )
    return dense.reshape(shape), filled.reshape(shape)


def duplicates(flat: Integers, shape: tuple[int, ...]) -> Booleans:
    """Which places of an array of that shape more than one row fills."""
    return (np.bincount(flat, minlength=int(np.prod(shape))) > 1).reshape(shape)


def other_names(frame: pd.DataFrame, name: str, group: Group) -> Booleans:
    """Where a model's prompt (or target) is not that of the sample's first model."""
    other = np.zeros(group.shape, bool)
    if name not in frame:
        return other
    codes = frame[name].cat.codes.to_numpy()[group.rows]
    dense = np.full(group.shape, -1)
    dense[group.model, group.sample] = codes
    known = dense >= 0
    first = np.take_along_axis(dense, known.argmax(axis=0)[None], axis=0)
    return known & (dense != first)


def by_compute(group: Group, models: Models) -> tuple[Integers, Floats]:
    """Places of the models by growing compute (unknown last), and the compute."""
    compute = np.array(
        [models.table["compute"].get((group.family, name), np.nan) for name in group.models], float
    )
    compute[~(compute >= 0) | np.isinf(compute)] = np.nan
    order = np.argsort(compute, kind="stable")  # NaN goes last
    return order, compute[order]
