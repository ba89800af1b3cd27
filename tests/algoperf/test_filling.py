"""A trial may write only so much."""

import os
from pathlib import Path

import pytest

from algoperf.executors import filling
from algoperf.executors.filling import Filling

MEGABYTE = 1_000_000


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Tells what is said of a trial's folders 10 s later; beforehand 3 MB lie in the cache."""
    monkeypatch.setattr(filling, "WRITTEN_LIMIT_BYTES", 2 * MEGABYTE)
    monkeypatch.setattr(filling, "OUTPUT_LIMIT_BYTES", MEGABYTE)
    monkeypatch.setattr(filling, "FILES_LIMIT", 50)
    for name in ("temporary", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "cache" / "before").write_bytes(bytes(3 * MEGABYTE))
    now = [0.0]
    watching = Filling(
        tmp_path / "record", [tmp_path / "temporary", tmp_path / "cache"], lambda: now[0]
    )
    (tmp_path / "record").mkdir()

    def look_(later_s: float = 10.0) -> str:
        now[0] += later_s
        return watching.over()

    return look_


def write(path: Path, megabytes: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(int(megabytes * MEGABYTE)))


@pytest.mark.parametrize("place", ["record/junk", "temporary/a/b/junk", "cache/kind/junk"])
def test_what_a_trial_writes_is_counted_wherever_it_may_write(look, tmp_path, place):
    write(tmp_path / place, 1.5)
    assert look() == ""
    write(tmp_path / place, 2.5)
    assert look(9.0) == ""  # it is not looked at every turn
    assert look(1.0) == "it wrote more than 2,000,000 bytes besides its checkpoints"


def test_what_the_harness_keeps_is_not_counted_as_far_as_it_keeps_it(look, tmp_path):
    for name in ("checkpoint_1.npz", ".checkpoint_2.npz.partial", "checkpoint_3.npz"):
        write(tmp_path / "record" / name, 3.0)
    write(tmp_path / "record" / "reached.npz", 3.0)
    assert look() == ""
    write(tmp_path / "record" / "checkpoint_4.npz", 3.0)
    assert "wrote more than" in look()
    (tmp_path / "record" / "checkpoint_4.npz").unlink()
    write(tmp_path / "temporary" / "checkpoint_4.npz", 3.0)
    assert "wrote more than" in look()


def test_files_are_counted_too(look, tmp_path):
    for number in range(60):
        (tmp_path / "temporary" / str(number)).mkdir()
    assert look() == "it made more than 50 files"


@pytest.mark.skipif(os.geteuid() == 0, reason="root sees all")
def test_what_is_hidden_is_not_allowed(look, tmp_path):
    write(tmp_path / "temporary" / "a" / "junk", 0.1)
    (tmp_path / "temporary" / "a").chmod(0o000)
    assert "cannot be seen" in look()
    (tmp_path / "temporary" / "a").chmod(0o700)


def test_what_is_printed_is_looked_at_every_turn(look, tmp_path):
    write(tmp_path / "record" / "output.txt", 0.9)
    assert look(0.1) == ""
    write(tmp_path / "record" / "output.txt", 1.1)
    assert look(0.1) == "it printed more than 1,000,000 bytes"


def test_holes_take_no_room(look, tmp_path):
    (tmp_path / "temporary" / "holes").touch()
    os.truncate(tmp_path / "temporary" / "holes", 1 << 40)
    assert look() == ""
