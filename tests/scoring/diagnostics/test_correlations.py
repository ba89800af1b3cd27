"""Correlations against scipy, their null by enumeration and by simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from scoring.diagnostics import correlations, permutations
from scoring.diagnostics.correlations import METHODS

SCIPY = {
    "pearson": stats.pearsonr,
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
}


def scipys(method, x, y):
    return math.nan if np.ptp(y) == 0 else SCIPY[method](x, y)[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("models", [3, 5, 8, 13])
@pytest.mark.parametrize("decimals", [0, 9])
def test_equal_to_scipys_loop(method, models, decimals):
    rng = np.random.default_rng(models)
    x = np.sort(rng.random(models))
    values = rng.normal(size=(models, 200)).round(decimals)
    ours = correlations.correlate(x, values, (method,))[method].by_sample
    theirs = [scipys(method, x, column) for column in values.T]
    assert np.allclose(ours, theirs, atol=1e-12, rtol=0, equal_nan=True)


def test_ties_in_compute_by_hand():
    # x = 1, 1, 2; y = 1, 2, 3. Pairs: (1,2) tied in x; (1,3), (2,3) concordant.
    # tau-b = 2 / sqrt(2 * 3).
    found = correlations.correlate(np.array([1.0, 1.0, 2.0]), np.array([[1.0], [2.0], [3.0]]))
    assert found["kendall"].by_sample[0] == pytest.approx(2 / math.sqrt(6), abs=1e-15)


def test_a_constant_sample_has_no_correlation_and_is_counted():
    values = np.array([[0.1, 0.0, 1.0], [0.1, 1.0, 2.0], [0.1, 1.0, 3.0]])
    for method, found in correlations.correlate(np.array([1.0, 2.0, 3.0]), values).items():
        assert found.constant.tolist() == [True, False, False], method
        assert np.isnan(found.by_sample).tolist() == [True, False, False]
        assert found.mean == pytest.approx(np.nanmean(found.by_sample))


def test_infinities_have_ranks_and_no_pearson():
    values = np.array([[-math.inf], [-2.0], [-1.0]])
    found = correlations.correlate(np.array([1.0, 2.0, 3.0]), values)
    assert math.isnan(found["pearson"].by_sample[0])
    assert not found["pearson"].constant[0]
    assert found["spearman"].by_sample[0] == pytest.approx(1.0)
    assert found["kendall"].by_sample[0] == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1e300])
def test_pearson_of_tiny_and_huge_values(size):
    values = size * np.array([[1.0], [2.0], [4.0]])
    x = np.array([1.0, 2.0, 3.0])
    want = stats.pearsonr(x, [1, 2, 4])[0]
    assert correlations.correlate(x, values)["pearson"].by_sample[0] == pytest.approx(want)


def test_the_null_of_a_mean_by_enumeration():
    rng = np.random.default_rng(0)
    x, values = np.array([1.0, 2.0, 4.0, 7.0]), rng.normal(size=(4, 30))
    for method in METHODS:
        found = correlations.correlate(x, values, (method,))[method]
        null = permutations.null_of_mean(x, found, method)
        means = np.array([
            np.mean([scipys(method, np.array(order), column) for column in values.T])
            for order in itertools.permutations(x)
        ])  # fmt: skip
        assert null.sd == pytest.approx(means.std(), abs=1e-12)
        assert null.p_value == pytest.approx((means >= found.mean - 1e-9).mean())
        assert null.exact
        assert null.orders == 24


def test_a_shared_trend_cannot_be_surer_than_its_models():
    """1000 copies of one rising sample of five models: p is 1/5!, not 1e-300."""
    values = np.tile(np.arange(5.0)[:, None], (1, 1000))
    found = correlations.correlate(np.arange(5.0), values, ("spearman",))["spearman"]
    assert permutations.null_of_mean(np.arange(5.0), found, "spearman").p_value == pytest.approx(
        1 / 120
    )


@pytest.mark.parametrize("models", [5, 9])
def test_p_values_are_uniform_where_there_is_no_trend(models):
    rng = np.random.default_rng(1)
    x = np.arange(float(models))
    p_values = []
    for _ in range(300):
        # Strongly dependent samples: each is the same noise over the models, plus its own.
        values = rng.normal(size=(models, 1)) + 0.3 * rng.normal(size=(models, 20))
        found = correlations.correlate(x, values, ("spearman",))["spearman"]
        p_values.append(permutations.null_of_mean(x, found, "spearman").p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("models", "share"), [(4, 4 / 24), (5, 0.067), (6, 0.051), (7, 0.024), (8, 0.018)]
)
def test_the_share_above_three_quarters_by_chance(models, share):
    """Of four models 4 of 24 orders have a Spearman above 0.75: one of 1, three of 0.8."""
    values = np.random.default_rng(0).normal(size=(models, 5))
    got, exact = permutations.null_share(np.arange(float(models)), values, "spearman", 0.75)
    assert exact
    assert got == pytest.approx(share, abs=6e-4)


@pytest.mark.parametrize(
    ("models", "ones", "highest"), [(4, 2, 0.894), (7, 3, 0.866), (8, 4, 0.873)]
)
def test_ties_cap_the_spearman_of_an_accuracy(models, ones, highest):
    values = np.zeros((models, 1))
    values[np.random.default_rng(0).permutation(models)[:ones]] = 1
    got = correlations.ceiling(np.arange(float(models)), values, "spearman")
    assert got[0] == pytest.approx(highest, abs=5e-4)


def test_gamma_reaches_one_where_ties_cap_the_others():
    # 0, 0, 1, 1: every pair that differs in both rises.
    values = np.array([[0.0], [0.0], [1.0], [1.0]])
    assert correlations.gamma(np.arange(4.0), values)[0] == 1.0
    # 0, 1, 0, 1: pairs (1,2), (1,4), (3,4) rise, (2,3) falls: (3 - 1) / 4.
    values = np.array([[0.0], [1.0], [0.0], [1.0]])
    assert correlations.gamma(np.arange(4.0), values)[0] == pytest.approx(0.5)


@given(hnp.arrays(float, st.integers(1, 40), elements=st.floats(-1, 1)))
def test_three_of_the_four_statistics_are_one_number(values):
    assert correlations.area(values) == pytest.approx(1 + values.mean(), abs=1e-9)
    one = stats.wasserstein_distance(values, [1.0])
    minus_one = stats.wasserstein_distance(values, [-1.0])
    assert -min(one, minus_one) == pytest.approx(abs(values.mean()) - 1, abs=1e-9)


def test_the_ccdf_by_hand():
    steps, share = correlations.ccdf(np.array([0.5, 1.0, 0.5, -1.0, math.nan]))
    assert steps.tolist() == [-1.0, 0.5, 1.0]
    assert share.tolist() == [0.75, 0.25, 0.0]


@settings(max_examples=40)
@given(hnp.arrays(float, (6, 5), elements=st.floats(-300, 0)))
def test_rank_correlations_cannot_tell_a_probability_from_its_logarithm(log_p):
    x = np.arange(6.0)
    for method in ("spearman", "kendall"):
        one = correlations.correlate(x, log_p, (method,))[method].by_sample
        distinct = np.exp(log_p)
        if all(len(set(a)) == len(set(b)) for a, b in zip(log_p.T, distinct.T, strict=True)):
            other = correlations.correlate(x, distinct, (method,))[method].by_sample
            assert np.array_equal(one, other, equal_nan=True)


def test_the_jackknife_by_hand():
    # Leaving out each of 1, 2, 3, 5 with y = x gives a correlation of 1 each time: sd 0.
    x = np.array([1.0, 2.0, 3.0, 5.0])
    means = correlations.jackknife(x, x[:, None], ("pearson",))["pearson"]
    assert np.allclose(means, 1.0)
    assert correlations.jackknife_sd(means) == pytest.approx(0.0, abs=1e-12)
    # Means 0.2, 0.4, 0.6: sqrt(2/3 * (0.04 + 0 + 0.04)).
    assert correlations.jackknife_sd(np.array([0.2, 0.4, 0.6])) == pytest.approx(
        math.sqrt(2 / 3 * 0.08)
    )


def test_a_paired_comparison_takes_the_samples_that_have_both():
    x = np.arange(4.0)
    first = np.array([[1, 2, 3, 4.0], [4, 3, 2, 1.0], [1, 2, 3, 4.0]]).T
    second = np.array([[1, 3, 2, 4.0], [4, 3, 2, 1.0], [5, 5, 5, 5.0]]).T
    found = [correlations.correlate(x, v, ("spearman",))["spearman"] for v in (first, second)]
    got = permutations.paired(x, first, second, (found[0], found[1]), "spearman")
    # Sample 1: 1 - 0.8; sample 2: -1 - -1; sample 3 has no second.
    assert got["n_samples"] == 2
    assert got["difference"] == pytest.approx(0.1)
    assert (got["share_higher"], got["share_lower"]) == (0.5, 0.0)
