"""The band of a CCDF under orders of the models that mean nothing: by hand, and as a law."""

import itertools

import numpy as np
import pytest

from scoring.diagnostics import band, correlations, forms, permutations, scale
from tests.scoring.diagnostics.families import block, independent, trend


def at(table, correlation, score="log_p_vocab_correct"):
    rows = table[(table["score"] == score) & np.isclose(table["correlation"], correlation)]
    return tuple(rows[["low", "mean", "high"]].iloc[0])


def of(values, compute=None):
    """The band of a score of shape (models, samples)."""
    values = np.asarray(values, float)
    made = block(np.zeros((*values.shape, 2)), [0] * values.shape[1], compute=compute)
    return band.of_scores(made, {"log_p_vocab_correct": forms.plain(values)})


def test_samples_that_move_together_make_a_wide_band():
    # Each of the six orders gives all samples one correlation: 1, 0.5, 0.5, -0.5, -0.5 or -1.
    found = of(np.array([1.0, 2.0, 3.0])[:, None].repeat(50, axis=1))
    assert at(found, 0) == pytest.approx((0, 3 / 6, 1))
    assert at(found, 0.5) == pytest.approx((0, 1 / 6, 1))
    assert at(found, -0.5) == pytest.approx((0, 3 / 6, 1))
    assert at(found, -0.525) == pytest.approx((0, 5 / 6, 1))
    assert at(found, 1) == pytest.approx((0, 0, 0))


def test_samples_that_move_against_each_other_make_none():
    # In any order half of the samples have r and half -r: at 0 it is always one half.
    found = of(np.stack([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], axis=1))
    assert at(found, 0) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("values", "compute"),
    [
        ([0.0, 0.0, 1.0], None),  # an accuracy with a tie
        ([1.0, 2.0, 3.0], [1e18, 1e18, 1e19]),  # two models of equal compute
    ],
)
def test_ties_count(values, compute):
    # Ranks (1.5, 1.5, 3) against (1, 2, 3): 0.866, 0 or -0.866, each in two of six orders.
    found = of(np.array(values)[:, None], compute)
    assert at(found, 0.75) == pytest.approx((0, 2 / 6, 1))
    assert at(found, 0.875) == pytest.approx((0, 0, 0))


def test_its_mean_is_the_null_of_the_share():
    rng = np.random.default_rng(0)
    x, values = np.arange(5.0), rng.integers(3, size=(5, 20)).astype(float)
    drawn = band.shares(x, values, permutations.orders(5))
    expected, _ = permutations.null_share(x, values, band.METHOD, scale.THRESHOLD)
    assert drawn.mean(axis=0)[np.isclose(band.GRID, 0.75)] == pytest.approx(expected)


def test_a_curve_is_inside_in_95_percent_of_the_orders():
    values = -np.abs(np.random.default_rng(0).normal(size=(5, 1)) + np.zeros(30))
    values += np.random.default_rng(1).normal(0, 0.3, (5, 30))
    table = of(values)
    inside = []
    for order in itertools.permutations(range(5)):
        found = correlations.correlate(np.array(order, float), values, (band.METHOD,))[band.METHOD]
        above = (found.by_sample[:, None] > band.GRID + 1e-12).mean(axis=0)
        inside.append((above >= table["low"] - 1e-12) & (above <= table["high"] + 1e-12))
    assert np.mean(inside, axis=0).min() >= 0.95


def test_many_models_and_samples_are_drawn_from():
    shared = block(*trend(models=9, samples=2500, noise=0.1))
    scores = forms.of_block(shared, "raw")
    one, other = band.of_scores(shared, scores), band.of_scores(shared, scores)
    assert one.equals(other)
    low, _, high = at(one, 0)
    assert (low, high) == (0, 1)
    free = block(*independent(models=9, samples=2500))
    low, mean, high = at(band.of_scores(free, forms.of_block(free, "raw")), 0)
    assert low > 0.4
    assert high < 0.6
    assert low < mean < high


def test_what_has_no_correlation_has_no_band():
    assert of(np.ones((4, 3))).empty
    assert of(np.ones((2, 3))).empty
