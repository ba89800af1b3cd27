"""Wrong labels and the noise at which models change places: by hand, by law, from files."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from algoperf.errors import UserError
from scoring.diagnostics import diagnosis, labels, noise
from tests.scoring.diagnostics.families import block, tidy, trend


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


def told(found):
    return [f"{p.path}: {p.problem}; {p.action}" for p in found.problems]


def marked(frame):
    """With corrected labels that are the given ones."""
    return frame.assign(is_gold_corrected=frame["is_gold"].map({True: "1", False: "0"}))


def test_models_that_disagree_about_a_corrected_label_are_refused(tmp_path):
    frame = marked(tidy(*trend(models=3, samples=6)))
    other = frame["model"].eq("glyph-1") & frame["sample_id"].eq("s2")
    gold = int(frame[other & frame["is_gold"]]["choice_idx"].iloc[0])
    moved = (frame["choice_idx"] == (gold + 1) % 4).map({True: "1", False: "0"})
    frame["is_gold_corrected"] = frame["is_gold_corrected"].where(~other, moved)
    path = tmp_path / "choices.csv"
    frame.to_csv(path, index=False)
    message = (
        "is_gold_corrected of 1 samples is not the same for all models, the first is 's2' "
        rf".*glyph-0: {gold}, glyph-1: {(gold + 1) % 4}, glyph-2: {gold}"
    )
    with pytest.raises(UserError, match=message):
        diagnosis.diagnose([path])


def test_an_unknown_corrected_label_is_told(tmp_path):
    frame = marked(tidy(*trend(models=3, samples=6)))
    path = tmp_path / "choices.csv"
    of_one = frame["sample_id"].eq("s2")
    frame.assign(is_gold_corrected=frame["is_gold_corrected"].where(~of_one, "")).to_csv(
        path, index=False
    )
    found = diagnosis.diagnose([path])
    message = (
        "glyph, letters: 1 samples do not have exactly one corrected gold choice (s2); left them "
        "out of noise crossings"
    )
    assert message in told(found)
    assert set(found.tables["noise_crossings"]["source"]) == {"given"}
    # Where one model's file has it, it is known.
    only_one = of_one & frame["model"].ne("glyph-0")
    frame.assign(is_gold_corrected=frame["is_gold_corrected"].where(~only_one, "")).to_csv(
        path, index=False
    )
    found = diagnosis.diagnose([path])
    assert message not in told(found)
    assert set(found.tables["noise_crossings"]["n_samples"]) == {6}


def test_a_corrected_column_that_is_of_no_use_is_told(tmp_path):
    path = tmp_path / "choices.csv"
    tidy(*trend(models=3, samples=20)).assign(is_gold_corrected=0).to_csv(path, index=False)
    found = diagnosis.diagnose([path])
    assert any("20 samples do not have exactly one corrected" in line for line in told(found))
    assert any("did without the column" in line for line in told(found))
    assert set(found.tables["noise_crossings"]["source"]) == {"confident learning"}


def test_a_model_with_two_corrected_choices_disagrees_with_those_that_have_one(tmp_path):
    frame = marked(tidy(*trend(models=3, samples=6)))
    frame.loc[frame["model"].eq("glyph-1") & frame["sample_id"].eq("s2"), "is_gold_corrected"] = "1"
    frame.to_csv(tmp_path / "choices.csv", index=False)
    with pytest.raises(UserError, match=r"of 1 samples is not the same .* 0 and 1 and 2 and 3"):
        diagnosis.diagnose([tmp_path / "choices.csv"])
