"""The incorrect side: its trends, the stability of the order, attribution, where truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scoring.diagnostics import mass
from tests.scoring.diagnostics.families import block, independent, trend


def attributed(made, score="p_choices_correct"):
    table = mass.attribution(made)
    table = table[table["score"] == score]
    return table.iloc[-1]  # the first model to the last


def test_attribution_by_hand():
    # One sample, two choices, the first correct. Model A: p_vocab 0.1, 0.3; model B: 0.2, 0.2.
    # v(A,A) = 1/4, v(B,A) = 0.2/0.5 = 0.4, v(A,B) = 0.1/0.3 = 1/3, v(B,B) = 1/2.
    # correct = ((0.4 - 0.25) + (0.5 - 1/3)) / 2 = 0.158333, incorrect = 0.25 - that.
    made = block(np.log([[[0.1, 0.3]], [[0.2, 0.2]]]), [0])
    row = attributed(made)
    assert (row["before"], row["after"]) == (pytest.approx(0.25), pytest.approx(0.5))
    assert row["only_correct"] == pytest.approx(0.15)
    assert row["only_incorrect"] == pytest.approx(1 / 3 - 0.25)
    assert row["correct"] == pytest.approx((0.15 + 1 / 6) / 2)
    assert row["incorrect"] == pytest.approx(0.25 - (0.15 + 1 / 6) / 2)


def test_a_frozen_incorrect_side_explains_nothing():
    loglik, gold = trend(models=4, slope=0.0, edge=2.0, noise=0.0)
    for score in mass.ATTRIBUTED:
        row = attributed(block(loglik, gold), score)
        assert row["incorrect"] == pytest.approx(0.0, abs=1e-12)
        assert row["correct"] == pytest.approx(row["after"] - row["before"])
        assert row["correct"] > 0.1


def test_a_trend_of_all_choices_cancels():
    loglik, gold = trend(models=4, slope=3.0, edge=0.0, noise=0.0)
    row = attributed(block(loglik, gold))
    assert row["before"] == pytest.approx(row["after"])
    assert row["correct"] == pytest.approx(-row["incorrect"])
    assert row["correct"] > 0.1


@given(hnp.arrays(float, (2, 3, 4), elements=st.floats(-20, 0)))
def test_the_sides_add_up(loglik):
    for score in mass.ATTRIBUTED:
        row = attributed(block(loglik, [0, 1, 2]), score)
        assert row["correct"] + row["incorrect"] == pytest.approx(
            row["after"] - row["before"], abs=1e-12
        )


def test_slopes_are_those_of_the_truth():
    made = block(*trend(models=5, slope=2.0, edge=1.5, noise=0.0))
    table = mass.trends(made)[0].set_index("side")
    assert table["mean"].to_dict() == pytest.approx(
        {"correct": 3.5, "incorrect": 2.0, "margin": 1.5}
    )
    assert (table["share_rising"] == 1).all()


def test_the_trend_of_each_choice_by_hand():
    # Decades 18 to 20. Choice 0 of the first sample: -3, -2, -4: mean -3, slope (-4 - -3) / 2.
    ell = [[[-3.0, -1.0], [-5.0, -np.inf]], [[-2.0, -1.0], [-4.0, -np.inf]],
           [[-4.0, -3.0], [-3.0, -np.inf]]]  # fmt: skip
    made = block(ell, [1, 0], present=[[1, 1], [1, 0]])
    table = mass.trends(made)[1]
    assert table["sample_id"].tolist() == ["s0", "s0", "s1"]
    assert table["choice_idx"].tolist() == [0, 1, 0]
    assert table["is_gold"].tolist() == [False, True, True]
    assert table["level"].tolist() == pytest.approx([-3.0, -5 / 3, -4.0])
    assert table["slope"].tolist() == pytest.approx([-0.5, -1.0, 1.0])


@pytest.mark.parametrize(
    ("compute", "far"),
    [
        ([0.0, 1e18, 1e19, 1e20], (0, 3)),  # an untrained model is the first, not the last
        ([1e18, 1e19, 1e20, np.nan], (0, 2)),
        ([1e18, np.nan, np.nan, np.nan], (0, 3)),  # one alone is no range
        ([np.nan] * 4, (0, 3)),
        ([1e18, 1e19, np.nan, np.nan], (0, 1)),
    ],
)
def test_from_the_least_compute_to_the_most(compute, far):
    loglik, gold = trend(models=4)
    made = block(loglik, gold, compute=compute)
    row = attributed(made)
    assert (row["first"], row["second"]) == tuple(made.models[k] for k in far)
    assert len(mass.pairs_of(made)) == len(set(mass.pairs_of(made)))


def test_the_joint_mass_of_a_shared_trend():
    loglik, gold = trend(models=3)
    table = mass.joint(block(loglik, gold))
    assert table["correct_q50"].is_monotonic_increasing
    assert table["incorrect_q50"].is_monotonic_increasing
    loglik[:, 0] = -math.inf
    assert mass.joint(block(loglik, gold))["n_impossible"].tolist() == [1, 1, 1]


def test_the_stability_of_an_order_by_hand():
    # Orders 1 < 2 < 3 and 1 < 3 < 2: two of three pairs agree, tau = 1/3; the top differs.
    made = block([[[-3.0, -2.0, -1.0]], [[-3.0, -1.0, -2.0]]], [0])
    row = mass.stability(made).iloc[0]
    assert row["kendall"] == pytest.approx(1 / 3)
    assert (row["same_top"], row["same_order"]) == (0.0, 0.0)


def test_choices_that_are_not_there_have_no_order():
    made = block([[[-3.0, -2.0, -np.inf]], [[-3.0, -2.0, -np.inf]]], [0], present=[[1, 1, 0]])
    row = mass.stability(made).iloc[0]
    assert (row["kendall"], row["same_order"]) == (1.0, 1.0)


def test_independent_orders_do_not_agree():
    table = mass.stability(block(*independent(models=3, samples=2000)))
    assert table["kendall"].abs().max() < 0.05
    assert table["same_top"].between(0.22, 0.28).all()  # of four choices
