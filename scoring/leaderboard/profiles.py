"""Performance profiles and the benchmark score.

Dolan & More 2002 (doi:10.1007/s101070100263); Dahl et al. 2023, arXiv:2306.07179. With r the
ratio of a submission's time to the fastest submission's on a workload,
rho(tau) is the share of workloads with r <= tau, and the score is the area under rho from tau_min
(1) to tau_max, divided by tau_max - tau_min. rho is a step function, so its area has a closed form:

    score = (1 / n) * sum over workloads of (tau_max - max(r, tau_min)) / (tau_max - tau_min)

where a workload with r > tau_max adds nothing. Arrays may have leading dimensions (bootstrap
resamples): shape (..., submissions, workloads).
"""

from dataclasses import dataclass

import numpy as np

from algoperf.rules import Rules, Scoring
from scoring.intervals import Floats


@dataclass(frozen=True)
class Suite:
    """The columns of an array of times.

    Attributes:
        columns: Names: the base workloads, then the held-out variants.
        bases: How many of them are base workloads.
        held_out: For each base, the columns of its held-out variants.
    """

    columns: tuple[str, ...]
    bases: int
    held_out: tuple[tuple[int, ...], ...]

    def without(self, base: int) -> "tuple[Suite, list[int]]":
        """The suite less one base and its variants, and the columns that remain of this one."""
        gone = {base, *self.held_out[base]}
        kept = [place for place in range(len(self.columns)) if place not in gone]
        held_out = [
            tuple(map(kept.index, columns))
            for place, columns in enumerate(self.held_out)
            if place != base
        ]
        names = tuple(self.columns[place] for place in kept)
        return Suite(names, self.bases - 1, tuple(held_out)), kept


def suite_of(rules: Rules) -> Suite:
    """Base workloads, then held-out variants."""
    columns = (*rules.base_workloads, *rules.held_out)
    held_out = tuple(
        tuple(columns.index(name) for name in rules.held_out if rules.base_of(name) == base)
        for base in rules.base_workloads
    )
    return Suite(columns, len(rules.base_workloads), held_out)


def score(times: Floats, suite: Suite, scoring: Scoring) -> tuple[Floats, Floats]:
    """Ratios to the fastest, and the benchmark score, from times.

    Args:
        times: Shape (..., submissions, columns of the suite).
        suite: What the columns are.
        scoring: The rules' constants.

    Returns:
        Ratios of shape (..., submissions, bases), and scores of shape (..., submissions).
    """
    found = ratios(times, suite, scoring.cutoff)
    return found, areas(found, scoring).mean(axis=-1)


def ratios(times: Floats, suite: Suite, cutoff: float) -> Floats:
    """Ratio to the fastest on each base workload; inf where the workload counts as not reached.

    AlgoPerf's order of steps: a held-out variant counts only for those that reached its base;
    a time above `cutoff` times the fastest of its column becomes inf; a base becomes inf where
    its held-out variant is; what remains is divided by the fastest that remains.

    Args:
        times: Shape (..., submissions, columns). NaN (never run) counts as not reached.
        suite: What the columns are.
        cutoff: From which ratio on a time does not count.

    Returns:
        Shape (..., submissions, bases).
    """
    times = np.where(np.isnan(times), np.inf, times)
    pairs = [(base, column) for base, own in enumerate(suite.held_out) for column in own]
    for base, column in pairs:
        times[..., column] = np.where(np.isinf(times[..., base]), np.inf, times[..., column])
    times = np.where(times > cutoff * _fastest(times), np.inf, times)
    for base, column in pairs:
        times[..., base] = np.where(np.isinf(times[..., column]), np.inf, times[..., base])
    scored = times[..., : suite.bases]
    fastest = _fastest(scored)
    return np.divide(scored, fastest, out=np.full_like(scored, np.inf), where=np.isfinite(scored))


def _fastest(times: Floats) -> Floats:
    """The smallest of each column, shape (..., 1, workloads)."""
    return times.min(axis=-2, keepdims=True)


def areas(ratio: Floats, scoring: Scoring) -> Floats:
    """What each workload adds to the score, in [0, 1]; the score is their mean.

    Exact, or with `profile_points` by the trapezoid rule over so many equidistant points: the
    point at which the step is first seen counts half the interval before it.

    Args:
        ratio: Any shape; inf adds nothing.
        scoring: The rules' constants.

    Returns:
        The shape of `ratio`.
    """
    low, high = scoring.tau_min, scoring.tau_max
    if scoring.profile_points is None:
        begins = np.clip(ratio, low, high)
    else:
        points = np.linspace(low, high, scoring.profile_points)
        first = np.searchsorted(points, ratio)
        seen = points[np.minimum(first, len(points) - 1)]
        half = (points[1] - points[0]) / 2
        begins = np.where(first == 0, low, np.where(first < len(points), seen - half, high))
    return (high - begins) / (high - low)


def profile(ratio: Floats, tau: Floats) -> Floats:
    """rho(tau): the share of workloads within `tau` times the fastest.

    Args:
        ratio: Shape (..., submissions, workloads).
        tau: Shape (points,).

    Returns:
        Shape (..., submissions, points).
    """
    return (ratio[..., :, :, None] <= tau).mean(axis=-2)


def speedups(times: Floats, reference: int, unreached: Floats) -> Floats:
    """Geometric-mean speed-up over one submission: above 1 is faster than it.

    Args:
        times: Shape (..., submissions, workloads), inf where not reached, NaN where not run.
        reference: Row of the submission to compare with.
        unreached: Shape (submissions, workloads): what a time that was never reached counts as
            (the budget: it took at least that), NaN to leave the workload out.

    Returns:
        Shape (..., submissions); NaN if no workload can be compared.
    """
    known = np.where(np.isfinite(times), times, unreached)
    logs = np.log(known[..., [reference], :]) - np.log(known)
    either = np.isfinite(times) | np.isfinite(times[..., [reference], :])
    usable = either & np.isfinite(logs)
    count = usable.sum(axis=-1)
    total = np.where(usable, logs, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.exp(np.where(count > 0, total / count, np.nan))
