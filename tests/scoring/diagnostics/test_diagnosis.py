"""From tidy files to tables: clean ones, and ones with every fault that files have."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from algoperf.errors import UserError
from scoring.diagnostics import diagnosis, files
from tests.scoring.diagnostics.families import independent, tidy, trend


@pytest.fixture
def diagnose(tmp_path):
    """Writes tables, diagnoses them."""

    def call(*frames, models=None, kind="csv", normalisations=None):
        paths = []
        for number, frame in enumerate(frames):
            paths.append(tmp_path / f"table_{number}.{kind}")
            if kind == "csv":
                frame.to_csv(paths[-1], index=False)
            else:
                frame.to_parquet(paths[-1], index=False)
        given = None
        if models is not None:
            given = tmp_path / "models.csv"
            models.to_csv(given, index=False)
        return diagnosis.diagnose(paths, given, normalisations)

    return call


def row(found, score, method="spearman", normalisation="raw", **where):
    table = found.tables["correlations"]
    for name, value in {
        "score": score, "method": method, "normalisation": normalisation, **where,
    }.items():  # fmt: skip
        table = table[table[name] == value]
    (only,) = table.to_dict("records")
    return only


def told(found):
    return [f"{p.path}: {p.problem}; {p.action}" for p in found.problems]


def test_the_whole_against_a_loop_over_samples(diagnose):
    loglik, gold = trend(models=5, samples=12, edge=0.5, noise=2)
    found = diagnose(tidy(loglik, gold))
    assert found.problems == []
    x = np.log10(10.0 ** (18 + np.arange(5)))
    mine = np.take_along_axis(loglik, gold[None, :, None], axis=2)[..., 0]
    p = np.exp(mine) / np.exp(loglik).sum(axis=2)
    for name, values in {"log_p_vocab_correct": mine, "p_choices_correct": p}.items():
        for method, ours in {"pearson": stats.pearsonr, "kendall": stats.kendalltau}.items():
            each = [ours(x, values[:, s])[0] for s in range(12)]
            assert row(found, name, method)["mean"] == pytest.approx(np.mean(each), abs=1e-12)
            assert row(found, name, method)["median"] == pytest.approx(np.median(each), abs=1e-12)
    levels = found.tables["levels"]
    assert np.allclose(levels["p_choices_correct"], p.mean(axis=1))
    assert np.allclose(levels["accuracy"], (loglik.argmax(axis=2) == gold).mean(axis=1))
    assert row(found, "accuracy")["n_models"] == 5
    assert row(found, "accuracy")["n_samples"] == 12


def test_a_shared_trend_and_none(diagnose):
    found = diagnose(tidy(*trend(models=7, samples=60)))
    assert row(found, "log_p_vocab_correct")["mean"] > 0.95
    assert row(found, "log_p_vocab_correct")["null_p_value"] < 0.001
    found = diagnose(tidy(*independent(models=7, samples=60)))
    assert abs(row(found, "p_choices_correct")["mean"]) < 0.3
    assert row(found, "p_choices_correct")["null_p_value"] > 0.01


def test_parquet_is_read_alike(diagnose):
    frame = tidy(*trend())
    one, other = diagnose(frame), diagnose(frame, kind="parquet")
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name])


def test_the_order_of_the_rows_does_not_matter(diagnose):
    frame = tidy(*trend())
    one = diagnose(frame).tables["correlations"]
    other = diagnose(frame.sample(frac=1, random_state=0)).tables["correlations"]
    columns = ["score", "method", "mean", "median", "null_sd", "null_p_value", "share_constant"]
    pd.testing.assert_frame_equal(one[columns], other[columns])


def test_models_may_come_in_files_of_their_own(diagnose):
    frame = tidy(*trend())
    parts = [own for _, own in frame.groupby("model")]
    whole = diagnose(frame).tables["correlations"]
    pd.testing.assert_frame_equal(diagnose(*parts).tables["correlations"], whole)


def test_ragged_numbers_of_choices(diagnose):
    loglik, gold = trend(samples=10, choices=4)
    gold = np.minimum(gold, 1)
    frame = tidy(loglik, gold)
    odd = frame["sample_id"].isin([f"s{k}" for k in range(1, 10, 2)]) & (frame["choice_idx"] > 1)
    found = diagnose(frame[~odd])
    levels = found.tables["levels"]
    cut = loglik.copy()
    cut[:, 1::2, 2:] = -np.inf
    mine = np.take_along_axis(cut, gold[None, :, None], axis=2)[..., 0]
    p = np.exp(mine) / np.exp(cut).sum(axis=2)
    assert np.allclose(levels["p_choices_correct"], p.mean(axis=1))
    (only,) = told(found)  # half have 2 choices, half 4: of as many the fewer choices are taken
    assert "5 samples do not have 2 choices as most do (s0, s2, s4 and 2 more)" in only


def test_string_typed_numbers_and_truths(diagnose):
    frame = tidy(*trend()).astype(str)
    frame["is_gold"] = frame["is_gold"].map({"True": "1", "False": "0"})
    other = diagnose(frame).tables["correlations"]
    pd.testing.assert_frame_equal(diagnose(tidy(*trend())).tables["correlations"], other)


@pytest.mark.parametrize(
    ("fault", "message", "left"),
    [
        (lambda f: f.drop(f.index[f["sample_id"].eq("s3") & f["model"].eq("glyph-2")]),
         "glyph-2: lacks 1 of the task's samples (s3)", 39),
        (lambda f: f.drop(f.index[5]), "glyph-0: lacks some choices of 1 samples (s1)", 39),
        (lambda f: f.assign(loglik_sum=f["loglik_sum"].where(f.index != 9)),
         "glyph-0: 1 samples have a value that is NaN or a log-likelihood above 0", 39),
        (lambda f: f.assign(loglik_sum=f["loglik_sum"].where(f.index != 9, 0.5)),
         "glyph-0: 1 samples have a value that is NaN or a log-likelihood above 0", 39),
        (lambda f: f.assign(is_gold=f["is_gold"] & f["sample_id"].ne("s0")),
         "glyph-0: 1 samples do not have exactly one gold choice", 39),
        (lambda f: pd.concat([f, f[:4]]), "1 of its samples are there more than once, alike", 40),
        (lambda f: f[f["sample_id"].ne("s7") | f["choice_idx"].eq(0)].assign(
            is_gold=lambda g: g["is_gold"] | g["sample_id"].eq("s7")),
         "1 samples have one choice (s7); kept them", 40),
    ],
)  # fmt: skip
def test_a_faulty_sample_is_counted_and_told(diagnose, fault, message, left):
    found = diagnose(fault(tidy(*trend())))
    assert message in "\n".join(told(found))
    assert row(found, "accuracy")["n_samples"] == left
    assert set(found.tables["alignment"]["used"]) == {left}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda f: pd.concat([f, f[:4].assign(loglik_sum=-1.0)]), "contradict themselves"),
        (lambda f: f.assign(is_gold=f["is_gold"].where(f.model != "glyph-1", f.choice_idx == 0)),
         "is not the same for all models"),
        (lambda f: f.drop(columns="is_gold"), "lacks is_gold"),
        (lambda f: f.assign(loglik_sum="high"), "loglik_sum is 'high' in row 2 "),
        (lambda f: f.assign(choice_idx=0.5), "choice_idx is 0.5 in row 2"),
        (lambda f: f.assign(choice_idx=-1), "choice_idx is -1 in row 2"),
        (lambda f: f.assign(model=""), "rows have no model"),
        (lambda f: f[:0], "has a header and no rows"),
        (lambda f: f.assign(compute=np.arange(len(f)) + 1.0), "compute of the model glyph-0"),
        (lambda f: f[["model"]].rename(columns={"model": "x"}), "is no tidy choice table"),
    ],
)  # fmt: skip
def test_what_would_make_a_result_wrong_is_refused(diagnose, fault, message):
    with pytest.raises(UserError, match=message):
        diagnose(fault(tidy(*trend())))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda f: f.assign(loglik_sum=f["loglik_sum"].where(f["model"] != "glyph-3")),
         "glyph-3: has no usable sample; did the task without it"),
        (lambda f: f.assign(choice_idx=f["choice_idx"] + 1), "choice_idx counts from 1"),
        (lambda f: f.assign(family=""), "rows have no family; called it 'unnamed'"),
        (lambda f: f.assign(n_tokens=np.where(f.index == 3, np.nan, 2)),
         "n_tokens is not known for every choice; did without per_token"),
    ],
)  # fmt: skip
def test_what_can_be_done_without_is_told(diagnose, fault, message):
    found = diagnose(fault(tidy(*trend())))
    assert message in "\n".join(told(found))
    assert row(found, "accuracy")["n_samples"] == 40


@pytest.mark.parametrize(
    "fault",
    [
        lambda f: f.assign(loglik_sum=-f["loglik_sum"]),
        lambda f: f.assign(is_gold=False),
        lambda f: f.assign(is_gold=True),
        lambda f: f.assign(loglik_sum=np.nan),
    ],
)
def test_where_nothing_is_left_is_refused(diagnose, fault):
    with pytest.raises(UserError, match="No sample is left to diagnose"):
        diagnose(fault(tidy(*trend())))


@pytest.mark.slow
@pytest.mark.parametrize(
    "loglik",
    [np.full((5, 6, 3), -math.inf), np.full((5, 6, 3), -4.0), np.full((5, 6, 1), -4.0)],
    ids=["impossible", "tied", "one choice"],
)
def test_what_is_the_same_for_all_models_has_no_correlation(diagnose, loglik, tmp_path):
    found = diagnose(tidy(loglik, np.zeros(6, int)))
    table = found.tables["correlations"]
    assert table["mean"].isna().all()
    assert (table["share_constant"] + table["share_undefined"] == 1).all()
    json.dumps(found.as_json(), allow_nan=False)
    assert files.write_report(found, tmp_path / "report")


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        ([np.nan] * 6, "no model has a compute above 0; did no correlations"),
        ([1e18, 1e19, np.nan, np.nan, np.nan, np.nan], "2 models with compute are too few"),
        ([1e18] * 6, "all models have equal compute"),
        ([0, 1e18, 1e19, 1e20, 1e21, 1e22], "glyph-0: has a compute that is not above 0"),
        ([1e18, 1e18, 1e19, 1e20, 1e21, 1e22], "have equal compute (1e+18)"),
        ([np.nan, 1e18, 1e19, 1e20, 1e21, 1e22], "glyph-0: has no compute"),
    ],
)
def test_compute_that_is_not_there(diagnose, compute, message):
    found = diagnose(tidy(*trend(), compute=compute))
    assert message in "\n".join(told(found))
    assert found.tables["levels"]["accuracy"].notna().all()
    usable = sum(c > 0 for c in compute)
    if usable >= 5 and len(set(compute)) > 1:
        assert row(found, "accuracy")["n_models"] == usable
    else:
        assert found.tables["correlations"].empty


def test_a_table_of_models_gives_families_and_compute(diagnose):
    frame = tidy(*trend()).drop(columns=["family", "compute"])
    models = pd.DataFrame(
        {"model": [f"org/glyph-{k}" for k in range(6)], "family": "a",
         "parameters": 1e6, "tokens": [10.0**k for k in range(6, 12)]}
    )  # fmt: skip
    found = diagnose(frame, models=models)
    assert row(found, "accuracy")["family"] == "a"
    # 6 N D
    assert found.tables["levels"]["compute"].tolist() == [6e6 * 10**k for k in range(6, 12)]
    found = diagnose(frame, models=models[1:])
    assert "glyph-0: is not in the table of models; took what its file says" in told(found)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (pd.DataFrame({"name": ["a"]}), "has no column model"),
        (pd.DataFrame({"model": ["a", "a"]}), "has the model a more than once"),
        (pd.DataFrame({"model": ["a"], "compute": ["big"]}), "compute of a is 'big'"),
    ],
)
def test_a_faulty_table_of_models(diagnose, models, message):
    with pytest.raises(UserError, match=message):
        diagnose(tidy(*trend()), models=models)


def test_normalised_scores_are_labelled(diagnose):
    loglik, gold = trend()
    count = np.arange(1, 5)
    frame = tidy(loglik, gold, n_tokens=count, loglik_uncond=-5.0 * count)
    found = diagnose(frame)
    assert set(found.tables["levels"]["normalisation"]) == {"raw", "per_token", "pmi"}
    levels = found.tables["levels"].set_index(["normalisation", "model"])
    hit = ((loglik / count).argmax(axis=2) == gold).mean(axis=1)
    assert np.allclose(levels.loc["per_token", "accuracy"], hit)
    hit = ((loglik + 5 * count).argmax(axis=2) == gold).mean(axis=1)
    assert np.allclose(levels.loc["pmi", "accuracy"], hit)
    found = diagnose(frame, normalisations=["raw", "per_char"])
    assert set(found.tables["levels"]["normalisation"]) == {"raw"}
    assert "per_char needs n_chars of every choice; did without it" in "\n".join(told(found))


def test_an_unknown_normalisation(diagnose):
    with pytest.raises(UserError, match="Unknown normalisation 'per_word'"):
        diagnose(tidy(*trend()), normalisations=["per_word"])


def test_a_table_of_scores_alone(diagnose):
    rng = np.random.default_rng(0)
    frame = tidy(*trend())[lambda f: f["choice_idx"] == 0]
    frame = frame[["family", "model", "compute", "task", "sample_id"]]
    hits = frame.assign(score=rng.integers(2, size=len(frame)))
    assert row(diagnose(hits), "accuracy")["n_samples"] == 40
    truths = diagnose(hits.assign(score=hits["score"] == 1))
    pd.testing.assert_frame_equal(
        truths.tables["correlations"], diagnose(hits).tables["correlations"]
    )
    with pytest.raises(UserError, match="a score is 'high'"):
        diagnose(hits.assign(score="high"))
    graded = frame.assign(score=rng.random(len(frame)))
    assert row(diagnose(graded), "score")["share_constant"] == 0


def test_the_json_has_its_fixed_keys_and_only_finite_numbers(diagnose):
    loglik, gold = trend(samples=8)
    loglik[:, 0] = -math.inf  # all choices impossible
    loglik[:, 1, 0] = -math.inf
    text = json.dumps(diagnose(tidy(loglik, gold)).as_json(), allow_nan=False)
    read = json.loads(text)
    assert {"correlations", "problems"} <= set(read)
    wanted = {
        "family", "task", "normalisation", "score", "method", "mean", "median", "share_constant",
        "n_samples", "n_models", "null",
    }  # fmt: skip
    assert all(wanted <= set(each) for each in read["correlations"])
    assert all({"sd", "p_value"} <= set(each["null"]) for each in read["correlations"])
    assert {each["score"] for each in read["correlations"]} == {
        "log_p_vocab_correct", "p_vocab_correct", "log_p_vocab_incorrect", "p_choices_correct",
        "brier", "accuracy", "margin",
    }  # fmt: skip


def test_p_vocab_does_not_underflow(diagnose):
    loglik, gold = trend(noise=0.01)
    near, far = diagnose(tidy(loglik, gold)), diagnose(tidy(loglik - 10_000, gold))
    for method in ("pearson", "spearman", "kendall"):
        name = "p_vocab_correct"
        assert row(far, name, method)["mean"] == pytest.approx(row(near, name, method)["mean"])
        assert row(far, name, method)["share_constant"] == 0


def test_computes_that_differ_less_than_their_logarithms_are_equal(diagnose):
    near = 1e18 * (1 + np.arange(4) * np.finfo(float).eps)
    loglik, gold = trend(models=4, samples=12)
    found = diagnose(tidy(loglik, gold, compute=near))
    assert any("all models have equal compute; did no correlations" in text for text in told(found))
    assert len(found.tables["levels"]) == 4


def test_clusters_of_scores_widen_their_intervals(diagnose):
    """Ten clusters of five equal samples."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "model": [f"m{k}" for k in np.arange(5).repeat(50)],
            "compute": (10.0 ** np.arange(5)).repeat(50),
            "task": "t",
            "sample_id": [f"s{k}" for k in np.tile(np.arange(50), 5)],
            "score": rng.normal(size=(5, 10)).repeat(5, axis=1).ravel(),
        }
    )
    clusters = np.tile(np.arange(10).repeat(5), 5)
    alone, together = (
        row(diagnose(table), "score") for table in (frame, frame.assign(cluster=clusters))
    )
    for name in ("mean", "median", "share_above"):
        width = [r[f"{name}_high"] - r[f"{name}_low"] for r in (alone, together)]
        assert width[1] > 1.5 * width[0], name


def test_flips_name_the_pair_with_the_least_and_the_most_compute(diagnose):
    loglik, gold = trend(models=4, samples=12)
    found = diagnose(tidy(loglik, gold, compute=[1e20, 0.0, np.nan, 1e18]))
    flips = found.tables["flips"]
    assert len(flips) == 6
    (far,) = flips[flips["outermost"]].to_dict("records")
    assert (far["first"], far["second"]) == ("glyph-1", "glyph-0")


def test_of_one_cluster_nothing_can_be_drawn(diagnose):
    frame = tidy(*trend(models=4, samples=12))
    alone, together = (diagnose(table) for table in (frame, frame.assign(cluster="only")))
    assert any("all samples are in one cluster" in text for text in told(together))
    for name in ("mean_low", "mean_high"):
        assert row(together, "accuracy")[name] == row(alone, "accuracy")[name]
