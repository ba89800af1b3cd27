"""What a process that shut itself in can still do, in a process of its own: it is for good."""

import json
import subprocess
import sys
import time
from multiprocessing import Pipe

import pytest

from algoperf import caches, machine, sandbox
from algoperf.executors import messages, watch
from algoperf.executors.messages import Measured, Message, Unreadable
from algoperf.records import Beat

SHUT_IN = """
import json, os, sys, threading
from dataclasses import asdict
from pathlib import Path
from algoperf import sandbox

root = Path(sys.argv[1])
results, own = root / "results", root / "results" / "own"
made = sandbox.shut_in([own], hidden=results, readable=[results / "readable"])

def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

def in_a_thread(what):
    found = []
    thread = threading.Thread(target=lambda: found.append(tried(what)))
    thread.start()
    thread.join()
    return found[0]

ATTEMPTS = {
    "write own": lambda: (own / "a").write_text("1"),
    "make a folder": lambda: (own / "folder").mkdir(),
    "read own": lambda: (own / "a").read_text(),
    "remove own": lambda: (own / "a").unlink(),
    "read beside": lambda: (root / "beside").read_text(),
    "list others": lambda: os.listdir(results / "others"),
    "read what is named": lambda: (results / "readable").read_text(),
    "nothing": lambda: Path("/dev/null").write_text("x"),
    "read others": lambda: (results / "others" / "a").read_text(),
    "write others": lambda: (results / "others" / "a").write_text("2"),
    "write beside": lambda: (root / "beside").write_text("2"),
    "truncate": lambda: os.truncate(root / "beside", 0),
    "make beside": lambda: (root / "new").write_text("2"),
    "link": lambda: (own / "link").symlink_to(root / "beside"),
    "hard link": lambda: os.link(root / "beside", own / "link"),
    "rename own": lambda: own.rename(results / "other"),
    "signal": lambda: os.kill(os.getppid(), 0),
    "memory": lambda: Path(f"/proc/{os.getppid()}/mem").open("rb"),
}
print(json.dumps({
    "made": asdict(made),
    "tried": {name: tried(what) for name, what in ATTEMPTS.items()},
    "in a thread": in_a_thread(ATTEMPTS["write beside"]),
}))
"""

DONE = {
    "write own", "make a folder", "read own", "remove own", "read beside", "list others",
    "read what is named", "nothing",
}  # fmt: skip


@pytest.mark.skipif(sandbox.version() < 6, reason="there is no Landlock here, or an old one")
def test_a_process_that_is_shut_in_writes_only_what_is_its_own(tmp_path):
    for name in ("results/own", "results/others"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("results/others/a", "results/readable", "beside"):
        (tmp_path / name).write_text("1")
    command = [sys.executable, "-c", SHUT_IN, str(tmp_path)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert told["made"]["landlock"] == sandbox.version()
    assert told["made"]["obstacle"] == ""
    assert {name for name, what in told["tried"].items() if what == "done"} == DONE
    assert told["in a thread"] == "PermissionError"
    assert (tmp_path / "beside").read_text() == (tmp_path / "results/others/a").read_text() == "1"


def test_where_there_is_no_landlock_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "version", lambda: 0)
    made = sandbox.shut_in([tmp_path], hidden=tmp_path)
    assert (made.landlock, made.obstacle) == (0, "this system has no Landlock")
    (tmp_path.parent / "still").write_text("writable")


def test_what_the_harness_compiled_is_kept_and_a_link_to_it_is_not(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cache_folder", lambda: tmp_path / "cache")
    first, second = tmp_path / "first", tmp_path / "second"
    caches.mirror(first)
    (first / "kind").mkdir()
    (first / "kind" / "evaluation").write_text("compiled")
    caches.take_over(first)
    caches.mirror(second)
    assert (second / "kind" / "evaluation").is_symlink()
    assert (second / "kind" / "evaluation").read_text() == "compiled"
    (second / "kind" / "evaluation").unlink()
    (second / "kind" / "evaluation").write_text("another")
    caches.take_over(second)  # what is there already stays
    assert (first / "kind" / "evaluation").read_text() == "compiled"
    assert caches.folder_of(caches.HARNESS) == tmp_path / "cache/compilations/harness"
    assert caches.folder_of("a" * 64) == tmp_path / "cache/compilations" / ("a" * 16)


def test_messages_arrive_as_they_were_sent():
    ours, theirs = Pipe()
    compiled = Measured("0123456789ab", {"loop_s": 0.5})
    said = Message(beat=Beat(3, 0.5, 0.25), news="it goes on", timed_s=1.5, compiled=compiled)
    messages.send(theirs, said)
    assert messages.receive(ours) == said
    theirs.send(said)  # pickled
    with pytest.raises(Unreadable):
        messages.receive(ours)
    theirs.send_bytes(b'{"beat": 1}')
    with pytest.raises(Unreadable):
        messages.receive(ours)


@pytest.mark.parametrize(
    "measured",
    [
        Measured("x/../../other", {"loop_s": 0.5}),  # would become a path
        Measured("0123456789ab", {}),
        Measured("0123456789ab", {"loop_s": 0.0}),
        Measured("0123456789ab", {"loop_s": float("nan")}),
    ],
)
def test_what_no_machine_measures_is_no_message(measured):
    ours, theirs = Pipe()
    messages.send(theirs, Message(compiled=measured))
    with pytest.raises(Unreadable):
        messages.receive(ours)


class Now:
    """The time, as the second clock reads it."""

    def __init__(self, monkeypatch):
        self.seconds = 0.0
        monkeypatch.setattr(watch.time, "monotonic", lambda: self.seconds)


@pytest.mark.parametrize(
    ("says", "fault"),
    [(3.0, False), (2.95, False), (2.8, True), (3.9, False), (5.0, True), (float("nan"), True)],
)
def test_a_clock_that_disagrees_with_the_second_is_found(monkeypatch, says, fault):
    """3 s pass: it may be a tenth of a second behind, and a second ahead."""
    now = Now(monkeypatch)
    clock = watch.SecondClock()
    clock.hear(0.0)
    now.seconds = 3.0
    clock.hear(says)
    assert bool(clock.fault) == fault


def test_of_the_last_readings_the_one_that_was_heard_soonest_counts(monkeypatch):
    now = Now(monkeypatch)
    clock = watch.SecondClock()
    clock.hear(0.0)
    for heard, says in [(1.5, 1.0), (1.55, 1.5), (1.9, 1.55)]:  # 0.5, 0.05 and 0.35 s late
        now.seconds = heard
        clock.hear(says)
    assert clock.fault == ""
    for reading in range(watch.READINGS):  # from here on it is 0.3 s behind
        now.seconds = 2.0 + reading
        clock.hear(1.7 + reading)
    assert "says 5.7 s where 6.0 s passed" in clock.fault


def test_a_second_clock_that_was_not_looked_at_makes_allowances():
    ours, theirs = Pipe()
    clock = watch.SecondClock()
    clock.hear(0.0)
    theirs.send_bytes(b"x")
    clock.wait([ours])
    time.sleep(1.5)  # as if this process was stopped: what comes next is heard late
    clock.wait([ours])
    clock.hear(0.1)
    assert clock.fault == ""
