"""Which folder of a trial that has ended becomes final, and what is in it then."""

import json
import os
import shutil

import pytest

from algoperf import recording
from algoperf.recording import TrialRecord
from algoperf.records import Ending, read_manifest, read_measurements
from algoperf.spec import Status
from tests.algoperf.conftest import ENDING, FAILED, advance, names


def test_a_trial_that_only_lacked_its_name_is_not_run_again(start, monkeypatch):
    record = start()
    advance(record, 30)
    with monkeypatch.context() as patch:
        patch.setattr(recording, "publish", lambda *_: None)
        record.finish(ENDING, {})
    assert not record.final.exists()
    again = TrialRecord(record.spec, record.final.parents[3], claim=2)
    assert again.conclude() == ENDING
    assert read_measurements(record.final)["global_step"].tolist() == [30]
    assert not {"beat", "attempts.json", "checkpoint_30.npz"} & names(record.final)
    assert again.conclude() is None


DEEP = "[" * 900 + "]" * 900


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: os.truncate(folder / "submission.py", 1 << 42),
        lambda folder: os.truncate(folder / "manifest.json", 1 << 42),
        lambda folder: os.truncate(folder / "hparams.json", 1 << 42),
        lambda folder: (folder / "hparams.json").write_text(DEEP),
        lambda folder: (folder / "manifest.json").write_text(DEEP),
        lambda folder: (
            (folder / "submission_files" / "more").mkdir(parents=True)
            or (folder / "submission_files" / "more" / "more.py").touch()
        ),
    ],
    ids=["source", "manifest", "point", "deep point", "deep manifest", "more source"],
)
def test_an_ended_trial_that_its_process_spoiled_is_not_made_final(start, spoil):
    record = start()
    record.write(ENDING, {})
    spoil(record.folder)
    assert record.conclude() is None
    assert not record.final.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": None},
        {"point": None},
        {"ending": {"status": "failed", "steps": 3}},
        {"ending": {"status": "failed", "reason": "", "steps": "many"}},
        {"ending": {"status": "failed", "reason": [], "steps": 3}},
    ],
)
def test_an_ended_trial_whose_manifest_lacks_something_is_not_made_final(start, change):
    record = start()
    record.write(ENDING, {})
    path = record.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for key, value in change.items():
        if value is None:
            del manifest[key]
        else:
            manifest[key] = value
    path.write_text(json.dumps(manifest))
    assert record.conclude() is None


def test_a_reason_is_told_as_every_terminal_can_show_it(start):
    record = start()
    record.write(Ending(Status.FAILED, "ValueError: \ud800\x1b[2J\nü", 3), {})
    assert record.accept() == Ending(Status.FAILED, "ValueError: ??[2J\nü", 3)


def test_what_is_not_the_records_is_not_made_final(start):
    record = start()
    advance(record, 10)
    for junk in ("junk", ".hidden", "checkpoint_x.npz"):
        (record.folder / junk).write_text("junk")
    (record.folder / "folder.csv").mkdir()
    (record.folder / "folder.csv" / "junk").write_text("junk")
    final = record.finish(ENDING, {})
    tables = {"eval_measurements.csv", "answers.csv"}
    assert names(final) == tables | {
        "hparams.json", "manifest.json", "meta_data_0.json", "submission.py"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "stays"),
    [
        (lambda folder: (folder / "reached.npz").write_text("not needed"), True),
        (lambda folder: (folder / "manifest.json").mkdir(), False),
        (lambda folder: (folder / "attempts.json").write_text(DEEP), False),
        (lambda folder: os.truncate(folder / "submission.py", 1 << 42), False),
        (lambda folder: folder.chmod(0o000), os.geteuid() == 0),
        (shutil.rmtree, False),
    ],
    ids=["parameters", "manifest", "attempts", "source", "rights", "nothing left"],
)
def test_a_trial_that_failed_is_recorded_whatever_it_left(start, spoil, stays):
    record = start()
    record.append({"global_step": 1})
    spoil(record.folder)
    record.close(FAILED, {})
    assert read_manifest(record.final)["ending"]["reason"] == "for the test"
    assert (record.final / "submission.py").read_text() == "# the source\n"
    assert ("eval_measurements.csv" in names(record.final)) == stays
    assert "reached.npz" not in names(record.final)
    assert names(record.final.parent) == {"trial_1"}


@pytest.mark.parametrize("name", ["submission.py", "hparams.json"])
def test_a_record_whose_source_or_point_was_changed_is_not_made_final(start, name):
    record = start()
    record.write(ENDING, {})
    (record.folder / name).write_text("{}")
    assert record.accept() is None
    assert not record.final.exists()
