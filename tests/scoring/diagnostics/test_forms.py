"""Ranks and correlations of scores that their own numbers cannot tell apart."""

import decimal
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from scoring.diagnostics import chain, correlations, forms, permutations, scale
from tests.scoring.diagnostics.families import block

CHAIN = ("p_vocab_correct", "p_choices_correct", "brier")


def of(ell, gold=0):
    """Forms of log-likelihoods of shape (models, choices): one sample."""
    return of_all(block(np.asarray(ell, float)[:, None, :], [gold]))


def of_all(made):
    return forms.of_choices(made.loglik, made.gold)


def value(made, name):
    return chain.SCORES[name](made.loglik, made.gold)


EXACT = decimal.Context(prec=1500, Emin=-(10**9), Emax=10**9)


def exact(ell, gold=0):
    """(odds of p_choices, negated Brier) of each model, to 1,500 digits."""
    with decimal.localcontext(EXACT):
        found = []
        for model in ell:
            p = [decimal.Decimal(value).exp() for value in model]
            p = [value / sum(p) for value in p]
            brier = sum((value - (k == gold)) ** 2 for k, value in enumerate(p))
            found.append((p[gold] / sum(v for k, v in enumerate(p) if k != gold), -brier))
        return found


def ranks(values):
    return stats.rankdata(np.asarray(values)).tolist()


def from_worst(one, other):
    """Two negated Brier scores, or where both are near -2 how far they are from it."""
    with decimal.localcontext(EXACT):
        return (2 + one, 2 + other) if max(one, other) < -1 else (one, other)


def exact_sign(one, other, least):
    """Which of two decimals is larger; neither, where they differ by less than that share."""
    with decimal.localcontext(EXACT):
        apart = other - one
        if abs(apart) <= max(abs(one), abs(other)) * decimal.Decimal(least):
            return 0
        return 1 if apart > 0 else -1


@pytest.mark.parametrize(
    "margins",
    [
        [40.0, 45.0, 55.0, 50.0],  # p_choices is 1 to the last bit
        [-40.0, -45.0, -55.0, -50.0],  # Brier is -2
        [-800.0, -950.0, -850.0, -900.0],  # exp(margin) is 0
        [-800.0, 0.0, 800.0, 0.0],
    ],
)
def test_of_two_choices_brier_and_p_choices_rank_as_the_margins(margins):
    got = of([[min(m, 0.0) - 9, -max(m, 0.0) - 9] for m in margins])
    for name in ("p_choices_correct", "brier"):
        assert ranks(got[name].order[:, 0]) == ranks(margins), name


extreme = hnp.arrays(
    float, st.tuples(st.just(3), st.integers(2, 4)), elements=st.integers(-1200, 0).map(float)
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(extreme)
def test_ranks_are_those_of_exact_arithmetic(ell):
    """Of three and more choices what is too small beside another does not count, or rounds."""
    got, known = of(ell), exact(ell)
    for k, name in enumerate(("p_choices_correct", "brier")):
        order = got[name].order[:, 0]
        for a, b in ((0, 1), (0, 2), (1, 2)):
            of_pair = known[a][k], known[b][k]
            of_pair = from_worst(*of_pair) if name == "brier" else of_pair
            wanted = exact_sign(*of_pair, "1e-1400")
            if ell.shape[1] == 2 or wanted == 0 or exact_sign(*of_pair, "1e-9"):
                assert np.sign(order[b] - order[a]) == wanted, name


@given(
    hnp.arrays(float, (1, 3, 4), elements=st.integers(-60, 0).map(float)),
    hnp.arrays(float, (5, 3, 1), elements=st.integers(-9_000, 0).map(float)),
)
def test_what_all_choices_share_leaves_no_trace(ell, shift):
    """As in logs of few bits: the same questions, more or less likely as a whole."""
    got = of_all(block(ell + shift, [1, 0, 3]))
    for name in ("p_choices_correct", "brier"):
        assert correlations.constant(got[name].order).all(), name


@given(hnp.arrays(float, (4, 6, 4), elements=st.floats(-300, 0)), st.permutations(range(1, 4)))
def test_the_order_of_the_incorrect_choices_changes_no_bit(ell, order):
    gold = np.zeros(6, int)
    one = of_all(block(ell, gold))
    other = of_all(block(ell[:, :, [0, *order]], gold))
    for name in (*CHAIN, "log_p_vocab_incorrect", "margin"):
        assert np.array_equal(one[name].order, other[name].order), name


@given(hnp.arrays(float, (5, 8, 3), elements=st.floats(-20, 0).map(lambda v: round(v, 3))))
def test_where_numbers_suffice_the_forms_say_what_the_score_says(ell):
    made = block(ell, np.zeros(8, int))
    got = of_all(made)
    x = np.arange(5.0)
    for name in CHAIN:
        spread = np.ptp(value(made, name), axis=0) > 1e-6
        if not spread.any():
            continue
        one, other = (
            correlations.correlate(x, v[:, spread], ("pearson",))["pearson"].by_sample
            for v in (value(made, name), got[name].linear)
        )
        assert np.allclose(one, other, atol=1e-6), name
        for s in np.flatnonzero(spread):
            for a, b in ((0, 1), (2, 4)):
                apart = value(made, name)[b, s] - value(made, name)[a, s]
                if abs(apart) > 1e-9:
                    assert np.sign(apart) == np.sign(got[name].order[b, s] - got[name].order[a, s])


def test_pearson_of_a_sure_model_by_hand():
    # 1 - p is exp(-40), exp(-41), exp(-42) but for parts of 1e-18: p goes as -1, -1/e, -1/e^2.
    got = of([[-1.0, -41.0], [-1.0, -42.0], [-1.0, -43.0]])
    x = np.arange(3.0)
    wanted = stats.pearsonr(x, [-1.0, -math.exp(-1), -math.exp(-2)]).statistic
    for name, power in (("p_choices_correct", 1), ("brier", 2)):
        found = correlations.correlate(x, got[name].linear, ("pearson",))["pearson"].by_sample[0]
        wanted = stats.pearsonr(x, [-math.exp(-power * k) for k in range(3)]).statistic
        assert found == pytest.approx(wanted, abs=1e-12), name


def test_impossible_choices_have_ranks():
    got = of([[-math.inf, -1.0, -2.0], [-1.0, -math.inf, -math.inf], [-1.0, -1.0, -2.0]])
    for name in ("p_choices_correct", "brier"):
        assert ranks(got[name].order[:, 0]) == [1.0, 3.0, 2.0], name
    nothing = of([[-math.inf, -math.inf], [-1.0, -2.0], [-1.0, -1.0]])
    for name in ("p_choices_correct", "brier"):
        assert np.isnan(nothing[name].order[0, 0])
    alone = of([[-1.0], [-2.0], [-3.0]])
    for name in ("p_choices_correct", "brier"):
        assert correlations.constant(alone[name].order).all()


def test_two_choices_are_compared_as_equal_whatever_their_likelihood():
    rng = np.random.default_rng(0)
    ell = np.minimum(rng.normal(-60, 20, (8, 500, 2)).round(2), 0.0)
    made = block(ell, rng.integers(2, size=500))
    rows, pairs, _ = scale.correlate(made, forms.of_block(made, "raw"), "raw", [])
    one = next(
        row
        for row in pairs
        if (row["first"], row["second"], row["method"])
        == ("p_choices_correct", "brier", "spearman")
    )
    assert (one["share_higher"], one["share_lower"], one["difference"]) == (0.0, 0.0, 0.0)
    of_row = {(row["score"], row["method"]): row for row in rows}
    for method in ("spearman", "kendall"):
        for column in ("mean", "null_sd", "jackknife_sd", "null_share_above"):
            values = [of_row[name, method][column] for name in ("p_choices_correct", "brier")]
            assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_likelihoods_far_below_the_smallest_number_have_their_null_and_their_width():
    rng = np.random.default_rng(1)
    ell = -rng.exponential(6, (4, 50, 3))
    near, far = (
        {
            (row["score"], row["method"]): row
            for row in scale.correlate(made, forms.of_block(made, "raw"), "raw", [])[0]
        }
        for made in (block(e, np.zeros(50, int)) for e in (ell, ell - 10_000))
    )
    for method in correlations.METHODS:
        for column in ("mean", "null_share_above", "share_constant"):
            assert far["p_vocab_correct", method][column] == pytest.approx(
                near["p_vocab_correct", method][column], abs=1e-6
            )
    assert far["p_vocab_correct", "pearson"]["share_wide"] == pytest.approx(
        near["p_vocab_correct", "pearson"]["share_wide"]
    )
    assert near["p_vocab_correct", "pearson"]["share_wide"] > 0


def test_the_null_share_of_pearson_is_exact_where_it_can_be():
    """Against every order of every sample, one by one."""
    rng = np.random.default_rng(2)
    x, values = np.array([0.0, 1.0, 2.0, 4.0]), rng.exponential(size=(4, 60)) ** 3
    high = [
        stats.pearsonr(x[order], values[:, s]).statistic > 0.75
        for s in range(60)
        for order in permutations.orders(4)
    ]
    share, is_exact = permutations.null_share(x, values, "pearson", 0.75)
    assert is_exact
    assert share == pytest.approx(np.mean(high), abs=1e-12)


def test_the_null_share_of_many_samples_is_near_and_says_that_it_is_not_exact():
    rng = np.random.default_rng(3)
    x, values = np.arange(8.0), np.exp(rng.normal(-9, 3, (8, 3_000)))
    unit = correlations.unit_vectors(values, "pearson")
    of_x = correlations.unit_vectors(x[permutations.orders(8)].T, "pearson")
    every = np.mean([(of_x.T @ part > 0.75).mean() for part in np.array_split(unit, 30, axis=1)])
    share, is_exact = permutations.null_share(x, values, "pearson", 0.75)
    assert not is_exact
    assert share == pytest.approx(every, rel=0.25)
    assert permutations.null_share(x, values, "spearman", 0.75)[1]


def test_ranks_by_hand():
    # 0.3 and 0.1 + 0.2 are one value; infinities are equal to themselves.
    values = np.array([[0.3, np.inf], [0.1 + 0.2, -np.inf], [0.1, np.inf], [np.nan, 0.0]])
    got = forms.ranks(values, np.full(2, 1e-12))
    assert np.array_equal(got[:, 0], [1.0, 1.0, 0.0, np.nan], equal_nan=True)
    assert got[:, 1].tolist() == [2.0, 0.0, 2.0, 1.0]


def test_brier_near_its_worst_by_hand():
    # Rivals at -100 and d: 2 - Brier is 4 p + 2 exp(d + 100), and the second part is larger.
    ell = [[-160.0, -100, -140], [-158.0, -100, -143], [-156.0, -100, -146], [-154.0, -100, -149]]
    assert ranks(of(ell)["brier"].order[:, 0]) == [4.0, 3.0, 2.0, 1.0]
    # Rivals alike: Brier is 1.5 (1 - p)^2, 1.5 to the last bit, and p decides.
    ell = [[-60.0 - k, 0.0, 0.0] for k in range(4)]
    assert ranks(of(ell)["brier"].order[:, 0]) == [4.0, 3.0, 2.0, 1.0]
    found = correlations.correlate(np.arange(4.0), of(ell)["brier"].linear, ("pearson",))
    wanted = stats.pearsonr(np.arange(4), [math.exp(-k) for k in range(4)]).statistic
    assert found["pearson"].by_sample[0] == pytest.approx(wanted, abs=1e-12)


def test_a_model_without_compute_changes_nothing():
    ell = [[40.0 - 200 + k, -200.0] for k in range(4)]
    rows = []
    known, odd = [1e18, 1e19, 1e20, 1e21], [-201.0, -200.0]
    for all_of, compute in (
        (ell, known),
        ([odd, *ell], [0.0, *known]),
        ([*ell, odd], [*known, np.nan]),
    ):
        made = block(np.array(all_of)[:, None, :], [0], compute=compute)
        rows.append(scale.correlate(made, forms.of_block(made, "raw"), "raw", [])[0])
    for row, *others in zip(*rows, strict=True):
        for other in others:
            assert row["mean"] == pytest.approx(other["mean"], nan_ok=True)
            assert row["share_undefined"] == other["share_undefined"]


@given(
    hnp.arrays(float, (1, 3, 4), elements=st.integers(-600, 0).map(lambda v: v / 10)),
    hnp.arrays(float, (5, 3, 1), elements=st.integers(-9_000, 0).map(lambda v: v / 10)),
)
def test_a_shift_leaves_no_trace_though_it_rounds(ell, shift):
    got = of_all(block(ell + shift, [1, 0, 3]))
    for name in ("p_choices_correct", "brier", "margin"):
        assert correlations.constant(got[name].order).all(), name
        assert correlations.constant(got[name].linear).all(), name


def test_log_odds_by_hand():
    # 0.2 against 0.1 + 0.1: even.
    ell = np.log([0.2, 0.1, 0.1])[:, None, None]
    assert chain.log_odds(ell, np.array([0]))[0, 0] == pytest.approx(0.0, abs=1e-15)
    assert chain.log_odds(ell - 1e4, np.array([1]))[0, 0] == pytest.approx(math.log(1 / 3))
