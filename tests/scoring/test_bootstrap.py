"""How sure a score is: draws, intervals, orders and ranks, by hand and by law."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scoring.intervals import interval
from scoring.leaderboard import bootstrap


def resample(times, resamples, seed):
    return np.concatenate(list(bootstrap.resample(times, resamples, seed)))


def test_the_seed_decides_the_draws():
    times = np.random.default_rng(0).random((2, 3, 5))
    assert (resample(times, 50, 1) == resample(times, 50, 1)).all()
    assert (resample(times, 50, 1) != resample(times, 50, 2)).any()


def test_two_studies_by_enumeration():
    # Studies 1 and 3: the median of a draw of two is 1, 2 or 3, with odds 1 : 2 : 1.
    drawn = resample(np.array([[[1.0, 3.0]]]), 20_000, 0)[:, 0, 0]
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert np.abs(counts / 20_000 - [0.25, 0.5, 0.25]).max() < 0.02


def test_a_missing_study_is_not_drawn():
    times = np.array([[[4.0, np.nan, np.nan], [1.0, 2.0, 3.0]]])
    drawn = resample(times, 100, 0)
    assert (drawn[:, 0, 0] == 4.0).all()
    assert set(drawn[:, 0, 1]) <= {1.0, 2.0, 3.0}


def test_what_was_never_run_stays_unknown():
    assert np.isnan(resample(np.full((1, 1, 2), np.nan), 10, 0)).all()


def test_infinite_studies_make_infinite_medians():
    drawn = resample(np.array([[[1.0, np.inf]]]), 100, 0)[:, 0, 0]
    assert set(drawn) == {1.0, np.inf}


@given(hnp.arrays(float, (2, 2, 3), elements=st.floats(0.1, 10)), st.integers(0, 99))
def test_medians_stay_within_the_studies_they_are_drawn_from(times, seed):
    drawn = resample(times, 20, seed)
    assert (drawn >= times.min(axis=-1)).all()
    assert (drawn <= times.max(axis=-1)).all()


def test_the_interval_holds_its_share():
    low, high = interval(np.linspace(0, 1, 10_001)[:, None])
    assert np.allclose([low[0], high[0]], [0.025, 0.975])


# Three resamples of the scores of a, b, c:
#     a 0.9  b 0.5  c 0.5        ranks 1 2 2
#     a 0.6  b 0.8  c 0.2              2 1 3
#     a 0.7  b 0.6  c 0.1              1 2 3
SCORES = np.array([[0.9, 0.5, 0.5], [0.6, 0.8, 0.2], [0.7, 0.6, 0.1]])


def test_order_and_ranks_by_hand():
    above = bootstrap.order_probability(SCORES)
    assert np.allclose(above[0], [1 / 2, 2 / 3, 1])
    # b above c in two of three, and a tie counts half.
    assert np.isclose(above[1, 2], 2.5 / 3)
    ranks = bootstrap.rank_distribution(SCORES)
    assert np.allclose(ranks, [[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 1 / 3, 2 / 3]])


@given(hnp.arrays(float, (7, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])))
def test_the_two_directions_of_an_order_add_up_to_one(scores):
    above = bootstrap.order_probability(scores)
    assert np.allclose(above + above.T, 1)
    assert np.allclose(bootstrap.rank_distribution(scores).sum(axis=1), 1)


def test_a_rank_is_shared_with_whom_one_cannot_be_told_from():
    scores = np.array([0.3, 0.9, 0.8, 0.5])
    # In order b, c, d, a. b is above c in 90 % (not enough), above d in 99 %; d above a in 99 %.
    above = np.full((4, 4), 0.5)
    above[1, [2, 3, 0]] = 0.90, 0.99, 1.0
    above[3, 0] = 0.99
    assert bootstrap.shared_ranks(scores, above).tolist() == [4, 1, 1, 3]


def test_without_resamples_only_equals_share_a_rank():
    scores = np.array([0.5, 0.9, 0.5, 0.1])
    assert bootstrap.shared_ranks(scores, np.full((4, 4), np.nan)).tolist() == [2, 1, 2, 4]


def test_blocks_are_one_stream_of_draws():
    # More than one block: none of them repeats another.
    blocks = list(bootstrap.resample(np.random.default_rng(0).random((1, 1, 9)), 450, 0))
    assert [len(block) for block in blocks] == [200, 200, 50]
    assert not np.array_equal(blocks[0], blocks[1])
