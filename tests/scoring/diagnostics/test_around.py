"""Flips, calibration, labels, Min-K% and concept frequency: by hand, by law, against libraries."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from algoperf.errors import UserError
from scoring.diagnostics import calibration, diagnosis, flips, frequency, labels, mink, noise
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


def test_confident_learning_by_hand():
    # Given 0: p_0 = 0.9, 0.7, 0.2: threshold 0.6. Given 1: p_1 = 0.9, 0.6, 0.6: threshold 0.7.
    # Sample 3 (given 0, p_1 = 0.8) counts under 1; samples 5, 6 (p_1 = 0.6, p_0 = 0.4) under none.
    # Counts (given, counted): (0,0) 2, (0,1) 1, (1,1) 1 -> calibrated (2, 1; 0, 3) / 6.
    p0 = np.array([0.9, 0.7, 0.2, 0.1, 0.4, 0.4])
    given_labels = np.array([0, 0, 0, 1, 1, 1])
    found = labels.confident(np.stack([p0, 1 - p0]), given_labels)
    assert found.suggested.tolist() == [0, 0, 1, 1, -1, -1]
    assert np.allclose(found.joint, np.array([[2, 1], [0, 3]]) / 6)
    assert found.error_rate == pytest.approx(1 / 6)


def test_confident_learning_finds_what_was_flipped():
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=3000)
    noisy = np.where(rng.random(3000) < 0.1, (true + 1) % 3, true)
    p = np.full((3, 3000), 0.05)
    p[true, np.arange(3000)] = 0.9
    found = labels.confident(p, noisy)
    assert found.error_rate == pytest.approx((noisy != true).mean(), abs=1e-9)
    assert (found.off_diagonal(noisy) == (noisy != true)).all()


@given(st.data())
def test_a_sample_that_counts_twice_is_as_two_samples(data):
    n, size = data.draw(st.integers(1, 12)), data.draw(st.integers(2, 4))
    whole = st.integers(1, 4)  # coarse, so that ties are found
    p = data.draw(hnp.arrays(float, (size, n), elements=whole.map(float)))
    p = p / p.sum(axis=0)
    labelled = data.draw(hnp.arrays(np.intp, n, elements=st.integers(0, size - 1)))
    times = data.draw(hnp.arrays(np.intp, n, elements=st.integers(0, 3)).filter(np.any))
    judge = labels.Judge("m", p, labelled, np.ones(n, bool))
    repeated = labels.confident(np.repeat(p, times, axis=1), np.repeat(labelled, times))
    assert judge.error_rate(times.astype(float)) == pytest.approx(repeated.error_rate)


def chances(p0, given_labels):
    """One model and two choices of which the first has these probabilities."""
    p0 = np.asarray(p0, float)
    return block(np.log(np.stack([p0, 1 - p0], axis=-1))[None], given_labels)


def test_the_interval_of_the_error_rate_is_over_whole_clusters():
    # Cluster 0 as it should be: rate 0. Cluster 1 has one sample labelled 1 that is surely a 0:
    # thresholds 0.9 and (0.9 + 0.9 + 0.1) / 3 = 0.63; of its four samples three count under their
    # own label, (0,0) 1, (1,0) 1, (1,1) 2: calibrated as they are, rate 1/4.
    # Both: thresholds 0.9 and (4 * 0.9 + 0.1) / 5 = 0.74: (0,0) 3, (1,0) 1, (1,1) 4: rate 1/8.
    made = chances([0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.9], np.array([0, 0, 1, 1, 0, 1, 1, 1]))
    clustered = dataclasses.replace(made, cluster=np.repeat([0, 1], 4))
    row = labels.of_block(clustered, [])[0].iloc[0]
    assert row["error_rate"] == pytest.approx(1 / 8)
    # Of two clusters two are drawn: a quarter of the draws has the first twice, as many the second.
    assert (row["low"], row["high"]) == pytest.approx((0, 1 / 4))


def test_the_interval_of_the_error_rate_is_as_wide_as_fresh_data_spread():
    rng = np.random.default_rng(0)
    rates, widths = [], []
    for _ in range(80):
        true = rng.integers(2, size=150)
        noisy = np.where(rng.random(150) < 0.15, 1 - true, true)
        p0 = np.clip(np.where(true == 0, 0.75, 0.25) + rng.normal(0, 0.15, 150), 0.01, 0.99)
        row = labels.of_block(chances(p0, noisy), [])[0].iloc[0]
        rates.append(row["error_rate"])
        widths.append(row["high"] - row["low"])
    # 95 % of a normal distribution are 3.92 standard deviations.
    assert np.mean(widths) == pytest.approx(3.92 * np.std(rates), rel=0.2)


def test_the_noise_at_crossing_by_hand():
    # |C| = 10, |B| = 90; the second model is 0.2 better on C, the first 0.1 better on B:
    # -2 + (1 - x) 9 = 0 at 1 - x = 2/9; noise 10 / (10 + 20) = 1/3.
    args = [np.array([value]) for value in (-0.2, 0.1, 10.0, 90.0)]
    assert noise.noise_at_crossing(*args)[0] == pytest.approx(1 / 3)
    args = [np.array([value]) for value in (0.2, 0.1, 10.0, 90.0)]
    assert math.isnan(noise.noise_at_crossing(*args)[0])  # the first is better everywhere


def test_crossings_by_corrected_labels():
    # 9 benign samples, right: first 6, second 3. 3 mislabelled ones (corrected to 1):
    # first none, second all. On C the difference is -3, on B 3: they cross where all of B is left.
    first = [1] * 6 + [0] * 3 + [0] * 3
    second = [1] * 3 + [0] * 6 + [1] * 3
    correct = np.array([0] * 9 + [1] * 3)
    loglik = np.zeros((2, 12, 2)) - 2
    for m, hits in enumerate((first, second)):
        for s, hit in enumerate(hits):
            loglik[m, s, correct[s] if hit else 1 - correct[s]] = -1
    given_labels = np.zeros(12, int)
    marked = (np.arange(2)[:, None] == correct)[:, None].repeat(2, axis=1).astype(float)
    made = block(loglik, given_labels, extra={"is_gold_corrected": marked})
    row = labels.of_block(made, [])[1].iloc[0]
    assert (row["source"], row["n_corrected"]) == ("given", 3)
    assert row["noise_at_crossing"] == pytest.approx(3 / 12)
    assert 0 < row["n_draws_crossing"] < row["n_draws"]


def corrected(first, second, marked, **columns):
    """Two models that are right (1) or wrong on samples of two choices, all labelled 0."""
    correct = np.nan_to_num(np.asarray(marked, float)).astype(int)
    loglik = np.full((2, len(correct), 2), -2.0)
    for m, hits in enumerate((first, second)):
        for s, hit in enumerate(hits):
            loglik[m, s, correct[s] if hit else 1 - correct[s]] = -1
    column = (np.arange(2)[:, None] == marked)[:, None].repeat(2, axis=1).astype(float)
    column[:, :, np.isnan(np.asarray(marked, float))] = math.nan
    made = block(loglik, np.zeros(len(correct), int), extra={"is_gold_corrected": column})
    return dataclasses.replace(made, **columns)


def test_where_models_do_not_cross_there_is_no_interval():
    # The first is ahead on B (6 to 5 of 6) and on C (2 to 1 of 3). Where a draw has the third
    # sample of C more often than the other two, it is behind on C: there they cross.
    first, second = [1] * 6 + [1, 1, 0], [1] * 5 + [0, 0, 0, 1]
    problems = []
    row = labels.of_block(corrected(first, second, [0] * 6 + [1] * 3), problems)[1].iloc[0]
    assert np.isnan(row["noise_at_crossing"])
    assert 0 < row["n_draws_crossing"] < row["n_draws"]
    assert row[["low", "high"]].isna().all()
    assert problems == []


def test_a_sample_without_a_corrected_label_is_left_out_and_told():
    # As in the test by corrected labels, with a sample more of which nothing is known.
    first, second = [1] * 6 + [0] * 7, [1] * 3 + [0] * 6 + [1] * 3 + [0]
    problems = []
    made = corrected(first, second, [0] * 9 + [1] * 3 + [math.nan])
    row = labels.of_block(made, problems)[1].iloc[0]
    assert (row["source"], row["n_samples"], row["noise"]) == ("given", 12, 3 / 12)
    assert row["noise_at_crossing"] == pytest.approx(3 / 12)
    (only,) = problems
    assert only.problem == "1 samples do not have exactly one corrected gold choice (s12)"
    assert only.action == "left them out of noise crossings"


def test_of_ragged_samples_the_usual_are_judged_and_the_others_told():
    loglik, gold = trend(models=3, samples=20, choices=4)
    gold = np.minimum(gold, 2)
    loglik[:, :3, 3] = -math.inf
    made = block(loglik, gold, present=np.isfinite(loglik[0]))
    problems = []
    errors, crossing = labels.of_block(made, problems)
    (only,) = problems
    assert only.problem == "3 samples do not have 4 choices as most do (s0, s1, s2)"
    assert only.action == "estimated label errors and noise crossings without them"
    whole = labels.of_block(block(loglik[:, 3:], gold[3:]), [])
    pd.testing.assert_frame_equal(errors, whole[0])
    pd.testing.assert_frame_equal(crossing, whole[1])
    # Labels that are given are right for any number of choices.
    marked = (np.arange(4)[:, None] == gold)[:, None].repeat(3, axis=1).astype(float)
    made = dataclasses.replace(made, extra={"is_gold_corrected": marked})
    assert set(labels.of_block(made, [])[1]["n_samples"]) == {20}


def test_an_impossible_sample_takes_no_other_with_it():
    loglik, gold = trend(models=3, samples=20)
    loglik[1, 4] = -math.inf
    problems = []
    errors, crossing = labels.of_block(block(loglik, gold), problems)
    assert errors.set_index("judge")["n_samples"].to_dict() == {
        "glyph-0": 20, "glyph-1": 19, "glyph-2": 20, "consensus": 19,
    }  # fmt: skip
    assert set(crossing["n_samples"]) == {19}
    assert [p.problem for p in problems] == ["accuracy of 1 samples is not defined (s4)"]


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
    [("high", "is no list of numbers"), ("-1 0.5", "NaN or above 0"), ("", "row 1 is empty")],
)
def test_token_log_probabilities_that_are_none(tmp_path, cell, message):
    table = pd.DataFrame({"model": ["m"], "sample_id": ["s"], "token_logprobs": [cell]})
    table.to_csv(tmp_path / "tokens.csv", index=False)
    with pytest.raises(UserError, match=message):
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
    with pytest.raises(UserError, match="frequency of 'c' .row 1. is '-1'"):
        diagnosis.diagnose([tmp_path / "f.csv"])
