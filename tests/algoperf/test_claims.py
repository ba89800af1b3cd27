"""Who runs which trial: exactly one, whoever dies, sleeps, or has its clock set back."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from algoperf import claims
from algoperf.claims import STALE_S, Claim, Claims, Lost, Owner, turn
from algoperf.disk import CannotRecord


@pytest.fixture
def final(tmp_path):
    return tmp_path / "study_1" / "glyphs_jax" / "trial_1"


class Time:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def taken(final: Path, by: Claims | None = None) -> Claim:
    claim = (by or Claims()).take(final)
    assert isinstance(claim, Claim)
    return claim


def test_one_has_it_and_the_other_hears_who(final):
    with taken(final) as claim:
        assert claim.number == 1
        owner = Claims().take(final)
        assert isinstance(owner, Owner)
        assert owner.pid == os.getpid()
        assert f"process {os.getpid()} on" in str(owner)
        claim.check()
    assert list(final.parent.iterdir()) == []
    with taken(final) as claim:
        assert claim.number == 1


def test_of_many_who_want_it_at_once_one_gets_it(final):
    final.parent.mkdir(parents=True)
    for _ in range(20):
        ready = threading.Barrier(8)

        def want(_: int, ready: threading.Barrier = ready) -> object:
            ready.wait()
            return Claims().take(final)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(want, range(8)))
        (claim,) = [one for one in found if isinstance(one, Claim)]
        with claim:
            pass


DIES = """
import os, sys
from pathlib import Path
from algoperf.claims import Claims
claim = Claims().take(Path(sys.argv[1]))
claim.__enter__()
print(claim.number, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_dead_owner_on_this_machine_shows_at_once(final):
    for number in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", DIES, final], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (-9, f"{number}\n"), done.stderr
    with taken(final) as claim:
        assert claim.number == 3
    assert list(final.parent.iterdir()) == []


def elsewhere(final: Path, number: int = 1) -> Path:
    """A claim of another machine."""
    final.parent.mkdir(parents=True, exist_ok=True)
    path = final.with_name(f".trial_1.{number}.claim")
    owner = Owner("elsewhere", "a machine", "a boot", 7, "2026-01-01T00:00:00+00:00", locked=True)
    path.write_text(json.dumps(vars(owner)))
    return path


def test_a_dead_owner_elsewhere_shows_by_silence_on_our_own_clock(final):
    path, time = elsewhere(final), Time()
    mine = Claims(time)
    assert str(mine.take(final)) == "process 7 on elsewhere"
    time.seconds += STALE_S - 1
    assert isinstance(mine.take(final), Owner)
    os.utime(path)  # it lives
    time.seconds += 2
    assert isinstance(mine.take(final), Owner)
    time.seconds += STALE_S - 1
    os.utime(path, (0, 0))  # its clock was set back by half a century, but it lives
    assert isinstance(mine.take(final), Owner)
    time.seconds += STALE_S + 1
    with taken(final, mine) as claim:
        assert claim.number == 2


def test_an_owner_before_a_restart_of_this_machine_is_dead(final, monkeypatch):
    monkeypatch.setattr(claims, "_machine", lambda: "this one")
    monkeypatch.setattr(claims, "_boot", lambda: "first")
    taken(final)  # and never given back
    assert isinstance(Claims().take(final), Owner)
    monkeypatch.setattr(claims, "_boot", lambda: "second")
    with taken(final) as claim:
        assert claim.number == 2


def test_a_claim_made_long_ago_is_not_old_to_who_sees_it_first(final):
    os.utime(elsewhere(final), (0, 0))
    assert isinstance(Claims(Time()).take(final), Owner)


def test_a_damaged_claim_is_respected_until_it_is_silent(final):
    elsewhere(final).write_text("")
    time = Time()
    mine = Claims(time)
    assert mine.take(final) is None
    time.seconds += STALE_S + 1
    with taken(final, mine) as claim:
        assert claim.number == 2


def test_who_slept_sees_that_another_took_over(final):
    with taken(final) as claim:
        other = elsewhere(final, 2)
        with pytest.raises(Lost):
            claim.check()
    assert other.exists()  # what is not ours is left alone


def test_who_slept_sees_that_another_took_over_and_is_done(final):
    with taken(final) as claim:
        final.with_name(".trial_1.1.claim").unlink()  # as claim 2 did, given back
        with pytest.raises(Lost):
            claim.check()


def test_who_slept_does_not_take_another_claim_of_its_number_for_its_own(final):
    with taken(final) as other:
        with taken(final.with_name("trial_2")) as claim:
            made = final.with_name(".trial_2.1.claim")
            made.unlink()  # as claim 2 did, given back
            made.hardlink_to(final.with_name(".trial_1.1.claim"))  # and somebody made 1 again
            with pytest.raises(Lost):
                claim.check()
        assert made.exists()
        other.check()


@pytest.mark.parametrize("kind", ["partial", "ended"])
def test_no_number_is_given_again_while_there_is_a_folder_of_it(final, kind):
    final.with_name(f".trial_1.4.{kind}").mkdir(parents=True)
    with taken(final) as claim:
        assert claim.number == 5


def test_a_folder_removed_underneath_is_told(final, tmp_path):
    with taken(final) as claim:
        shutil.rmtree(tmp_path / "study_1")
        with pytest.raises(CannotRecord, match="was removed"):
            claim.check()


def test_the_owner_touches_its_claim(final, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT_S", 0.01)
    with taken(final):
        path = final.with_name(".trial_1.1.claim")
        os.utime(path, (0, 0))
        touched = threading.Event()
        for _ in range(1000):
            if path.stat().st_mtime > 0:
                break
            touched.wait(0.01)
        assert path.stat().st_mtime > 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRecord, match="Cannot write"):
        Claims().take(tmp_path / "file" / "glyphs_jax" / "trial_1")
    with pytest.raises(CannotRecord, match="Cannot write"), turn(tmp_path / "file", lambda: None):
        pass


def test_runs_on_one_machine_take_turns(tmp_path):
    order: list[str] = []
    inside = threading.Lock()
    state = {"a": "outside", "b": "outside"}
    moment = threading.Event()

    def run(name: str, other: str) -> None:
        for _ in range(8):
            state[name] = "outside"
            with turn(tmp_path, lambda: state.update({name: "waits"})):
                state[name] = "inside"
                assert inside.acquire(blocking=False), "two at once"
                order.append(name)
                while state[other] == "outside":
                    moment.wait(0.001)
                moment.wait(0.01)
                inside.release()
        state[name] = "done"

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, "ab", "ba"))
    assert sorted(order) == ["a"] * 8 + ["b"] * 8
    # Whoever waits comes next, so the two alternate, but for a moment at a start or an end.
    assert all(len(set(order[place : place + 3])) == 2 for place in range(12))
