"""Wrong labels: how many there may be, by confident learning.

Northcutt, Jiang & Chuang 2021, arXiv:1911.00068.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from scoring.diagnostics import chain, noise, resample
from scoring.diagnostics.auditing import named
from scoring.diagnostics.table import Block, Booleans, Integers
from scoring.intervals import Floats
from scoring.problems import Problem

RESAMPLES = 100
SEED = 0
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Confident:
    """What confident learning finds.

    Attributes:
        joint: Estimated joint distribution of given and true label, shape (choices, choices).
        error_rate: Its mass off the diagonal.
        suggested: The label that each sample is confidently counted under, -1 if under none.
    """

    joint: Floats
    error_rate: float
    suggested: Integers

    def off_diagonal(self, given: Integers) -> Booleans:
        """Samples confidently counted under another label than the given one."""
        return (self.suggested >= 0) & (self.suggested != given)


def confident(p: Floats, given: Integers) -> Confident:
    """Confident learning. Northcutt et al. 2021, arXiv:1911.00068, equations 1 and 2.

    The threshold of a label is its mean probability where it is given. A sample counts under the
    likeliest label whose threshold it reaches; counts are calibrated to how often each is given.

    Args:
        p: Probability of each label, shape (choices, samples).
        given: The given label, shape (samples,).
    """
    size = len(p)
    counts = np.bincount(given, minlength=size).astype(float)
    thresholds = np.array([p[k, given == k].mean() if counts[k] else np.inf for k in range(size)])
    passing = np.where(p >= thresholds[:, None] - TOLERANCE, p, -1.0)
    suggested = np.where(passing.max(axis=0) >= 0, passing.argmax(axis=0), -1)
    table = np.zeros((size, size))
    counted = suggested >= 0
    np.add.at(table, (given[counted], suggested[counted]), 1)
    total = table.sum(axis=1, keepdims=True)
    # A given label of which no sample is counted keeps its own samples.
    table = np.where(total > 0, table / np.maximum(total, 1), np.eye(size)) * counts[:, None]
    joint = table / table.sum()
    return Confident(joint, float(1 - np.trace(joint)), suggested)


@dataclass(frozen=True)
class Judge:
    """Whose probabilities are believed, and for which samples they are known.

    Attributes:
        name: A model, or `consensus`.
        p: Shape (choices, samples).
        given: The given label, shape (samples,).
        known: Of the block's samples, those that are judged.
    """

    name: str
    p: Floats
    given: Integers
    known: Booleans

    @cached_property
    def _own(self) -> Floats:
        """Probability of the given label, shape (samples,)."""
        return np.take_along_axis(self.p, self.given[None], axis=0)[0]

    @cached_property
    def _is_given(self) -> Booleans:
        return np.arange(len(self.p))[:, None] == self.given

    @cached_property
    def _likelier(self) -> Booleans:
        """Which labels come before the given one, shape (choices, samples)."""
        before = np.arange(len(self.p))[:, None] < self.given
        return (self.p > self._own) | ((self.p == self._own) & before)

    @cached_property
    def _by_label(self) -> Floats:
        """What sums over samples by given label, shape (choices, samples)."""
        return self._is_given.astype(float)

    def error_rate(self, weight: Floats) -> float:
        """`confident`'s error rate where each of the judged samples counts so often."""
        counts = self._by_label @ weight
        sums = self._by_label @ (weight * self._own)
        thresholds = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)
        passing = self.p >= thresholds[:, None] - TOLERANCE
        own_passes = (passing & self._is_given).any(axis=0)
        kept = own_passes & ~(passing & self._likelier).any(axis=0)
        under_own = self._by_label @ (weight * kept)
        under_any = self._by_label @ (weight * passing.any(axis=0))
        share = np.divide(under_own, under_any, out=np.ones_like(sums), where=under_any > 0)
        return float(1 - share @ counts / counts.sum())


def of_block(block: Block, problems: list[Problem]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Label errors by each judge, and where each pair of models changes places.

    Confident learning needs the same classes for all samples: those of another number of choices
    than most have are left out of it and told.

    Args:
        block: One family and task.
        problems: Where what cannot be done is told.

    Returns:
        The tables `label_errors` and `noise_crossings`.

    Raises:
        UserError: If models disagree about a corrected label.
    """
    corrected = noise.given(block, problems)
    what = "label errors" if corrected else "label errors and noise crossings"
    alike = _alike(block, what, problems)
    errors = estimates(alike) if alike else pd.DataFrame()
    if corrected:
        return errors, noise.crossings(block, *corrected, "given", problems)
    if alike is None or not (judge := _consensus(alike)).known.any():
        return errors, pd.DataFrame()
    found = confident(judge.p, judge.given)
    labels = alike.gold.copy()
    wrong = found.off_diagonal(judge.given)
    labels[judge.known] = np.where(wrong, found.suggested, judge.given)
    return errors, noise.crossings(alike, labels, judge.known, "confident learning", problems)


def _alike(block: Block, what: str, problems: list[Problem]) -> Block | None:
    """The samples that have as many choices as most; None if that is one."""
    count = block.present.sum(axis=0)
    most = int(np.bincount(count).argmax())
    if most < 2:
        told = "most samples have one choice"
        problems.append(Problem(block.where, told, f"estimated no {what}"))
        return None
    other = count != most
    if not other.any():
        return block
    told = f"{int(other.sum())} samples do not have {most} choices as most do{named(block, other)}"
    problems.append(Problem(block.where, told, f"estimated {what} without them"))
    cluster = block.cluster
    return replace(
        block,
        samples=block.samples[~other],
        loglik=block.loglik[:most, :, ~other],
        present=block.present[:most, ~other],
        gold=block.gold[~other],
        extra={},
        # Counted anew: a cluster without samples must not be drawn.
        cluster=None if cluster is None else np.unique(cluster[~other], return_inverse=True)[1],
    )


def _judge(name: str, p: Floats, gold: Integers) -> Judge:
    known: Booleans = ~np.logical_or.reduce(np.isnan(p), axis=0)
    return Judge(name, np.ascontiguousarray(p[:, known]), gold[known], known)


def _consensus(block: Block) -> Judge:
    p = np.exp(chain.log_p_choices(block.loglik)).mean(axis=1)
    return _judge("consensus", p, block.gold)


def estimates(block: Block) -> pd.DataFrame:
    """Error rate by each model and by their mean p_choices (`consensus`), with its interval.

    Where choices are no classes (their order is chance), the thresholds are those of positions.
    `low` and `high`: 95 %, bootstrap over samples, or over whole clusters; thresholds are
    estimated anew in each draw.

    Args:
        block: All samples have the same number of choices, at least two.
    """
    p = np.exp(chain.log_p_choices(block.loglik))
    judges = [_judge(model, p[:, k], block.gold) for k, model in enumerate(block.models)]
    if len(block.models) > 1:
        judges.append(_consensus(block))
    judges = [judge for judge in judges if judge.known.any()]
    drawn = [
        [_rate(judge, weight) for judge in judges]
        for weight in resample.weights(len(block.gold), block.cluster, RESAMPLES, SEED)
    ]
    rows = []
    for judge, draws in zip(judges, np.array(drawn).T, strict=True):
        found = confident(judge.p, judge.given)
        low, high = np.nanquantile(draws, [0.025, 0.975])
        rows.append(
            {
                "family": block.family, "task": block.task, "judge": judge.name,
                "error_rate": found.error_rate, "low": float(low), "high": float(high),
                "n_off_diagonal": int(found.off_diagonal(judge.given).sum()),
                "n_samples": int(judge.known.sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _rate(judge: Judge, weight: Floats) -> float:
    """NaN where a draw has none of the judged samples."""
    own = weight if judge.known.all() else weight[judge.known]
    return judge.error_rate(own) if own.any() else math.nan
