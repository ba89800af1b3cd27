"""Score against compute, sample by sample, over the few models of a family.

Every correlation here is a scalar product of two unit vectors: of centred values (Pearson), of
centred average ranks (Spearman), of the signs of pair differences (Kendall's tau-b). So the mean
over samples is the scalar product with the mean vector.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scoring.diagnostics.table import Booleans
from scoring.intervals import Floats

METHODS = ("pearson", "spearman", "kendall")
FEWEST_MODELS = 3
"""Of two models every correlation is -1 or 1."""
CHUNK = 1 << 15
"""Samples at a time: what is in work stays in the cache."""
TOLERANCE = 1e-12
"""What counts as equal among correlations, which are sums of products."""


@dataclass(frozen=True)
class Correlations:
    """Correlations of one score with compute.

    Attributes:
        by_sample: Shape (samples,); NaN where constant or undefined.
        constant: Where the score is the same for all models.
        mean_vector: Mean unit vector over the samples that have a correlation.
    """

    by_sample: Floats
    constant: Booleans
    mean_vector: Floats

    @property
    def defined(self) -> Floats:
        """The correlations there are."""
        return self.by_sample[~np.isnan(self.by_sample)]

    @property
    def mean(self) -> float:
        """NaN if there are none."""
        return float(self.defined.mean()) if len(self.defined) else math.nan


def pair_signs(values: Floats) -> np.ndarray:
    """Signs of the differences of all pairs of models: values[j] - values[i] for i < j.

    Args:
        values: Shape (models, ...); infinities are compared as any number.

    Returns:
        Shape (pairs, ...), of -1.0, 0.0, 1.0.
    """
    first, second = np.triu_indices(len(values), 1)
    signs = np.empty((len(first), *values.shape[1:]))
    for k, (i, j) in enumerate(zip(first, second, strict=True)):
        np.subtract(
            values[j] > values[i],
            values[j] < values[i],
            out=signs[k],
            dtype=np.int8,
            casting="unsafe",
        )
    return signs


@lru_cache(maxsize=64)
def _ranks_of_signs(models: int) -> Floats:
    """The matrix that makes centred average ranks of pair signs, shape (models, pairs)."""
    first, second = np.triu_indices(models, 1)
    matrix = np.zeros((models, len(first)))
    pairs = np.arange(len(first))
    matrix[second, pairs] = 0.5
    matrix[first, pairs] = -0.5
    return matrix


def vectors(values: Floats, methods: Sequence[str] = METHODS) -> dict[str, Floats]:
    """The vectors whose scalar products are correlations, not yet of unit length.

    Args:
        values: Shape (models, samples).
        methods: Of `METHODS`.

    Returns:
        By method, shape (models, samples), for Kendall (pairs, samples).
    """
    found = {}
    if "pearson" in methods:
        with np.errstate(invalid="ignore"):
            found["pearson"] = _centred(values)
    if "spearman" in methods or "kendall" in methods:
        signs = pair_signs(values)
        if "spearman" in methods:
            found["spearman"] = _ranks_of_signs(len(values)) @ signs
        if "kendall" in methods:
            found["kendall"] = signs
    return found


def _centred(values: Floats) -> Floats:
    """Values less their mean, over their largest: squares of neither tiny nor huge ones fail."""
    away = values - values.mean(axis=0)
    largest = np.abs(away).max(axis=0)
    return away / np.where(largest > 0, largest, 1.0)


def _unit(vector: Floats, usable: Booleans) -> Floats:
    """Unit vectors, 0 where not usable."""
    length = np.sqrt(np.einsum("ms,ms->s", vector, vector))
    return np.where(usable, vector, 0.0) / np.where(usable & (length > 0), length, 1.0)


def unit_vectors(values: Floats, method: str) -> Floats:
    """Unit vectors of whole columns, shape (d, samples); 0 where there is no correlation."""
    values = np.asarray(values, float)
    return _unit(vectors(values, (method,))[method], _usable(values, method))


def constant(values: Floats) -> Booleans:
    """Where all models have exactly the same value, shape (samples,)."""
    return (values == values[0]).all(axis=0)


def _usable(values: Floats, method: str) -> Booleans:
    """Where the correlation exists: ranks take infinities, Pearson does not."""
    usable = ~constant(values) & ~np.isnan(values).any(axis=0)
    if method != "pearson":
        return usable
    usable &= np.isfinite(values).all(axis=0)
    with np.errstate(invalid="ignore"):
        spread, size = np.ptp(values, axis=0), np.abs(values).max(axis=0)
        # Rounding alone: what differs in the last bits of its mean has no direction.
        return usable & (spread > 4 * np.finfo(float).eps * size)


def correlate(
    x: Floats, values: Floats, methods: Sequence[str] = METHODS
) -> dict[str, Correlations]:
    """Correlations over the models, of every sample.

    Args:
        x: What to correlate with, shape (models,).
        values: The score, shape (models, samples).
        methods: Of `METHODS`.

    Raises:
        ValueError: If there are fewer than `FEWEST_MODELS` models or x is constant.
    """
    if len(x) < FEWEST_MODELS or (x == x[0]).all():
        raise ValueError("a correlation needs three models and two different values of x")
    of_x = {method: unit_vectors(x[:, None], method)[:, 0] for method in methods}
    parts: dict[str, list[Floats]] = {method: [] for method in methods}
    sums = {method: np.zeros(len(of_x[method])) for method in methods}
    same = constant(values)
    for start in range(0, values.shape[1], CHUNK):
        chunk = np.ascontiguousarray(values[:, start : start + CHUNK])
        for method, vector in vectors(chunk, methods).items():
            usable = _usable(chunk, method)
            unit = _unit(vector, usable)
            sums[method] += unit.sum(axis=1)
            parts[method].append(np.where(usable, np.clip(of_x[method] @ unit, -1.0, 1.0), np.nan))
    found = {}
    for method in methods:
        joined = np.concatenate(parts[method])
        count = max(int((~np.isnan(joined)).sum()), 1)
        found[method] = Correlations(joined, same, sums[method] / count)
    return found


def ceiling(x: Floats, values: Floats, method: str) -> Floats:
    """The highest correlation that each sample's values could have in any order.

    Ties cap it: an accuracy of eight models, all 0 or 1, reaches a Spearman of 0.873 at most.

    Returns:
        Shape (samples,); NaN where there is none.
    """
    return correlate(np.sort(x), np.sort(values, axis=0), (method,))[method].by_sample


def gamma(x: Floats, values: Floats) -> Floats:
    """Goodman and Kruskal's gamma: concordant less discordant pairs, over both. Ties do not cap it.

    For a score of 0 and 1 it is 2 AUROC - 1 of compute as a predictor of success.

    Returns:
        Shape (samples,); NaN where no pair differs in both.
    """
    product = pair_signs(x[:, None]) * pair_signs(values)
    both = np.abs(product).sum(axis=0)
    return np.divide(product.sum(axis=0), both, out=np.full(len(both), np.nan), where=both > 0)


def jackknife(x: Floats, values: Floats, methods: Sequence[str]) -> dict[str, Floats]:
    """Mean correlations with each model left out in turn.

    Returns:
        By method, shape (models,); NaN where what is left has fewer than three models or equal x.
    """
    found = {method: np.full(len(x), np.nan) for method in methods}
    for k in range(len(x)):
        others = np.delete(np.arange(len(x)), k)
        if len(others) < FEWEST_MODELS or (x[others] == x[others][0]).all():
            continue
        for method, result in correlate(x[others], values[others], methods).items():
            found[method][k] = result.mean
    return found


def jackknife_sd(means: Floats) -> float:
    """Standard error of the mean correlation over models. Efron & Tibshirani 1993, eq. 11.5."""
    n = len(means)
    return float(np.sqrt((n - 1) / n * ((means - means.mean()) ** 2).sum()))


def ccdf(values: Floats) -> tuple[Floats, Floats]:
    """The complementary distribution S(c) = share of samples above c, exactly, at its steps.

    Returns:
        (c, S): distinct correlations in growing order, and the share strictly above each.
    """
    ordered = np.sort(values[~np.isnan(values)])
    steps, counts = np.unique(ordered, return_counts=True)
    return steps, 1.0 - counts.cumsum() / max(len(ordered), 1)


def area(values: Floats) -> float:
    """The area under the CCDF over [-1, 1], exactly: 1 + mean.

    So the area, the Wasserstein distance to -1 or 1 (1 -+ mean) and the mean are one number; of
    the four statistics in Schaeffer et al. 2024 only the mean and the median are two.
    """
    steps, share = ccdf(values)
    edges = np.concatenate([[-1.0], steps, [1.0]])
    heights = np.concatenate([[1.0], share])
    return float((np.diff(edges) * heights).sum())
