"""A trial's folder, cut off between any two writes."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algoperf import disk
from algoperf.disk import CannotRecord
from algoperf.errors import UserError
from algoperf.records import read_manifest, read_measurements
from tests.algoperf.conftest import ENDING, FAILED, advance, names


def restore(arrays: Any, facts: Any) -> int:
    assert arrays["0"].tolist() == list(range(1000 * facts["step"]))
    assert arrays["1"] == facts["step"] / 3
    return facts["step"]


def tables(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.csv"))]


def test_it_goes_on_where_it_was_and_its_files_too(start):
    whole = start()
    advance(whole, 10, 20, 30)
    wanted = tables(whole.finish(ENDING, {}))
    shutil.rmtree(whole.final)

    first = start()
    advance(first, 10, 20)
    (first.folder / "output.txt").write_text("of the attempt that was cut off\n")
    first.append({"global_step": 25, "loss": 0.1})
    with (first.folder / "answers.csv").open("a") as file:
        file.write("25,")  # half a row
    (first.folder / "reached.npz").write_bytes(b"half")
    first.beat(28, 28.5)

    again = start()
    assert again.resume(restore) == 20
    assert again.attempts[0]["step"] == 20
    assert (again.attempts[0]["repeated_steps"], again.attempts[0]["repeated_s"]) == (8, 8.5)
    advance(again, 30)
    folder = again.finish(ENDING, {})
    assert tables(folder) == wanted
    assert not {"reached.npz", "output.txt", "beat", "attempts.json"} & names(folder)
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest["interruptions"] == again.attempts


def test_the_last_two_checkpoints_are_kept(start):
    record = start()
    advance(record, 5, 10, 20, 100)
    kept = {path.name for path in record.folder.glob("checkpoint*")}
    assert kept == {"checkpoint_20.npz", "checkpoint_100.npz"}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip, halve, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize(("damaged", "step"), [([20], 10), ([10, 20], None)])
def test_a_damaged_checkpoint_is_passed_over_and_told(start, damage, damaged, step):
    advance(start(), 10, 20)
    again = start()
    for number in damaged:
        damage(again.folder / f"checkpoint_{number}.npz")
    assert again.resume(restore) == step
    (attempt,) = again.attempts
    assert attempt["step"] == (step or 0)
    assert attempt["repeated_steps"] == 20 - (step or 0)
    assert len(attempt["passed_over"]) == len(damaged)
    assert again.news.startswith("checkpoint_20.npz: it is ")
    assert again.news.endswith("goes on from step 10" if step else "it starts again")
    # The damaged one is gone, so that it is not one of the two that are kept.
    assert not (again.folder / "checkpoint_20.npz").exists()
    advance(again, 20 if step else 10)
    rows = read_measurements(again.finish(ENDING, {}))
    assert rows["global_step"].tolist() == ([10, 20] if step else [10])


def test_a_table_that_lost_rows_makes_its_checkpoint_useless(start):
    advance(start(), 10, 20)
    again = start()
    answers = again.folder / "answers.csv"
    os.truncate(answers, answers.stat().st_size - 1)
    assert again.resume(restore) == 10
    assert "answers.csv is shorter than it was then" in again.news


def test_without_a_checkpoint_it_starts_again(start):
    first = start()
    first.append({"global_step": 1, "loss": 1.0})
    first.beat(7, 0.5)
    again = start()
    assert again.resume(restore) is None
    assert "starts again" in again.news
    assert [(a["step"], a["repeated_steps"]) for a in again.attempts] == [(0, 7)]
    assert not (again.folder / "eval_measurements.csv").exists()
    third = start()  # nothing was done since
    assert [a["repeated_steps"] for a in third.attempts] == [7, None]


def test_a_fresh_trial_tells_nothing(start):
    record = start()
    assert record.resume(restore) is None
    assert (record.attempts, record.news) == ([], "")


def test_another_version_of_the_file_starts_anew_and_says_so(start, tmp_path):
    advance(start(), 10)
    partial = tmp_path / "results/mine/study_1/glyphs_jax/.trial_1.1.partial"
    (partial / "submission.py").write_text("# another\n")
    again = start()
    assert again.resume(restore) is None
    assert again.attempts == []
    assert "another version of the file" in again.news


def test_who_takes_over_goes_on_and_the_one_before_can_write_no_more(start):
    before = start(claim=1)
    advance(before, 10)
    after = start(claim=2)
    assert after.resume(restore) == 10
    writes = (
        lambda: before.append({"global_step": 11, "loss": 0.0}),
        lambda: before.beat(11, 1.0),
        lambda: before.save({}, {"step": 11, "submission_s": 1.0}),
        lambda: before.keep({}),
        lambda: before.finish(ENDING, {}),
    )
    for write in writes:
        with pytest.raises(CannotRecord):
            write()
    assert read_measurements(after.finish(ENDING, {}))["global_step"].tolist() == [10]
    assert names(after.final.parent) == {"trial_1"}


def test_who_was_taken_over_does_not_take_the_folder_back(start):
    before = start(claim=1)
    advance(before, 10)
    (before.final.parent / ".trial_1.2.claim").touch()  # its owner was seen to be dead
    with pytest.raises(CannotRecord, match="Another run took mine on glyphs"):
        before.finish(ENDING, {})  # the other has not begun
    after = start(claim=2)
    (before.final.parent / ".trial_1.2.claim").unlink()  # the other was stopped
    with pytest.raises(CannotRecord, match="Another run took"):
        start(claim=1)  # a process of the dead owner's that had not ended yet
    with pytest.raises(CannotRecord, match="Another run took"):
        before.close(FAILED, {})  # or the owner itself, which was only asleep
    assert after.resume(restore) == 10


def test_what_is_recorded_is_not_begun_again(start):
    record = start()
    advance(record, 10)
    record.finish(ENDING, {})
    with pytest.raises(CannotRecord, match="recorded already"):
        start()
    assert names(record.final.parent) == {"trial_1"}


def test_of_what_attempts_left_nothing_stays_beside_the_record(start):
    record = start(claim=3)
    record.folder.with_name(".trial_1.1.partial").mkdir()
    record.folder.with_name(".trial_1.2.ended").mkdir()
    advance(record, 10)
    record.finish(ENDING, {})
    assert names(record.final.parent) == {"trial_1"}


def test_what_was_left_is_begun_anew_whatever_it_is(start):
    record = start()
    advance(record, 10)
    (record.folder / "checkpoint_last.npz").mkdir()
    (record.folder / "attempts.json").write_text("5")
    (record.folder / "beat").unlink()
    (record.folder / "beat").mkdir()
    again = start()
    assert again.resume(restore) == 10
    final = again.finish(ENDING, {})
    assert not {"beat", "attempts.json", "checkpoint_10.npz"} & names(final)


def test_of_a_trial_that_failed_on_a_full_disk_all_is_left(start):
    record = start()
    advance(record, 10)
    full(record.folder / ".manifest.json.partial")
    with pytest.raises(CannotRecord, match="No space left on device"):
        record.close(FAILED, {})
    assert start().resume(restore) == 10


def test_whether_it_can_be_recorded_is_seen_by_trying(start, monkeypatch):
    record = start()
    assert record.is_possible()
    with monkeypatch.context() as patch:
        patch.setattr(disk, "ROOM_BYTES", 1 << 62)
        assert not record.is_possible()
    (record.folder / "manifest.json").mkdir()
    assert record.is_possible()
    shutil.rmtree(record.folder)
    assert not record.is_possible()
    start().spec.path.write_text("# another source\n")
    assert not record.is_possible()


def full(path: Path) -> None:
    """A real device that is always full, in the place of a file."""
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/full")


def test_a_full_disk_is_told_and_what_was_saved_stays(start):
    record = start()
    advance(record, 10)
    rows = record.folder / "eval_measurements.csv"
    kept = rows.read_bytes()
    full(rows)
    with pytest.raises(CannotRecord, match="No space left on device"):
        record.append({"global_step": 11, "loss": 0.0})
    rows.unlink()
    rows.write_bytes(kept)
    full(record.folder / ".checkpoint_11.npz.partial")
    with pytest.raises(CannotRecord, match=r"(?s)No space left on device.*same command again"):
        record.save({"0": np.zeros(10**6)}, {"step": 11, "submission_s": 1.0})
    assert start().resume(restore) == 10


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_told(start):
    record = start()
    record.folder.chmod(0o500)
    with pytest.raises(CannotRecord, match="Permission denied"):
        record.append({"global_step": 1, "loss": 0.0})
    record.folder.chmod(0o700)


def test_a_folder_deleted_underneath_is_told(start):
    record = start()
    advance(record, 10)
    shutil.rmtree(record.final.parents[3])
    for write in (lambda: advance(record, 20), lambda: record.finish(ENDING, {})):
        with pytest.raises(CannotRecord, match="Nothing that was recorded is lost"):
            write()
    assert not record.folder.exists()


def test_a_table_that_somebody_else_wrote_to_is_found(start):
    first = start()
    advance(first, 10, 20)
    again = start()  # cut off: what is there by then is the trial's
    assert again.resume(restore) == 20
    advance(again, 30)
    again.check_tables()
    path = again.folder / "eval_measurements.csv"
    path.write_text(path.read_text().replace("0.1", "0.0"))
    with pytest.raises(UserError, match="eval_measurements.csv does not hold what was written"):
        again.check_tables()


def test_a_folder_that_a_submission_left_is_gone_when_the_trial_starts_again(start):
    first = start()
    (first.folder / "mine" / "deep").mkdir(parents=True)
    assert "mine" not in names(start().folder)
