"""Intervals by drawing samples anew, or whole clusters of them."""

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import stats

from scoring.diagnostics.table import Integers
from scoring.intervals import Floats, interval

BATCH = 1 << 20
"""Weights that are held at a time: one matrix product does many draws."""


def weights(samples: int, cluster: Integers | None, draws: int, seed: int) -> Iterator[Floats]:
    """How often each sample is drawn, with replacement, draw by draw.

    Args:
        samples: How many there are.
        cluster: Number of the cluster of each sample: whole clusters are drawn; or None.
        draws: How many.
        seed: Same seed, same draws.

    Yields:
        Shape (samples,).
    """
    rng = np.random.default_rng(seed)
    n = samples if cluster is None else int(cluster.max()) + 1
    for _ in range(draws):
        drawn = np.bincount(rng.integers(n, size=n), minlength=n).astype(float)
        yield drawn if cluster is None else drawn[cluster]


def sums(columns: Floats, cluster: Integers | None, draws: int, seed: int) -> Floats:
    """Sums of columns over samples drawn with replacement; all columns share the draws.

    Args:
        columns: Shape (samples, columns).
        cluster: Number of the cluster of each sample: whole clusters are drawn; or None.
        draws: How many.
        seed: Same seed, same draws.

    Returns:
        Shape (draws, columns).
    """
    if cluster is not None:
        by_cluster = np.zeros((int(cluster.max()) + 1, columns.shape[1]))
        np.add.at(by_cluster, cluster, columns)
        columns = by_cluster
    n = len(columns)
    drawn = weights(n, None, draws, seed)
    found = np.empty((draws, columns.shape[1]))
    batch = max(BATCH // n, 1)
    for start in range(0, draws, batch):
        found[start : start + batch] = np.stack(list(itertools.islice(drawn, batch))) @ columns
    return found


def means(values: Floats, axis: int) -> Floats:
    """Means along an axis, NaN left out; NaN if nothing is left, or of inf and -inf."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    with np.errstate(invalid="ignore"):
        total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def mean_interval(
    columns: Floats, cluster: Integers | None, draws: int, seed: int
) -> tuple[Floats, Floats]:
    """95 % percentile intervals of column means; NaN is left out of a mean.

    Returns:
        Lower and upper ends, shape (columns,).
    """
    known = ~np.isnan(columns)
    both = np.concatenate([np.where(known, columns, 0.0), known], axis=1)
    total, count = np.split(sums(both, cluster, draws, seed), 2, axis=1)
    return interval(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def median_interval(
    columns: Floats, cluster: Integers | None, draws: int, seed: int
) -> tuple[Floats, Floats]:
    """95 % intervals of column medians; NaN is left out.

    Without clusters by order statistics: how many of n values fall below the median is binomial
    (n, 1/2), for any distribution, and that is where the bootstrap of a median tends to. With
    clusters the percentile interval of `draws` draws of whole clusters.

    Returns:
        Lower and upper ends, shape (columns,); NaN where a column has no value.
    """
    ends = np.array([
        _of_order(values[~np.isnan(values)])
        if cluster is None
        else _of_clusters(values, cluster, draws, seed)
        for values in columns.T
    ])  # fmt: skip
    return ends[:, 0], ends[:, 1]


def _of_order(values: Floats) -> tuple[float, float]:
    if not len(values):
        return np.nan, np.nan
    ordered = np.sort(values)
    low, high = (int(stats.binom.ppf(tail, len(ordered), 0.5)) for tail in (0.025, 0.975))
    return float(ordered[low]), float(ordered[min(high, len(ordered) - 1)])


def _of_clusters(values: Floats, cluster: Integers, draws: int, seed: int) -> tuple[float, float]:
    known = ~np.isnan(values)
    if not known.any():
        return np.nan, np.nan
    order = np.argsort(values[known])
    ordered, own = values[known][order], cluster[known][order]
    rng = np.random.default_rng(seed)
    n = int(cluster.max()) + 1
    medians = np.full(draws, np.nan)
    for k in range(draws):
        below = np.bincount(rng.integers(n, size=n), minlength=n)[own].cumsum()
        if below[-1]:
            # The first value with half of the weight at or below it, and the one after half.
            middle = np.searchsorted(below, [(below[-1] + 1) // 2, below[-1] // 2 + 1])
            medians[k] = ordered[middle].mean()
    low, high = interval(medians[~np.isnan(medians), None])
    return float(low[0]), float(high[0])
