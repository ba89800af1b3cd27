"""lm-evaluation-harness itself asks a checkpoint, and its files are diagnosed like our own."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from algoperf import registry
from scoring.diagnostics.diagnosis import diagnose
from workloads.datasets.facts import LENGTH, questions, vocabulary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("lm_eval") is None,
        reason="needs lm-evaluation-harness: pip install 'algoperf[lm_eval]'",
    ),
    # Other people's imports and files left open are not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A trial of 80 steps that met its target, and so kept its parameters."""
    folder = tmp_path_factory.mktemp("trial")
    raw = json.loads(registry.rules_files()["pocket"].read_text())
    raw["workloads"]["facts_lm_narrow"] |= {"validation_target": 1e9, "step_hint": 80}
    (folder / "easy.json").write_text(json.dumps({**raw, "name": "easy"}))
    tool = Path(sys.executable).parent / "algoperf"
    asked = ["run", "adamw", "--suite", "pocket", "--rules", "easy.json", "--studies", "1"]
    asked += ["--workload", "facts_lm_narrow", "--results", "results"]
    subprocess.run([tool, *asked], cwd=folder, check=True, capture_output=True)
    return folder / "results/adamw/study_1/facts_lm_narrow_jax/trial_1"


def levels(found, normalisation):
    table = found.tables["levels"]
    return table[table["normalisation"] == normalisation].set_index("task")


def test_the_harness_and_our_own_table_agree(trial, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    from workloads.metrics import lm_harness

    workload, variables = lm_harness.checkpoint(trial)
    words = vocabulary()[0]
    model = lm_harness.HarnessModel(workload.model, variables, words, LENGTH + 1)
    tasks = lm_harness.write_tasks(tmp_path / "tasks", "facts", words, questions())
    assert tasks == ["facts_recall", "facts_lookup", "facts_conclude", "facts_compose"]
    results = lm_harness.evaluate(model, tasks, tmp_path / "tasks", tmp_path / "out", "tiny")

    theirs, ours = (
        diagnose([tmp_path / "out"]),
        diagnose([trial / "choices.csv"]),
    )
    columns = ["log_p_vocab_correct", "p_choices_correct", "brier", "accuracy", "margin"]
    for normalisation in ("raw", "per_char", "per_byte"):
        one, other = (levels(found, normalisation) for found in (theirs, ours))
        one = one.rename(index=lambda task: task.removeprefix("facts_")).loc[other.index]
        assert set(one["model"]) == {"tiny"}
        assert set(one["n_samples"]) == {40}
        assert np.allclose(one[columns], other[columns], atol=1e-5)
    for task, accuracy in levels(theirs, "raw")["accuracy"].items():
        assert results[str(task)]["acc,none"] == pytest.approx(accuracy)

    # Question by question, in the files as they lie there.
    own = pd.read_csv(trial / "choices.csv")
    for task in tasks:
        (file,) = (tmp_path / "out/tiny").glob(f"samples_{task}_*.jsonl")
        lines = sorted(map(json.loads, file.read_text().splitlines()), key=lambda r: r["doc_id"])
        loglik = [[float(nats) for nats, _ in line["filtered_resps"]] for line in lines]
        table = own[own["task"] == task.removeprefix("facts_")]
        assert np.allclose(np.ravel(loglik), table["loglik_sum"], atol=1e-4)
        gold = table["is_gold"].to_numpy().reshape(-1, 4).argmax(axis=1)
        assert [int(line["target"]) for line in lines] == gold.tolist()
        # Whether a choice is the likeliest continuation is written as a text, like all of them.
        assert {type(greedy) for line in lines for _, greedy in line["filtered_resps"]} == {str}


def test_whole_texts_and_what_is_refused(trial):
    from algoperf.errors import UserError
    from workloads.metrics import lm_harness

    workload, variables = lm_harness.checkpoint(trial)
    words = vocabulary()[0]
    model = lm_harness.HarnessModel(workload.model, variables, words, LENGTH + 1)
    text = " ".join(words[k] for k in (3, 5, 8))

    class Request:
        def __init__(self, *args):
            self.args = args

    # log p(a b c) = log p(a) + log p(b c | a), all after the beginning of a document.
    (whole,) = model.loglikelihood_rolling([Request(text)])
    first, rest = text.split(" ", 1)
    parts = model.loglikelihood(
        [Request("", first), Request(f"{words[0]} {first}", f" {rest}")], disable_tqdm=True
    )
    assert whole == pytest.approx(sum(nats for nats, _ in parts), abs=1e-4)
    with pytest.raises(UserError, match="has no word 'xylophone'"):
        model.tok_encode("xylophone")
    with pytest.raises(UserError, match="is no trial that has ended"):
        lm_harness.checkpoint(trial.parent)
