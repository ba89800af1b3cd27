"""A whole run from the command line, and a few steps on every kind of workload."""

import hashlib
import json

import pytest

from algoperf import cli, registry, rulesets
from algoperf.check import check
from tests.algoperf.mlcommons.conftest import SUBMISSIONS

NAMES = sorted(path.name for path in SUBMISSIONS.iterdir() if (path / "submission.py").is_file())
QUICK = ["digits_autoencoder", "digits_resnet", "digits_vit"]
POCKET = ["clicks", "facts_lm", "molecules", "speech_deepspeech", "translation"]


@pytest.mark.slow
def test_a_folder_is_run_and_everything_is_kept(tmp_path, easy_rules, capsys):
    cli.run(
        [str(SUBMISSIONS / "jit_adamw")],
        workloads=["digits_autoencoder"],
        rules=str(easy_rules),
        results=tmp_path / "results",
        studies=1,
    )
    said = capsys.readouterr().out
    assert "jit_adamw: get_batch_size does not know 'digits_autoencoder'" in said
    trial = tmp_path / "results/jit_adamw/study_1/digits_autoencoder_jax/trial_1"
    manifest = json.loads((trial / "manifest.json").read_text())
    assert manifest["ending"]["status"] == "target_reached"
    source = SUBMISSIONS / "jit_adamw/submission.py"
    assert manifest["submission"]["sha256"] == registry.source_hash(source)
    assert manifest["workload"]["batch_size"] == 128
    assert manifest["workload"]["notes"]
    assert manifest["flops_per_step"] > 0
    kept = trial / "submission_files/tuning_search_space.json"
    space = SUBMISSIONS / "jit_adamw/tuning_search_space.json"
    assert hashlib.sha256(kept.read_bytes()).digest() == hashlib.sha256(space.read_bytes()).digest()
    lines = (trial / "output.txt").read_text().splitlines()
    assert any("global_step" in line for line in lines)


@pytest.mark.table
@pytest.mark.parametrize("name", NAMES)
def test_they_train_on_the_quick_workloads(name):
    assert check(str(SUBMISSIONS / name), rulesets.load("quick"), QUICK) == []


@pytest.mark.table
@pytest.mark.parametrize("name", [n for n in NAMES if n != "jit_momentum"])
def test_they_train_on_every_kind_of_pocket_workload(name):
    """Graphs cannot be spread over the two devices of these tests, and five points are too few."""
    names = [n for n in POCKET if (name, n) != ("pmap_nesterov", "molecules")]
    assert check(str(SUBMISSIONS / name), rulesets.load("pocket"), names) == []


@pytest.mark.slow
def test_graphs_are_refused_where_pmap_would_tear_them_apart():
    faults = check(str(SUBMISSIONS / "pmap_nesterov"), rulesets.load("pocket"), ["molecules"])
    assert faults
    assert all("a graph's nodes would be torn apart" in fault for fault in faults)


@pytest.mark.slow
def test_five_points_where_six_are_needed():
    (fault,) = check(str(SUBMISSIONS / "jit_momentum"), rulesets.load("pocket"), ["molecules"])
    assert "need 6 hyperparameter points; the search space gives 5" in fault
