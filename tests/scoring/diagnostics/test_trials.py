"""From a results folder to a diagnosis: each trial's last evaluation is a model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from algoperf import registry
from algoperf.errors import UserError
from algoperf.records import FORMAT
from scoring.diagnostics import diagnosis
from tests.scoring.diagnostics.families import independent, tidy

SIZES = {"small": 1e3, "middle": 1e4, "large": 1e5}


def trial(results, name, k, *, status="finished_early", number=1):
    """A trial of three evaluations, the last of which is better, of a model of its own size."""
    folder = results / "adamw/study_1" / f"{name}_jax" / f"trial_{number}"
    folder.mkdir(parents=True)
    loglik, _ = independent(models=3, samples=6, seed=k)
    frame = tidy(loglik, np.arange(6) % 4, compute=SIZES[name] * np.array([1, 2, 3]))
    frame["family"] = f"adamw/study_1/{name}/trial_{number}"
    frame["model"] = frame["model"].str.replace("glyph-", "step ")
    frame["parameters"], frame["tokens"] = SIZES[name], 100.0
    frame.to_csv(folder / "choices.csv", index=False)
    manifest = {
        "format": FORMAT,
        "submission": {"name": "adamw", "sha256": "1"},
        "workload": {"name": name, "base": "middle", "fixed": {}},
        "rules": "mine", "ruleset": "external", "study": 1, "trial": number,
        "ending": {"status": status, "reason": "because", "steps": 3},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def results(tmp_path):
    for k, name in enumerate(SIZES):
        trial(tmp_path / "results", name, k)
    return tmp_path / "results"


def told(found):
    return [f"{p.path}: {p.problem}; {p.action}" for p in found.problems]


def test_each_trial_is_a_model_of_its_submissions_family(results):
    found = diagnosis.diagnose([results])
    models = found.tables["models"]
    assert set(models["family"]) == {"adamw on middle"}
    assert models.set_index("model")[["compute", "parameters", "tokens"]].to_dict("index") == {
        # Of the last of three evaluations.
        f"{name}, study 1, trial 1": {"compute": 3 * size, "parameters": size, "tokens": 100.0}
        for name, size in SIZES.items()
    }
    for name, size in SIZES.items():
        table = pd.read_csv(next(results.rglob(f"{name}_jax/trial_1/choices.csv")))
        last = table[table["model"] == "step 2"]
        mean = last.loc[last["is_gold"], "loglik_sum"].mean()
        levels = found.tables["levels"]
        row = levels[levels["compute"] == 3 * size].iloc[0]
        assert row["log_p_vocab_correct"] == pytest.approx(mean)
    assert set(found.tables["correlations"]["n_models"]) == {3}


@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_trial_that_is_named_is_a_family_of_evaluations(results, named):
    folder = results / "adamw/study_1/small_jax/trial_1"
    found = diagnosis.diagnose([folder if named == "folder" else folder / "choices.csv"])
    assert found.tables["models"]["model"].tolist() == ["step 0", "step 1", "step 2"]
    assert found.tables["models"]["compute"].tolist() == [1e3, 2e3, 3e3]


def test_what_is_no_trained_model_is_told_and_left_out(results):
    trial(results, "large", 5, status="diverged", number=2)
    unfinished = trial(results, "large", 6, number=3)
    unfinished = unfinished.rename(unfinished.with_name(".trial_3.partial"))
    (unfinished / "manifest.json").unlink()
    trial(results, "small", 7, status="target_reached", number=4)
    other = results / "adamw/study_1/clicks_jax/trial_1"
    shutil.copytree(results / "adamw/study_1/small_jax/trial_1", other)
    (other / "choices.csv").unlink()
    found = diagnosis.diagnose([results])
    lines = "\n".join(told(found))
    assert "large_jax/trial_2/choices.csv: its trial diverged: because; left it out" in lines
    assert ".trial_3.partial/choices.csv: is of no trial that has ended; left it out" in lines
    assert "small, study 1, trial 4: ended where it reached its target, at step 2" in lines
    assert f"1 of 6 trials have no choices.csv, the first is {other}; left them out" in lines
    assert len(found.tables["models"]) == 4


def test_a_folder_of_other_trials_says_so(results):
    for table in results.rglob("choices.csv"):
        table.unlink()
    with pytest.raises(UserError, match=r"3 of 3 trials have no choices.csv, the first is"):
        diagnosis.diagnose([results])


@pytest.mark.slow
def test_from_training_to_diagnosis(tmp_path):
    """The commands of `make diagnose`, with trials of four steps."""
    raw = json.loads(registry.rules_files()["pocket-diagnose"].read_text())
    for numbers in raw["workloads"].values():
        numbers["step_hint"] = 4
    (tmp_path / "short.json").write_text(json.dumps({**raw, "name": "short"}))
    tool = Path(sys.executable).parent / "algoperf"
    for asked in (
        ["run", "adamw", "--suite", "pocket", "--rules", "short.json", "--results", "results"],
        ["diagnose", "results", "--out", "results/report"],
    ):
        subprocess.run([tool, *asked], cwd=tmp_path, check=True, capture_output=True)
    models = pd.read_csv(tmp_path / "results/report/models.csv")
    assert models["family"].unique().tolist() == ["adamw on facts_lm"]
    # 4 steps of 32 documents of 64 predictions.
    assert models["tokens"].tolist() == [4 * 32 * 64] * 4
    assert sorted(models["parameters"]) == [25_250, 76_371, 91_458, 346_754]
    # Counted operations are about 6 N D, as these are mostly matrix products.
    ratio = models["compute"] / (6 * models["parameters"] * models["tokens"])
    assert ratio.between(0.5, 2).all()
    levels = pd.read_csv(tmp_path / "results/report/levels.csv")
    assert set(levels["task"]) == {"recall", "lookup", "conclude", "compose"}
    assert set(levels["n_samples"]) == {40}
    found = json.loads((tmp_path / "results/report/diagnosis.json").read_text())
    assert {row["n_models"] for row in found["correlations"]} == {4}
    assert found["problems"] == []
