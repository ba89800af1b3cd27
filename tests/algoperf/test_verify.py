"""What claims to have reached its target is measured again."""

import dataclasses
import json
import subprocess
import sys

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from algoperf import parameters, records, registry
from algoperf.errors import UserError
from algoperf.verify import Verdict, verify
from tests import tiny
from tests.algoperf.conftest import SGD


@pytest.fixture
def reached(run, tmp_path):
    """The folder of a trial that reached its target."""
    run(SGD)
    return tmp_path / "source" / "study_1" / "tiny_jax" / "trial_1"


@pytest.fixture
def known_machine(monkeypatch, reached):
    """The trial was recorded on this machine."""
    from algoperf.trial import machine_facts

    change(reached, machine_id=machine_facts()["machine_id"])


def change(trial, **changes):
    path = trial / records.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def without(trial, key):
    path = trial / records.MANIFEST
    manifest = json.loads(path.read_text())
    del manifest[key]
    path.write_text(json.dumps(manifest))


def only(folder):
    (finding,) = verify(folder, lambda _: None)
    return finding


@pytest.mark.usefixtures("known_machine")
def test_an_honest_result_repeats_exactly(reached, tmp_path):
    finding = only(tmp_path)
    assert finding.verdict is Verdict.MATCH
    assert finding.measured["validation/cross_entropy"] == pytest.approx(
        finding.recorded["validation/cross_entropy"], rel=1e-6
    )
    assert records.read_verdict(reached) == "match"
    kept = json.loads((reached / records.VERDICT).read_text())
    assert kept["measured"] == pytest.approx(dict(finding.measured))


def test_a_result_that_was_written_by_hand_does_not_repeat(reached):
    path = reached / records.MEASUREMENTS
    header, *rows = path.read_text().splitlines()
    place = header.split(",").index("validation/cross_entropy")
    cells = rows[-1].split(",")
    cells[place] = str(float(cells[place]) / 2)
    path.write_text("\n".join([header, *rows[:-1], ",".join(cells)]) + "\n")
    finding = only(reached)
    assert finding.verdict is Verdict.MISMATCH
    assert "validation/cross_entropy is" in finding.reason
    assert records.read_verdict(reached) == "mismatch"


def forge(reached, arrays):
    """Other parameters, with a manifest that fits them."""
    with (reached / records.PARAMETERS).open("wb") as file:
        np.savez(file, **arrays)
    change(reached, parameters_sha256=records.file_sha256(reached / records.PARAMETERS))


def kept_arrays(reached):
    with np.load(reached / records.PARAMETERS) as arrays:
        return dict(arrays)


def test_parameters_that_miss_the_target_are_a_mismatch(reached):
    forge(reached, {name: 0 * array for name, array in kept_arrays(reached).items()})
    finding = only(reached)
    assert finding.verdict is Verdict.MISMATCH
    assert "misses the target 0.5" in finding.reason


def test_parameters_of_another_model_are_a_mismatch(reached):
    arrays = kept_arrays(reached)
    forge(reached, {name: array[..., :1] for name, array in arrays.items()})
    assert "was kept as float32" in only(reached).reason
    forge(reached, {**arrays, "more": np.zeros(1)})
    assert "other parameters than were kept: more" in only(reached).reason


def test_a_file_that_is_not_the_one_that_was_written_is_a_mismatch(reached):
    (reached / records.PARAMETERS).write_bytes(b"something else")
    finding = only(reached)
    assert finding.verdict is Verdict.MISMATCH
    assert "is not the file that the trial wrote" in finding.reason


def test_other_data_are_a_mismatch(reached, monkeypatch):
    other = dataclasses.replace(tiny.workload, dataset=tiny.dataset)
    object.__setattr__(other, "dataset", dataclasses.replace(tiny.dataset, sha256="0" * 64))
    monkeypatch.setattr(registry, "workload", lambda _: other)
    assert "the data are not those" in only(reached).reason


def test_a_verdict_is_about_the_files_as_they_were(reached, tmp_path):
    only(tmp_path)
    assert records.read_verdict(reached) == "match"
    path = reached / records.MEASUREMENTS
    path.write_text(path.read_text().replace("0.", "0.0", 1))
    assert records.read_verdict(reached) == ""


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["header again", "no fixed", "another metric", "no data hash"])
def test_a_damaged_record_is_a_mismatch_and_stops_nobody(reached, damage):
    path = reached / records.MEASUREMENTS
    workload = json.loads((reached / records.MANIFEST).read_text())["workload"]
    if damage == "header again":
        path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    elif damage == "no fixed":
        change(reached, workload={**workload, "fixed": {}})
    elif damage == "another metric":
        target = {**workload["fixed"]["validation"], "metric": "beauty"}
        fixed = {**workload["fixed"], "validation": target}
        change(reached, workload={**workload, "fixed": fixed})
    else:
        del workload["dataset_sha256"]
        change(reached, workload=workload)
    assert only(reached).verdict is Verdict.MISMATCH


def test_a_log_that_is_empty_is_a_mismatch(reached):
    (reached / records.MEASUREMENTS).write_text("")
    assert "eval_measurements.csv cannot be read" in only(reached).reason


def test_a_manifest_that_cannot_be_read_is_a_mismatch(reached):
    (reached / records.MANIFEST).write_text("{")
    finding = only(reached)
    assert finding.verdict is Verdict.MISMATCH
    assert "manifest.json cannot be read" in finding.reason


def test_parameters_that_are_gone_are_a_mismatch(reached):
    (reached / records.PARAMETERS).unlink()
    assert only(reached).verdict is Verdict.MISMATCH
    without(reached, "parameters_sha256")
    change(reached, sandbox={})  # a trial that was shut in kept them
    finding = only(reached)
    assert finding.verdict is Verdict.MISMATCH
    assert "reached.npz is missing" in finding.reason


def test_a_trial_from_before_parameters_were_kept_is_told_apart(reached):
    (reached / records.PARAMETERS).unlink()
    without(reached, "parameters_sha256")
    assert only(reached).verdict is Verdict.NOT_KEPT
    assert records.read_verdict(reached) == ""


def test_nothing_to_verify_is_an_error(tmp_path, run):
    with pytest.raises(UserError, match="no results folder"):
        verify(tmp_path / "nowhere", lambda _: None)
    run(SGD, tiny.unreachable_for(3))
    with pytest.raises(UserError, match="says that it reached its target"):
        verify(tmp_path, lambda _: None)


def test_what_is_kept_comes_back_in_every_type():
    tree = (
        {"a": jnp.arange(3.0), "b": {"c": jnp.ones((2, 2), ml_dtypes.bfloat16)}},
        {"batch_stats": {"mean": jnp.zeros(2)}},
    )
    back = parameters.restored(parameters.flat(*tree), tree)
    assert back[0]["b"]["c"].dtype == ml_dtypes.bfloat16
    assert (back[0]["a"] == tree[0]["a"]).all()


def test_verification_never_imports_the_submission(reached, tmp_path):
    """The claim of a submission whose file would end the process is verified all the same."""
    (reached / records.SOURCE).write_text("raise SystemExit(7)")
    script = f"""
import sys
from pathlib import Path
from algoperf import registry
from tests import tiny
registry.workload = lambda name: tiny.workload
from algoperf.verify import verify
(finding,) = verify(Path({str(tmp_path)!r}), print)
assert not [name for name in sys.modules if name.startswith("submission")], "imported"
"""
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
