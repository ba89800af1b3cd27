"""Intervals over samples: do they cover, and do clusters widen them?"""

import numpy as np
import pytest

from scoring.diagnostics import resample


def test_the_bootstrap_of_a_mean_covers_it():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        low, high = resample.mean_interval(rng.normal(size=(60, 1)), None, 200, seed)
        inside += bool(low[0] <= 0 <= high[0])
    assert 180 <= inside <= 199  # 95 % of 200 is 190, its sd 3


def test_clusters_widen_the_interval():
    """Ten clusters of ten equal samples are ten samples."""
    values = np.random.default_rng(0).normal(size=10).repeat(10)[:, None]
    alone = resample.mean_interval(values, None, 500, 0)
    together = resample.mean_interval(values, np.arange(10).repeat(10), 500, 0)
    assert 2 < (together[1] - together[0]) / (alone[1] - alone[0]) < 4.5  # sqrt(10)


def test_the_interval_of_a_median_with_clusters():
    """Ten clusters of ten equal samples are ten samples; of one each they are the samples."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=11).repeat(9)
    low, high = resample.median_interval(values[:, None], np.arange(11).repeat(9), 500, 0)
    alone = resample.median_interval(values[:, None], None, 500, 0)
    assert high[0] - low[0] > 2 * (alone[1][0] - alone[0][0])
    assert low[0] < np.median(values) < high[0]

    many = rng.normal(size=(400, 1))
    by_order = resample.median_interval(many, None, 500, 0)
    drawn = resample.median_interval(many, np.arange(400), 2000, 0)
    for one, other in zip(by_order, drawn, strict=True):
        assert one[0] == pytest.approx(other[0], abs=0.03)


def test_the_median_of_a_draw_by_hand():
    # One cluster: every draw is the sample, whose median is between 2 and 4; NaN is left out.
    values = np.array([[4.0], [1.0], [2.0], [9.0], [np.nan]])
    low, high = resample.median_interval(values, np.zeros(5, int), 20, 0)
    assert (low[0], high[0]) == (3.0, 3.0)
    assert np.isnan(resample.median_interval(values[4:], np.zeros(1, int), 20, 0)[0][0])
