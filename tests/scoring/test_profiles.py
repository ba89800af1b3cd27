"""Profiles and scores by hand, and the laws that hold for any times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from algoperf.rules import Scoring
from scoring.leaderboard import profiles
from scoring.leaderboard.profiles import Suite

INF = np.inf

# Two submissions on three workloads, in seconds:
#            w1    w2    w3
#     a      10    30   inf
#     b      20    10    50
# Fastest:   10    10    50
# Ratios  a:  1     3   inf
#         b:  2     1     1
# With tau_max 4, a workload gains (4 - r) / 3:
#         a:  1    1/3    0   -> score (4/3) / 3 = 4/9
#         b: 2/3    1     1   -> score (8/3) / 3 = 8/9
TIMES = np.array([[10.0, 30.0, INF], [20.0, 10.0, 50.0]])


def suite(times, held_out=None):
    bases = times.shape[-1] if held_out is None else len(held_out)
    names = tuple(f"w{place}" for place in range(times.shape[-1]))
    return Suite(names, bases, tuple(held_out or [()] * bases))


def ratios(times, held_out=None, tau_max=4.0):
    return profiles.ratios(times.copy(), suite(times, held_out), tau_max)


def scores(times, held_out=None, **scoring):
    return profiles.score(times.copy(), suite(times, held_out), Scoring(**scoring))[1]


def test_ratios_and_scores_by_hand():
    assert ratios(TIMES).tolist() == [[1.0, 3.0, INF], [2.0, 1.0, 1.0]]
    assert scores(TIMES) == pytest.approx([4 / 9, 8 / 9])


def test_the_profile_by_hand():
    tau = np.array([1.0, 1.99, 2.0, 3.0, 4.0])
    rho = profiles.profile(ratios(TIMES), tau)
    assert rho == pytest.approx(
        np.array([[1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3], [2 / 3, 2 / 3, 1.0, 1.0, 1.0]])
    )


def test_the_score_is_the_exact_area_under_the_profile():
    # A fine Riemann sum of the step function agrees to its step width.
    tau = np.linspace(1, 4, 300_001)
    area = profiles.profile(ratios(TIMES), tau)[:, :-1].mean(axis=1)
    assert scores(TIMES) == pytest.approx(area, abs=1e-5)


def test_at_four_times_the_fastest_a_workload_still_counts_but_gains_nothing():
    # 40 = 4 x 10 is kept, 40.001 is not: the rule voids only what is above.
    times = np.array([[10.0, 10.0], [40.0, 40.001]])
    assert ratios(times)[1].tolist() == [4.0, INF]
    assert scores(times)[1] == 0.0


def test_a_workload_that_nobody_reached_still_counts_in_the_denominator():
    assert scores(np.array([[10.0, INF], [20.0, INF]])) == pytest.approx([1 / 2, (2 / 3) / 2])


def test_a_workload_that_was_never_run_is_not_reached():
    assert ratios(np.array([[10.0, np.nan], [20.0, 5.0]]))[0, 1] == INF


def test_a_missed_held_out_variant_voids_its_base():
    # Columns: base 1, base 2, held-out of base 1. b misses the variant, so base 1 is a's alone.
    #      w1   w2   w1'
    # a    10   10   10
    # b     5   20   inf
    times = np.array([[10.0, 10.0, 10.0], [5.0, 20.0, INF]])
    ratio = ratios(times, held_out=[(2,), ()])
    # b's 5 s are gone before the fastest of w1 is taken for the ratio: a gets 1, not 2.
    assert ratio.tolist() == [[1.0, 1.0], [INF, 2.0]]


def test_the_four_times_rule_comes_before_the_veto():
    # The fastest base time is b's 5, so a's 25 is cut (25 > 20) although b is voided afterwards:
    # nobody has w1.
    times = np.array([[25.0, 10.0], [5.0, INF]])
    assert ratios(times, held_out=[(1,)]).tolist() == [[INF], [INF]]


def test_a_held_out_time_counts_only_with_its_base():
    # c's fast variant (1 s) does not cut the others' variants: c never reached the base.
    times = np.array([[10.0, 10.0], [12.0, 12.0], [INF, 1.0]])
    assert ratios(times, held_out=[(1,)]).tolist() == [[1.0], [1.2], [INF]]


def test_a_base_that_was_not_reached_voids_nothing_else():
    times = np.array([[10.0, 10.0, 10.0], [INF, 20.0, 5.0]])
    assert ratios(times, held_out=[(2,), ()]).tolist() == [[1.0, 1.0], [INF, 2.0]]


def test_speedups_by_hand():
    # Over a: b has ratios 10/20, 30/10 and on w3 at least 100/50 (a's budget of 100 s):
    # (0.5 * 3 * 2) ** (1/3) = 3 ** (1/3).
    budgets = np.full((2, 3), 100.0)
    assert profiles.speedups(TIMES, 0, budgets) == pytest.approx([1.0, 3 ** (1 / 3)])
    # Without budgets only what both reached is compared: sqrt(0.5 * 3).
    unknown = np.full((2, 3), np.nan)
    assert profiles.speedups(TIMES, 0, unknown) == pytest.approx([1.0, 1.5**0.5])


def test_a_workload_that_neither_reached_says_nothing_about_speed():
    times = np.array([[10.0, INF], [20.0, INF]])
    assert profiles.speedups(times, 0, np.full((2, 2), 100.0)) == pytest.approx([1.0, 0.5])


# The trapezoid rule over 4 points, tau = 1, 2, 3, 4, of MLCommons' scorer. A step is first seen
# at the next point, and half of the interval before it counts:
#     r 1    seen at 1: all of 3            -> 1
#     r 1.5  seen at 2: (4 - 2) + 1/2 = 2.5 -> 2.5/3   (exact: 2.5/3)
#     r 2    seen at 2: 2.5                 -> 2.5/3   (exact: 2/3)
#     r 3.2  seen at 4: 0 + 1/2             -> 0.5/3   (exact: 0.8/3)
#     r 4    seen at 4: 0.5                 -> 0.5/3   (exact: 0)
def test_the_trapezoid_rule_by_hand():
    ratio = np.array([1.0, 1.5, 2.0, 3.2, 4.0, INF])
    sampled = profiles.areas(ratio, Scoring(profile_points=4))
    assert sampled == pytest.approx([1, 2.5 / 3, 2.5 / 3, 0.5 / 3, 0.5 / 3, 0])
    assert profiles.areas(ratio, Scoring()) == pytest.approx([1, 2.5 / 3, 2 / 3, 0.8 / 3, 0, 0])


@given(hnp.arrays(float, (3, 5), elements=st.floats(1, 6) | st.just(INF)))
def test_the_trapezoid_rule_is_that_of_the_sampled_profile(ratio):
    # As MLCommons' scorer does it: sample rho at 100 points, integrate, divide by 3.
    tau = np.linspace(1, 4, 100)
    rho = profiles.profile(ratio, tau)
    sampled = np.trapezoid(rho, tau, axis=-1) / 3
    closed = profiles.areas(ratio, Scoring(profile_points=100)).mean(axis=-1)
    assert closed == pytest.approx(sampled, abs=1e-12)
    exact = profiles.areas(ratio, Scoring()).mean(axis=-1)
    assert np.abs(closed - exact).max() <= 1 / 99 / 2 + 1e-12  # half an interval, at most


def test_the_cutoff_may_differ_from_tau_max():
    # 30 is 3 times the fastest: beyond a cut-off of 2, though below tau_max.
    times = np.array([[10.0], [30.0]])
    assert scores(times, cutoff=2.0)[1] == 0
    assert scores(times, cutoff=4.0)[1] == pytest.approx(1 / 3)


def test_the_area_may_begin_above_one():
    # From 2 to 4: whoever is within 2 gets all of it, r = 3 half.
    times = np.array([[10.0, 10.0], [20.0, 30.0]])
    assert scores(times, tau_min=2.0)[1] == pytest.approx((1 + 1 / 2) / 2)


def test_a_suite_without_a_base_lacks_its_variant_too():
    whole = Suite(("a", "b", "b_x"), 2, ((), (2,)))
    assert whole.without(0) == (Suite(("b", "b_x"), 1, ((1,),)), [1, 2])
    assert whole.without(1) == (Suite(("a",), 1, ((),)), [0])


def test_every_held_out_variant_of_a_base_can_void_it():
    # a misses the first variant of w1, b the second: nobody has w1, in whatever order they stand.
    times = np.array([[10.0, INF, 10.0], [12.0, 12.0, INF]])
    for columns in ((1, 2), (2, 1)):
        assert ratios(times, held_out=[columns]).tolist() == [[INF], [INF]]


positive = st.floats(1e-3, 1e6) | st.just(INF)
tables = hnp.arrays(
    float, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6), elements=positive
)


@given(tables)
def test_scores_lie_between_0_and_1(times):
    assert ((scores(times) >= 0) & (scores(times) <= 1)).all()


@given(tables)
def test_a_profile_never_falls(times):
    rho = profiles.profile(ratios(times), np.linspace(1, 5, 50))
    assert (np.diff(rho, axis=1) >= 0).all()


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_submissions_and_workloads_does_not_matter(times, random):
    rows = random.sample(range(times.shape[0]), times.shape[0])
    columns = random.sample(range(times.shape[1]), times.shape[1])
    assert scores(times[rows][:, columns]) == pytest.approx(scores(times)[rows])


@given(tables, st.integers(-8, 8))
def test_the_unit_of_time_does_not_matter(times, exponent):
    assert (scores(times * 2.0**exponent) == scores(times)).all()


@given(tables, st.data())
def test_a_faster_time_never_lowers_ones_own_score(times, data):
    row = data.draw(st.integers(0, times.shape[0] - 1))
    column = data.draw(st.integers(0, times.shape[1] - 1))
    faster = times.copy()
    faster[row, column] = data.draw(st.floats(1e-4, min(times[row, column], 1e6)))
    assert scores(faster)[row] >= scores(times)[row] - 1e-12


@given(tables)
def test_the_fastest_somewhere_has_a_positive_score(times):
    fastest = np.isfinite(times) & (times == times.min(axis=0))
    assert (scores(times)[fastest.any(axis=1)] > 0).all()


@given(tables)
def test_leading_dimensions_are_resamples(times):
    assert (scores(np.stack([times, times * 2])) == scores(times)).all()
