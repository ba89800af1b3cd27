"""The choice table: the one input of all diagnostics, long as it is read, dense as it is used.

Long: one row a choice, as the readers make it. Dense: one block a family and task. Arrays of a
block have choices first and samples last, so that what is reduced over is short and what numpy
runs along is long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from scoring.intervals import Floats
from scoring.problems import Problem

Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]

NAMES = ("family", "model", "task", "sample_id")
"""Columns that are names (categorical)."""
NUMBERS = ("choice_idx", "loglik_sum")
EXTRA_NUMBERS = ("n_tokens", "n_chars", "n_bytes", "loglik_uncond")
"""Numbers of a choice that may be known."""
CORRECTED = "is_gold_corrected"
"""Whether a choice is the correct one after the labels were corrected, where that is known."""
EXTRA_NAMES = ("cluster", "prompt", "target")
"""Names of a sample that may be known; `prompt` and `target` are hashes, to compare models by."""
FACTS = ("compute", "parameters", "tokens")
"""Numbers of a model: training FLOPs, parameters N, training tokens D."""
UNNAMED = "unnamed"
"""The family of models of which no family is known."""


@dataclass(frozen=True)
class Rows:
    """What a reader found in a file.

    Attributes:
        frame: One row a choice: `NAMES`, `NUMBERS`, `is_gold`, and what else is known. A table
            of scores alone has `score` in place of `NUMBERS` and `is_gold`.
        problems: What was wrong with the file.
    """

    frame: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """One task, for the models of one family; every sample has every model.

    Attributes:
        family: Whose models.
        task: Which task.
        models: Names, by growing compute; those without compute come last.
        compute: Training FLOPs of each model, shape (models,); 0 of one that was not trained, NaN
            where unknown.
        samples: Names of the samples, shape (samples,).
        loglik: Sum of token log-likelihoods [nats], shape (choices, models, samples); -inf where
            a sample has fewer choices.
        present: Which choices a sample has, shape (choices, samples).
        gold: The correct choice, shape (samples,).
        extra: What else is known of a choice, by column, shaped as `loglik`.
        cluster: Number of the cluster of each sample (a passage, a subject), or None.
    """

    family: str
    task: str
    models: tuple[str, ...]
    compute: Floats
    samples: NDArray[np.object_]
    loglik: Floats
    present: Booleans
    gold: Integers
    extra: Mapping[str, Floats] = field(default_factory=dict)
    cluster: Integers | None = None

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.family}, {self.task}"

    def with_compute(self) -> Integers:
        """Places of the models whose compute is known and above 0."""
        return np.flatnonzero(self.compute > 0)  # NaN is not above 0


@dataclass(frozen=True)
class ScoreBlock:
    """One task of which only a score a sample is known: shape (models, samples).

    The rest is as in `Block`.
    """

    family: str
    task: str
    models: tuple[str, ...]
    compute: Floats
    samples: NDArray[np.object_]
    score: Floats
    cluster: Integers | None = None

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.family}, {self.task}"


def concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Long tables one below the other; names stay categorical, unknown numbers become NaN."""
    if len(frames) == 1:
        return frames[0]
    columns = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    joined = {}
    for name in columns:
        parts = [_column(frame, name) for frame in frames]
        if name in NAMES + EXTRA_NAMES:
            joined[name] = union_categoricals([pd.Categorical(part) for part in parts])
        else:
            joined[name] = np.concatenate([part.to_numpy() for part in parts])
    return pd.DataFrame(joined, copy=False)


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    if name in frame:
        return frame[name]
    if name in NAMES + EXTRA_NAMES:
        empty = pd.Categorical.from_codes(
            np.full(len(frame), -1), categories=pd.Index([], dtype=str)
        )
        return pd.Series(empty)
    return pd.Series(np.full(len(frame), np.nan))


def evenly(count: int, most: int) -> Integers:
    """Places of at most that many of `count` samples, evenly spaced; all if there are no more."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp))


def outermost(compute: Floats) -> tuple[int, int]:
    """Places of the models with the least and the most compute; of unknown ones the outermost.

    Args:
        compute: Of at least one model, by growing compute, unknown last.
    """
    known = int((~np.isnan(compute)).sum())
    return 0, (known if known > 1 else len(compute)) - 1
