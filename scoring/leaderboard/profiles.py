"""Performance profiles and the benchmark score.

Dolan & More 2002 (doi:10.1007/s101070100263); Dahl et al. 2023, arXiv:2306.07179. With r the
ratio of a submission's time to the fastest submission's on a workload,
rho(tau) is the share of workloads with r <= tau, and the score is the area under rho from 1 to
tau_max, divided by tau_max - 1. rho is a step function, so its area has a closed form:

    score = (1 / n) * sum over workloads with r <= tau_max of (tau_max - r) / (tau_max - 1)

Arrays may have leading dimensions (bootstrap resamples): shape (..., submissions, workloads).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ratios(times: Floats, bases: int, held_out: list[int | None], tau_max: float) -> Floats:
    """Ratio to the fastest on each base workload; inf where the workload counts as not reached.

    AlgoPerf's order of steps: a held-out variant counts only for those that reached its base;
    a time above `tau_max` times the fastest of its column becomes inf; a base becomes inf where
    its held-out variant is; what remains is divided by the fastest that remains.

    Args:
        times: Shape (..., submissions, workloads): the base workloads, then the held-out ones.
            NaN (never run) counts as not reached.
        bases: Number of base workloads.
        held_out: For each base, the column of its held-out variant, or None.
        tau_max: Where a ratio stops to count.

    Returns:
        Shape (..., submissions, bases).
    """
    times = np.where(np.isnan(times), np.inf, times)
    pairs = [(base, column) for base, column in enumerate(held_out) if column is not None]
    for base, column in pairs:
        times[..., column] = np.where(np.isinf(times[..., base]), np.inf, times[..., column])
    times = np.where(times > tau_max * _fastest(times), np.inf, times)
    for base, column in pairs:
        times[..., base] = np.where(np.isinf(times[..., column]), np.inf, times[..., base])
    scored = times[..., :bases]
    fastest = _fastest(scored)
    return np.divide(scored, fastest, out=np.full_like(scored, np.inf), where=np.isfinite(scored))


def _fastest(times: Floats) -> Floats:
    """The smallest of each column, shape (..., 1, workloads)."""
    return times.min(axis=-2, keepdims=True)


def scores(ratio: Floats, tau_max: float) -> Floats:
    """The benchmark score, in [0, 1].

    Args:
        ratio: Shape (..., submissions, workloads).
        tau_max: Upper end of the area.

    Returns:
        Shape (..., submissions).
    """
    gained = np.where(ratio <= tau_max, (tau_max - np.minimum(ratio, tau_max)), 0.0)
    return gained.mean(axis=-1) / (tau_max - 1)


def profile(ratio: Floats, tau: Floats) -> Floats:
    """rho(tau): the share of workloads within `tau` times the fastest.

    Args:
        ratio: Shape (submissions, workloads).
        tau: Shape (points,).

    Returns:
        Shape (submissions, points).
    """
    return (ratio[:, :, None] <= tau).mean(axis=1)


def speedups(times: Floats, reference: int, unreached: Floats) -> Floats:
    """Geometric-mean speed-up over one submission: above 1 is faster than it.

    Args:
        times: Shape (submissions, workloads), inf where not reached.
        reference: Row of the submission to compare with.
        unreached: Shape (submissions, workloads): what a time that was never reached counts as
            (the budget: it took at least that), NaN to leave the workload out.

    Returns:
        Shape (submissions,); NaN if no workload can be compared.
    """
    known = np.where(np.isfinite(times), times, unreached)
    logs = np.log(known[reference]) - np.log(known)
    either = np.isfinite(times) | np.isfinite(times[reference])
    usable = either & np.isfinite(logs)
    count = usable.sum(axis=1)
    total = np.where(usable, logs, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.exp(np.where(count > 0, total / count, np.nan))
