"""The chain of transformations, by hand and by law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scoring.diagnostics import chain


def of(loglik, gold=0):
    """Every score of one sample and one model."""
    ell = np.array(loglik, float)[:, None, None]
    place = np.array([gold])
    return {name: float(score(ell, place)[0, 0]) for name, score in chain.SCORES.items()}


def test_one_sample_by_hand():
    # p_vocab: 0.2, 0.1, 0.1. p_choices: 0.5, 0.25, 0.25.
    # Brier: 0.5^2 + 0.25^2 + 0.25^2 = 0.375. Margin: log(0.2 / 0.1) = log 2.
    got = of(np.log([0.2, 0.1, 0.1]))
    assert got["log_p_vocab_correct"] == pytest.approx(math.log(0.2), abs=1e-14)
    assert got["p_vocab_correct"] == pytest.approx(0.2)
    assert got["log_p_vocab_incorrect"] == pytest.approx(math.log(0.2))
    assert got["p_choices_correct"] == pytest.approx(0.5)
    assert got["brier"] == pytest.approx(-0.375)
    assert got["accuracy"] == 1.0
    assert got["margin"] == pytest.approx(math.log(2))


def test_the_papers_mechanism():
    """0.4 of the mass on the correct choice: what the rest does decides the accuracy."""
    assert of(np.log([0.4, 0.2, 0.2, 0.2]))["accuracy"] == 1.0
    assert of(np.log([0.4, 0.6, 1e-9, 1e-9]))["accuracy"] == 0.0


def test_nothing_underflows_at_ten_thousand_nats():
    # The choices differ by log 3: p_choices is 3/4.
    got = of([-10_000.0, -10_000.0 - math.log(3)])
    assert got["p_choices_correct"] == pytest.approx(0.75)
    assert got["log_p_vocab_incorrect"] == pytest.approx(-10_000 - math.log(3))
    assert got["brier"] == pytest.approx(-2 * 0.25**2)


def test_an_impossible_choice_is_legal():
    got = of([-math.inf, -1.0])
    assert (got["p_vocab_correct"], got["p_choices_correct"], got["brier"]) == (0.0, 0.0, -2.0)
    assert got["margin"] == -math.inf


def test_of_impossible_choices_none_is_likelier():
    got = of([-math.inf, -math.inf])
    assert all(math.isnan(got[n]) for n in ("p_choices_correct", "brier", "accuracy", "margin"))


def test_one_choice():
    got = of([-3.0])
    assert (got["p_choices_correct"], got["brier"], got["accuracy"]) == (1.0, 0.0, 1.0)
    assert got["log_p_vocab_incorrect"] == -math.inf
    assert got["margin"] == math.inf


@pytest.mark.parametrize(
    ("loglik", "gold", "first", "expected", "pessimistic"),
    [
        ([-1.0, -1.0, -2.0], 0, 1.0, 0.5, 0.0),  # two share the top, the first is correct
        ([-1.0, -1.0, -2.0], 1, 0.0, 0.5, 0.0),  # the second is
        ([-1.0, -1.0, -2.0], 2, 0.0, 0.0, 0.0),
        ([-1.0, -1.0, -1.0], 0, 1.0, 1 / 3, 0.0),
        ([-1.0, -2.0, -2.0], 0, 1.0, 1.0, 1.0),  # ties below the top do not matter
    ],
)
def test_three_rules_for_ties(loglik, gold, first, expected, pessimistic):
    rules = chain.accuracy_by_tie_rule(np.array(loglik)[:, None, None], np.array([gold]))
    assert [float(v[0, 0]) for v in rules.values()] == [first, pytest.approx(expected), pessimistic]


loglik = hnp.arrays(float, st.tuples(st.integers(2, 5), st.just(3), st.just(4)),
                    elements=st.floats(-200, 0).map(lambda v: round(v, 6)))  # fmt: skip


@given(loglik, st.floats(-500, 0), st.integers(0, 1))
def test_a_constant_changes_p_vocab_and_not_p_choices(ell, constant, gold):
    golds = np.full(4, gold)
    for name in ("p_choices_correct", "brier", "margin"):
        score = chain.SCORES[name]
        assert np.allclose(score(ell + constant, golds), score(ell, golds), atol=1e-9)
    shift = chain.log_p_vocab_correct(ell + constant, golds) - chain.log_p_vocab_correct(ell, golds)
    assert np.allclose(shift, constant)


@given(loglik, st.randoms(use_true_random=False))
def test_the_order_of_the_choices_changes_nothing(ell, random):
    order = list(range(len(ell)))
    random.shuffle(order)
    before, after = np.zeros(4, int), np.full(4, order.index(0))
    for name, score in chain.SCORES.items():
        if name != "accuracy":  # whose first-index rule does depend on it
            assert np.allclose(score(ell[order], after), score(ell, before), atol=1e-12), name
    by_rule = [chain.accuracy_by_tie_rule(*args) for args in ((ell[order], after), (ell, before))]
    for rule in ("accuracy_expected", "accuracy_pessimistic"):
        assert np.allclose(by_rule[0][rule], by_rule[1][rule])


@given(loglik)
def test_p_choices_sum_to_one_and_accuracy_follows_half(ell):
    p = np.exp(chain.log_p_choices(ell))
    assert np.allclose(p.sum(axis=0), 1.0)
    golds = np.zeros(4, int)
    sure = chain.p_choices_correct(ell, golds) > 0.5 + 1e-9
    assert (chain.accuracy(ell, golds)[sure] == 1).all()


@given(hnp.arrays(float, (2, 3, 4), elements=st.floats(-50, 0)))
def test_of_two_choices_brier_is_a_function_of_p_choices(ell):
    golds = np.zeros(4, int)
    p = chain.p_choices_correct(ell, golds)
    assert np.allclose(chain.brier(ell, golds), -2 * (1 - p) ** 2)
