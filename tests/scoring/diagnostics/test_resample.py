"""Intervals over samples: do they cover, and do clusters widen them?"""

import numpy as np

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
