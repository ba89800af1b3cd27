"""What a trial's time rests on: calibration, the best that is known, and who else was busy."""

import pytest

from algoperf import machine
from algoperf.machine import Usage

ONE = {"matmul_s": 2.0, "loop_s": 1.0}
OTHER = {"matmul_s": 1.0, "loop_s": 3.0}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "algoperf"


def test_a_calibration_times_each_piece_at_least_three_times():
    found = machine.calibrate(0.0)
    assert found.keys() == {"matmul_s", "copy_s", "loop_s"}
    assert all(took > 0 for took in found.values())


def test_a_short_budget_is_not_spent_on_calibration():
    assert machine.calibration_s(10.0) == pytest.approx(0.2)
    assert machine.calibration_s(float("inf")) == machine.CALIBRATION_S


def test_the_best_is_piece_by_piece_and_kept_by_machine():
    assert machine.best_calibration("a", ONE, OTHER) == {"matmul_s": 1.0, "loop_s": 1.0}
    assert machine.best_calibration("a", ONE) == {"matmul_s": 1.0, "loop_s": 1.0}
    assert machine.best_calibration("b", ONE) == ONE
    assert machine.best_calibration("a") == {"matmul_s": 1.0, "loop_s": 1.0}


@pytest.mark.parametrize("content", ["", "[]", '{"loop_s": "fast"}'])
def test_a_note_that_cannot_be_read_is_written_anew(cache, content):
    cache.mkdir()
    (cache / "machine-a.json").write_text(content)
    assert machine.best_calibration("a", ONE) == ONE
    assert machine.best_calibration("a") == ONE


def test_a_folder_that_cannot_be_written_loses_only_the_note(cache):
    cache.write_text("a file where the folder should be")
    assert machine.best_calibration("a", ONE) == ONE


def test_the_load_is_split_into_own_others_and_stolen(monkeypatch):
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    before = Usage(wall_s=0.0, busy_s=100.0, own_s=10.0, stolen_s=1.0)
    after = Usage(wall_s=10.0, busy_s=115.0, own_s=20.0, stolen_s=3.0)
    # Two cores for 10 s: 10 s of 20 our own, 15 - 10 of others, 2 stolen.
    assert machine.load_between(before, after) == {"own": 0.5, "others": 0.25, "stolen": 0.1}
    assert machine.load_between(before, before) is None
    assert machine.load_between(None, after) is None


def test_this_machine_tells_or_says_that_it_does_not():
    found = machine.usage()
    assert found is None or (found.busy_s > 0 and found.own_s > 0)
