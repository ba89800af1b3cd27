"""How sure a score is: a bootstrap over studies, stratified by submission and workload."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95


def resample(times: Floats, resamples: int, seed: int) -> Floats:
    """Medians over studies drawn with replacement, within each submission and workload.

    Args:
        times: Shape (submissions, workloads, studies), padded with NaN where a study is missing.
        resamples: How many.
        seed: Same seed, same draws.

    Returns:
        Shape (resamples, submissions, workloads); NaN where nothing was run.
    """
    rng = np.random.default_rng(seed)
    counts = (~np.isnan(times)).sum(axis=-1)
    ordered = np.sort(times, axis=-1)  # NaN goes last
    shape = (resamples, *times.shape)
    drawn = (rng.random(shape) * np.maximum(counts, 1)[..., None]).astype(np.intp)
    values = np.take_along_axis(np.broadcast_to(ordered, shape), drawn, axis=-1)
    # A stratum with fewer studies than the widest draws only as many as it has.
    spare = np.arange(times.shape[-1]) >= counts[..., None]
    values = np.sort(np.where(spare, np.nan, values), axis=-1)
    upper, lower = np.maximum(counts, 1) // 2, (np.maximum(counts, 1) - 1) // 2
    middle = [
        np.take_along_axis(values, np.broadcast_to(k[..., None], (*shape[:-1], 1)), axis=-1)[..., 0]
        for k in (lower, upper)
    ]
    return (middle[0] + middle[1]) / 2


def interval(samples: Floats) -> tuple[Floats, Floats]:
    """Percentile interval at `LEVEL` over the leading dimension."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high
