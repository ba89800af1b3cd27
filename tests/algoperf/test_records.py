import json
import math
from pathlib import Path

import pytest

from algoperf import registry
from algoperf.disk import CannotRecord
from algoperf.recording import TrialRecord
from algoperf.records import Ending, TrialSpec, read_measurements
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.spec import Status, Target

FIXED = WorkloadRules(Target("loss", 0.5, False), Target("loss", math.nan, False), math.inf, 10)


@pytest.fixture
def spec(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("# the source\n")
    sha256 = registry.source_hash(source)
    return TrialSpec(
        "mine", source, sha256, "glyphs", 2, 3, 7, {"rate": 0.1}, Ruleset.EXTERNAL, "quick", FIXED
    )


ENDING = Ending(Status.FINISHED_EARLY, "for the test", 20)


def test_the_layout_is_mlcommons(spec, tmp_path):
    record = TrialRecord(spec, tmp_path)
    record.begin()
    record.append({"global_step": 1, "score": 0.5})
    folder = record.finish(ENDING, {"machine": {"cpu": "Z80"}})
    assert folder == tmp_path / "mine" / "study_2" / "glyphs_jax" / "trial_3"
    assert {path.name for path in folder.iterdir()} == {
        "eval_measurements.csv",
        "hparams.json",
        "meta_data_0.json",
        "manifest.json",
        "submission.py",
    }
    assert json.loads((folder / "hparams.json").read_text()) == {"rate": 0.1}
    assert (folder / "submission.py").read_text() == "# the source\n"
    meta = json.loads((folder / "meta_data_0.json").read_text())
    assert meta["workload.validation_target_value"] == 0.5
    assert (meta["rng_seed"], meta["cpu_model_name"]) == (7, "Z80")


def test_a_manifest_is_strict_json(spec, tmp_path):
    record = TrialRecord(spec, tmp_path)
    record.begin()
    folder = record.finish(ENDING, {"flops_per_step": math.nan})

    def refuse(constant):
        raise AssertionError(constant)

    manifest = json.loads((folder / "manifest.json").read_text(), parse_constant=refuse)
    assert manifest["flops_per_step"] is None
    assert manifest["workload"]["fixed"]["budget_s"] is None
    assert manifest["ending"] == {"status": "finished_early", "reason": "for the test", "steps": 20}


def test_numbers_come_back_as_they_were_measured(spec, tmp_path):
    record = TrialRecord(spec, tmp_path)
    record.begin()
    values = [0.1 + 0.2, 1e-300, math.pi * 1e20, math.nan, math.inf]
    for value in values:
        record.append({"b": value, "a": 1})
    rows = read_measurements(record.finish(ENDING, {}))
    assert list(rows.columns) == ["a", "b"]
    assert rows["b"].tolist()[:3] == values[:3]
    assert math.isnan(rows["b"][3])
    assert rows["b"][4] == math.inf


def test_rows_can_be_read_while_the_trial_runs(spec, tmp_path):
    record = TrialRecord(spec, tmp_path)
    record.begin()
    for step in range(3):
        record.append({"global_step": step})
        text = (record.folder / "eval_measurements.csv").read_text()
        assert text == "global_step\n" + "".join(f"{s}\n" for s in range(step + 1))


def test_a_table_grows_by_its_rows_beside_the_evaluations(spec, tmp_path):
    record = TrialRecord(spec, tmp_path)
    record.begin()
    record.append_table("answers", {"step": [1, 1], "answer": ["a", "b, c"]})
    record.append({"global_step": 1})
    record.append_table("answers", {"answer": ["d"], "step": [2]})
    text = (record.folder / "answers.csv").read_text()
    assert text == 'step,answer\n1,a\n1,"b, c"\n2,d\n'
    assert (record.folder / "eval_measurements.csv").read_text() == "global_step\n1\n"
    with pytest.raises(ValueError, match="shorter"):
        record.append_table("answers", {"step": [3, 3], "answer": ["e"]})


def test_an_unfinished_trial_is_not_there(spec, tmp_path):
    record = TrialRecord(spec, tmp_path)
    record.begin()
    record.append({"global_step": 1})
    assert not spec.folder(tmp_path).exists()
    assert list(tmp_path.glob("*/study_*/*/trial_*")) == []


def test_what_was_cut_off_is_begun_again_from_nothing(spec, tmp_path):
    record = TrialRecord(spec, tmp_path)
    record.begin()
    record.append({"global_step": 1})
    again = TrialRecord(spec, tmp_path)
    again.begin()
    again.append({"global_step": 5})
    assert read_measurements(again.finish(ENDING, {}))["global_step"].tolist() == [5]


def test_nothing_recorded_is_overwritten(spec, tmp_path):
    first = TrialRecord(spec, tmp_path)
    first.begin()
    final = first.finish(ENDING, {})
    second = TrialRecord(spec, tmp_path)
    with pytest.raises(CannotRecord, match="recorded already"):
        second.begin()
    away = final.rename(tmp_path / "away")
    second.begin()
    away.rename(final)  # recorded by another run in the meantime
    with pytest.raises(CannotRecord, match="Nothing that was recorded is lost"):
        second.finish(ENDING, {})


def test_a_folder_that_cannot_be_written_is_told(spec, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CannotRecord, match="Cannot write .*--results"):
        TrialRecord(spec, blocked).begin()


def test_a_folder_deleted_underneath_is_told(spec, tmp_path):
    import shutil

    record = TrialRecord(spec, tmp_path)
    record.begin()
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(CannotRecord):
        record.append({"global_step": 1})
    assert not Path(spec.folder(tmp_path)).exists()


def test_a_submission_that_changed_since_it_was_planned_is_not_run(spec, tmp_path):
    spec.path.write_text("# another source\n")
    with pytest.raises(CannotRecord, match="was changed while its trials were run"):
        TrialRecord(spec, tmp_path).begin()
    spec.path.unlink()
    with pytest.raises(CannotRecord, match="cannot be read any more"):
        TrialRecord(spec, tmp_path).begin()
