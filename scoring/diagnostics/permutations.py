"""What a mean correlation with compute would be if the models' order meant nothing.

All orders of the models are equally likely then. The mean over samples is a scalar product with
their mean vector, so its distribution over all orders takes one matrix product.
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scoring.diagnostics.correlations import TOLERANCE, Correlations, correlate, unit_vectors
from scoring.diagnostics.table import Integers, evenly
from scoring.intervals import Floats

EXACT_UP_TO = 8
"""All n! orders of the models up to here (40,320), drawn ones beyond."""
DRAWS = 9_999
SEED = 0
PAIRS = 1_000_000
"""Pairs of sample and order over which a null share is averaged at most."""
SAMPLES = 1_000
"""Samples that are taken where there are more pairs."""


@lru_cache(maxsize=8)
def orders(models: int) -> Integers:
    """Orders of the models: all of them up to `EXACT_UP_TO` models, else `DRAWS` seeded ones.

    Returns:
        Shape (orders, models).
    """
    if models <= EXACT_UP_TO:
        return np.array(list(itertools.permutations(range(models))), np.intp)
    rng = np.random.default_rng(SEED)
    return rng.permuted(np.tile(np.arange(models), (DRAWS, 1)), axis=1)


def some_orders(models: int, most: int) -> Integers:
    """The same, or `most` of them, drawn, where there are more."""
    every = orders(models)
    if len(every) <= most:
        return every
    return every[np.random.default_rng(SEED).choice(len(every), most, replace=False)]


@lru_cache(maxsize=32)
def _permuted(x: tuple[float, ...], method: str, most: int | None = None) -> Floats:
    """Unit vectors of x under every order, or `most` drawn ones of these, shape (orders, d)."""
    of = orders(len(x)) if most is None else some_orders(len(x), most)
    return np.ascontiguousarray(unit_vectors(np.array(x)[of].T, method).T)


@dataclass(frozen=True)
class Null:
    """The distribution of a mean correlation if compute had nothing to do with the score.

    All samples see the same few models, so they do not make each other's mean surer: the
    models' order is permuted for all samples at once.

    Attributes:
        sd: Its standard deviation.
        p_value: One-sided: how often the mean is at least as high as the observed one.
        p_two_sided: How often it is at least as far from 0.
        exact: Whether all orders were taken.
        orders: How many orders were taken.
    """

    sd: float
    p_value: float
    p_two_sided: float
    exact: bool
    orders: int


def null_of_mean(x: Floats, found: Correlations, method: str) -> Null:
    """Permutes the models; drawn orders count the observed one too, (b + 1) / (B + 1)."""
    exact = len(x) <= EXACT_UP_TO
    means = _permuted(tuple(x.tolist()), method) @ found.mean_vector
    if not len(found.defined):
        return Null(math.nan, math.nan, math.nan, exact, len(means))
    observed = float(unit_vectors(x[:, None], method)[:, 0] @ found.mean_vector)
    extra = 0 if exact else 1
    above = int((means >= observed - TOLERANCE).sum()) + extra
    beyond = int((np.abs(means) >= abs(observed) - TOLERANCE).sum()) + extra
    total = len(means) + extra
    return Null(float(means.std()), above / total, beyond / total, exact, len(means))


def null_share(x: Floats, values: Floats, method: str, threshold: float) -> tuple[float, bool]:
    """Expected share of samples with a correlation above the threshold if order meant nothing.

    Each sample keeps its values, ties included, and every order of the models is equally likely.
    Of ranks, and of two values, only the pattern of ties matters, and there are few of these.
    Pearson's takes each sample's own values: beyond `PAIRS` pairs of sample and order it is
    averaged over evenly spaced samples and drawn orders.

    Args:
        x: Shape (models,).
        values: Shape (models, samples).
        method: One of `METHODS`.
        threshold: As in the share.

    Returns:
        The share, NaN if no sample has a correlation; and whether it is exact.
    """
    usable = ~np.isnan(values).any(axis=0)
    if method == "pearson":
        usable &= np.isfinite(values).all(axis=0)
    ordered = np.sort(values[:, usable], axis=0)
    counts = np.ones(ordered.shape[1])
    most = None
    exact = len(x) <= EXACT_UP_TO
    if method != "pearson" or ((ordered == ordered[0]) | (ordered == ordered[-1])).all():
        # Which values are above the one before.
        above = ordered[1:] > ordered[:-1]
        _, first, counts = np.unique(
            2.0 ** np.arange(len(above)) @ above, return_index=True, return_counts=True
        )
        ordered = np.concatenate([np.zeros((1, len(first))), above[:, first].cumsum(axis=0)])
    elif ordered.shape[1] * len(orders(len(x))) > PAIRS:
        exact = False
        chosen = evenly(ordered.shape[1], SAMPLES)
        ordered, counts = ordered[:, chosen], counts[chosen]
        most = PAIRS // len(chosen)
    unit = unit_vectors(ordered, method)
    defined = np.einsum("ds,ds->s", unit, unit) > 0.5
    if not defined.any():
        return math.nan, exact
    permuted = _permuted(tuple(x.tolist()), method, most)
    shares = (permuted @ unit[:, defined] > threshold + TOLERANCE).mean(axis=0)
    return float(np.average(shares, weights=counts[defined])), exact


def paired(
    x: Floats, first: Floats, second: Floats, found: tuple[Correlations, Correlations], method: str
) -> dict[str, float]:
    """Whether one score correlates more with compute than another, sample by sample.

    Over the samples where both correlations exist; the null permutes the models for both at once.

    Args:
        x: Shape (models,).
        first: A score, shape (models, samples).
        second: Another.
        found: Their correlations with x.
        method: One of `METHODS`.

    Returns:
        `difference` of the means, `share_higher` and `share_lower` of samples, `p_value`
        (one-sided: a difference at least as high), `n_samples`.
    """
    both = ~np.isnan(found[0].by_sample) & ~np.isnan(found[1].by_sample)
    if not both.any():
        nothing = ("difference", "share_higher", "share_lower", "p_value")
        return dict.fromkeys(nothing, math.nan) | {"n_samples": 0}
    if not both.all():
        ours = correlate(x, first[:, both], (method,))[method]
        found = ours, correlate(x, second[:, both], (method,))[method]
    difference = found[0].defined - found[1].defined
    apart = found[0].mean_vector - found[1].mean_vector
    means = _permuted(tuple(x.tolist()), method) @ apart
    observed = float(unit_vectors(x[:, None], method)[:, 0] @ apart)
    extra = 0 if len(x) <= EXACT_UP_TO else 1
    above = int((means >= observed - TOLERANCE).sum()) + extra
    return {
        "difference": float(difference.mean()),
        "share_higher": float((difference > TOLERANCE).mean()),
        "share_lower": float((difference < -TOLERANCE).mean()),
        "p_value": above / (len(means) + extra),
        "n_samples": int(both.sum()),
    }
