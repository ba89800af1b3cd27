"""Flips, calibration, Min-K% and concept frequency: by hand, by law, against libraries."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from algoperf.errors import UserError
from scoring.diagnostics import calibration, diagnosis, flips, frequency, mink
from tests.scoring.diagnostics.families import block, trend

truths = hnp.arrays(bool, st.shared(st.integers(1, 30), key="n"))


def test_flips_by_hand():
    # Six samples, two choices, gold 0. First right on 1-4, second on 1-3 and 5.
    first = np.array([1, 1, 1, 1, 0, 0], bool)
    second = np.array([1, 1, 1, 0, 1, 0], bool)
    loglik = np.array(
        [[[-1.0, -2.0] if hit else [-2.0, -1.0] for hit in m] for m in (first, second)]
    )
    row = flips.of_block(block(loglik, [0] * 6)).iloc[0]
    assert (row["nfr"], row["pfr"], row["nfr_mc"]) == pytest.approx((1 / 6, 1 / 6, 1 / 6))
    assert row["btc"] == pytest.approx(3 / 4)
    assert row["nfr_independent"] == pytest.approx(4 / 6 * 2 / 6)
    assert row["mcnemar_p"] == 1.0
    # p_choices moves between 1 / (1 + 1/e) and 1 / (1 + e): by 0.4621.
    assert row["mean_fall"] == pytest.approx(1 / (1 + math.exp(-1)) - 1 / (1 + math.e))
    assert (row["fall_rate"], row["rise_rate"]) == pytest.approx((1 / 6, 1 / 6))


def test_between_wrong_choices_a_flip_is_counted_apart():
    # Gold 0, the first model says 1, the second 2.
    row = flips.of_block(block([[[-3.0, -1, -2]], [[-3.0, -2, -1]]], [0])).iloc[0]
    assert (row["nfr"], row["nfr_mc"]) == (0.0, 1.0)


def test_mcnemar_by_hand():
    # One against five: P(X <= 1) + P(X >= 5) of Binomial(6, 1/2) = 2 * 7 / 64.
    assert flips.mcnemar(1, 5) == pytest.approx(14 / 64)


@given(truths, truths)
def test_accuracy_is_what_flips_leave(first, second):
    row = flips.rates(first, second)
    change = row["accuracy_second"] - row["accuracy_first"]
    assert change == pytest.approx(row["pfr"] - row["nfr"], abs=1e-12)
    assert row["nfr"] >= row["nfr_floor"] - 1e-12


def test_calibration_by_hand():
    # Bins of width 1/2: (0, .5] has 0.5 right; (.5, 1] has 0.6, 0.8 of which one is right.
    confidence, hit = np.array([0.5, 0.6, 0.8]), np.array([1.0, 0.0, 1.0])
    place = calibration.equal_width(confidence, 2)
    assert place.tolist() == [0, 1, 1]
    # 1/3 * |1 - 0.5| + 2/3 * |0.5 - 0.7|
    assert calibration.expected_error(confidence, hit, place) == pytest.approx(0.9 / 3)
    # Only the second bin has two: 0.2^2 - 0.25 / 1 < 0.
    assert calibration.debiased_error(confidence, hit, place) == 0.0


def test_bins_of_equal_mass():
    confidence = np.array([0.9, 0.1, 0.5, 0.5, 0.5, 0.7])
    place = calibration.equal_mass(confidence, 3)
    assert place[2] == place[3] == place[4]  # ties stay together
    assert np.bincount(calibration.equal_mass(np.random.default_rng(0).random(30), 3)).tolist() == [
        10, 10, 10,
    ]  # fmt: skip


def test_the_debiased_error_of_a_calibrated_model_is_near_zero():
    rng = np.random.default_rng(0)
    plain, debiased = [], []
    for _ in range(50):
        confidence = rng.uniform(0.5, 1, 150)
        hit = (rng.random(150) < confidence).astype(float)
        place = calibration.equal_mass(confidence)
        plain.append(calibration.expected_error(confidence, hit, place))
        debiased.append(calibration.debiased_error(confidence, hit, place))
    assert np.mean(plain) > 0.08  # though nothing is wrong with it
    assert np.mean(debiased) < 0.05


def test_calibration_of_a_block():
    rows, diagram = calibration.of_block(block(*trend(models=2, samples=50)))
    assert len(rows) == 2
    assert diagram.groupby("model")["n_samples"].sum().tolist() == [50, 50]


def test_a_position_that_some_samples_lack_is_judged_by_those_that_have_it():
    # p = (1/2, 1/2) in both samples of two choices, (1/3, 1/3, 1/3) in the one of three; gold 0.
    # Position 0: bin of 1/2 holds two, both right: 1/2; that of 1/3 one, right: 2/3.
    # Position 1: none right: 1/2 (two samples) and 1/3. Position 2, of one sample: 1/3.
    # By samples: (2 * 1/2 + 2/3 + 2 * 1/2 + 1/3 + 1/3) / (3 + 3 + 1) = (10/3) / 7.
    loglik = np.full((1, 3, 3), -1.0)
    loglik[:, :2, 2] = -math.inf
    present = np.isfinite(loglik[0])
    rows, _ = calibration.of_block(block(loglik, [0, 0, 0], present=present))
    assert rows["classwise"].item() == pytest.approx(10 / 21)


def test_min_k_by_hand():
    logprobs = np.array([-1.0, -5.0, -2.0, -3.0, -0.5])
    assert mink.score(logprobs, 0.4) == pytest.approx((5 + 3) / 2)
    assert mink.score(logprobs, 0.05) == pytest.approx(5.0)  # at least one token


def test_min_k_tells_members(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for k in range(40):
        values = -rng.exponential(1.0 if k % 2 else 3.0, 50)
        cell = str(values.tolist()) if k % 3 else " ".join(map(str, values))
        rows.append({"model": "m", "sample_id": k, "token_logprobs": cell, "is_member": k % 2})
    pd.DataFrame(rows).to_csv(tmp_path / "tokens.csv", index=False)
    table = diagnosis.diagnose([tmp_path / "tokens.csv"]).tables["min_k"]
    assert table["ratio"].tolist() == list(mink.RATIOS)
    assert (table["auroc"] > 0.95).all()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("high", "is no list of numbers"),
        ("-1 0.5", "NaN or above 0"),
        ("", "row 2 (the header is row 1) is empty"),
    ],
)
def test_token_log_probabilities_that_are_none(tmp_path, cell, message):
    table = pd.DataFrame({"model": ["m"], "sample_id": ["s"], "token_logprobs": [cell]})
    table.to_csv(tmp_path / "tokens.csv", index=False)
    with pytest.raises(UserError, match=re.escape(message)):
        diagnosis.diagnose([tmp_path / "tokens.csv"])


def concepts(**columns):
    return pd.DataFrame({"concept": "c", "model": "", "dataset": ""} | columns)


def test_frequency_against_scipy():
    rng = np.random.default_rng(0)
    seen = np.round(10 ** rng.uniform(0, 6, 50))
    accuracy = np.clip(0.1 * np.log10(seen) + rng.normal(0, 0.05, 50), 0, 1)
    table = frequency.diagnose([concepts(frequency=seen, accuracy=accuracy)])
    theirs = stats.linregress(np.log10(seen), accuracy)
    row = table[table["policy"] == "drop_zeros"].iloc[0]
    assert (row["slope"], row["r"]) == pytest.approx((theirs.slope, theirs.rvalue))
    assert row["p_value"] == pytest.approx(theirs.pvalue)


def test_what_pooling_and_zeros_do_is_shown():
    """Two data sets: within each, accuracy falls with frequency; pooled it rises (Simpson)."""
    table = frequency.diagnose(
        [concepts(frequency=[1, 10, 1000, 10_000, 0], accuracy=[0.2, 0.1, 0.9, 0.8, 0.5],
                  dataset=["a", "a", "b", "b", "b"])]
    ).set_index(["policy", "pooling"])  # fmt: skip
    assert table.loc[("drop_zeros", "pooled"), "slope"] > 0
    assert table.loc[("drop_zeros", "within"), "slope"] == pytest.approx(-0.1)
    assert table["n"].to_dict()["drop_zeros", "pooled"] == 4
    assert table["n"].to_dict()["add_one", "pooled"] == 5


def test_a_faulty_frequency(tmp_path):
    concepts(frequency=[-1], accuracy=[0.5]).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(UserError, match="frequency of 'c' is '-1' in row 2"):
        diagnosis.diagnose([tmp_path / "f.csv"])
