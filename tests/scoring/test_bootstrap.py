import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scoring.leaderboard import bootstrap


def test_the_seed_decides_the_draws():
    times = np.random.default_rng(0).random((2, 3, 5))
    assert (bootstrap.resample(times, 50, 1) == bootstrap.resample(times, 50, 1)).all()
    assert (bootstrap.resample(times, 50, 1) != bootstrap.resample(times, 50, 2)).any()


def test_two_studies_by_enumeration():
    # Studies 1 and 3: the median of a draw of two is 1, 2 or 3, with odds 1 : 2 : 1.
    drawn = bootstrap.resample(np.array([[[1.0, 3.0]]]), 20_000, 0)[:, 0, 0]
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert np.abs(counts / 20_000 - [0.25, 0.5, 0.25]).max() < 0.02


def test_a_missing_study_is_not_drawn():
    times = np.array([[[4.0, np.nan, np.nan], [1.0, 2.0, 3.0]]])
    drawn = bootstrap.resample(times, 100, 0)
    assert (drawn[:, 0, 0] == 4.0).all()
    assert set(drawn[:, 0, 1]) <= {1.0, 2.0, 3.0}


def test_what_was_never_run_stays_unknown():
    assert np.isnan(bootstrap.resample(np.full((1, 1, 2), np.nan), 10, 0)).all()


def test_infinite_studies_make_infinite_medians():
    drawn = bootstrap.resample(np.array([[[1.0, np.inf]]]), 100, 0)[:, 0, 0]
    assert set(drawn) == {1.0, np.inf}


@given(hnp.arrays(float, (2, 2, 3), elements=st.floats(0.1, 10)), st.integers(0, 99))
def test_medians_stay_within_the_studies_they_are_drawn_from(times, seed):
    drawn = bootstrap.resample(times, 20, seed)
    assert (drawn >= times.min(axis=-1)).all()
    assert (drawn <= times.max(axis=-1)).all()


def test_the_interval_holds_its_share():
    low, high = bootstrap.interval(np.linspace(0, 1, 10_001)[:, None])
    assert np.allclose([low[0], high[0]], [0.025, 0.975])
