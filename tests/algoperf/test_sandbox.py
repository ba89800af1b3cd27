"""What a process that shut itself in can still do, in a process of its own: it is for good."""

import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from multiprocessing import Pipe

import pytest

from algoperf import caches, machine, sandbox
from algoperf.executors import messages, second_clock
from algoperf.executors.messages import Inbox, Measured, Message, Unreadable
from algoperf.executors.patience import Patience
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


COMPILE = """
import sys
from pathlib import Path
import jax
from jax import monitoring
from algoperf import caches, compilation
def programs(folder):
    return {path.name for path in folder.glob("*/*")}
heard = []
monitoring.register_event_listener(lambda event, **_: heard.append(event))
known, mirrored = caches.folder_of(caches.HARNESS), Path(sys.argv[1])
found = []
for folder in (known, mirrored):
    heard.clear()
    if folder is mirrored:
        caches.mirror(folder)
    assert compilation.use_cache(folder)
    jax.clear_caches()
    jax.jit(lambda x: x + 1)(1.0)
    found.append(programs(folder))
assert found[0], "nothing was kept"
assert found[0] == found[1], f"compiled once more: {found[1] - found[0]}"
assert "/jax/compilation_cache/cache_hits" in heard
assert "/jax/compilation_cache/cache_misses" not in heard
"""
"""The same program twice, where the harness keeps its own and where a trial finds them."""


def test_a_trial_compiles_nothing_that_the_harness_has(tmp_path):
    command = [sys.executable, "-c", COMPILE, tmp_path / "mirror"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_mirror_makes_nothing_used_but_what_is_used_in_it(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cache_folder", lambda: tmp_path / "cache")
    known = caches.folder_of(caches.HARNESS)
    assert known is not None
    for kind in ("old", "used"):
        caches.use(known / kind)
        (known / kind / "program").write_text("compiled")
        os.utime(known / kind, (1000.0, 1000.0))
    caches.mirror(tmp_path / "mirror")
    caches.use(tmp_path / "mirror" / "used")
    caches.take_over(tmp_path / "mirror")
    caches.prune()
    assert [kind.name for kind in known.iterdir()] == ["used"]


def test_compilations_that_nobody_used_for_a_month_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cache_folder", lambda: tmp_path)
    old, used = (tmp_path / "compilations" / owner / "kind" for owner in ("old", "used"))
    for kind in (old, used):
        kind.parent.mkdir(parents=True)
        caches.use(kind)
        (kind / "program").write_text("compiled")
        long_ago = time.time() - caches.UNUSED_S - 60
        os.utime(kind, (long_ago, long_ago))
    caches.use(used)
    caches.prune()
    assert not old.exists()
    assert (used / "program").exists()
    # Its submission may be at it again; the folder that stays empty goes a month later.
    assert old.parent.exists()
    for owner in (old.parent, used.parent):
        os.utime(owner, (long_ago, long_ago))
    caches.prune()
    assert not old.parent.exists()
    assert (used / "program").exists()


def said_of(said: Message) -> bytes:
    """As it goes through the pipe: its length in four bytes, then JSON."""
    text = json.dumps(asdict(said)).encode()
    return struct.pack("!i", len(text)) + text


def test_messages_arrive_as_they_were_sent():
    ours, theirs = Pipe()
    inbox = Inbox(ours)
    assert inbox.take() == []
    compiled = Measured("0123456789ab", {"loop_s": 0.5})
    said = [
        Message(beat=Beat(3, 0.5, 0.25), news="it goes on", timed_s=1.5, compiled=compiled),
        Message(ended=True),
    ]
    for message in said:
        messages.send(theirs, message)
    assert inbox.take() == said
    messages.send(theirs, said[0])
    theirs.close()
    assert inbox.take() == said[:1]
    with pytest.raises(EOFError):
        inbox.take()


def test_a_message_of_which_a_part_is_missing_is_not_waited_for():
    ours, theirs = Pipe()
    inbox = Inbox(ours)
    said = Message(news="x" * 300_000)  # more than is read at once, or fits into the pipe
    whole = said_of(said)
    taken = []
    for start in range(0, len(whole), 2000):
        taken += inbox.take()
        os.write(theirs.fileno(), whole[start : start + 2000])
    assert taken == []
    while not taken:
        taken = inbox.take()
    assert taken == [said]
    os.write(theirs.fileno(), whole[:2])
    theirs.close()
    assert inbox.take() == []
    with pytest.raises(EOFError):
        inbox.take()


def test_of_an_unending_stream_only_a_part_is_taken_at_once():
    ours, theirs = Pipe()
    inbox, said = Inbox(ours), said_of(Message())
    talking = threading.Event()
    talking.set()

    def talk() -> None:
        while talking.is_set():
            theirs.send_bytes(said[4:])

    thread = threading.Thread(target=talk)
    thread.start()
    for _ in range(20):
        assert len(inbox.take()) * len(said) <= messages.LONGEST
    talking.clear()
    while thread.is_alive():
        inbox.take()
    thread.join()


@pytest.mark.parametrize(
    "what",
    [
        pickle.dumps(Message()),
        b'{"beat": 1}',
        b"[" * 10_000,
        said_of(Message(beat=Beat(3, 0.5, 0.25)))[4:].replace(b"3", b"Infinity"),
        said_of(Message(beat=Beat(3, 0.5, 0.25)))[4:].replace(b"3", b"-1"),
        said_of(Message(beat=Beat(3, 0.5, 0.25)))[4:].replace(b"3", b"9" * 1000),
        said_of(Message(beat=Beat(3, 0.5, 0.25)))[4:].replace(b"0.5", b"NaN"),
        said_of(Message(beat=Beat(3, 0.5, 0.25)))[4:].replace(b"0.25", b"1" + b"0" * 400),
    ],
    ids=["pickled", "in part", "deep", "infinite", "negative", "huge", "no time", "no float"],
)
def test_what_is_no_message_is_said_to_be_none(what):
    ours, theirs = Pipe()
    theirs.send_bytes(what)
    with pytest.raises(Unreadable):
        Inbox(ours).take()


@pytest.mark.parametrize("length", [-1, messages.LONGEST + 1])
def test_a_message_that_is_too_long_is_none(length):
    ours, theirs = Pipe()
    os.write(theirs.fileno(), struct.pack("!i", length))
    with pytest.raises(Unreadable, match=str(length)):
        Inbox(ours).take()


def test_patience_ends_with_silence_and_in_the_end_with_whoever_talks():
    """With a budget of 10 s: 120 + 100 s to begin, then 60 + 10 s a step, 21,600 + 100 s in all."""
    now = [0.0]
    patience = Patience(10.0, lambda: now[0])
    for now[0] in range(221):
        assert patience.over() == ""
    now[0] = 221.0
    assert "no step returned within 220 s" in patience.over()
    patience.heard()
    now[0] += 70.0  # of which all but 2 s nobody looked
    assert patience.over() == ""
    now[0] += 1.0
    assert "no step returned within 70 s" in patience.over()
    looked_s = 221.0 + 2.0 + 1.0
    while looked_s < 21_700.0:
        assert patience.heard() or patience.over() == ""
        now[0] += 1.0
        looked_s += 1.0
    patience.heard()
    now[0] += 1.0
    assert patience.over() == "it was not over within 21700 s; the process was ended"


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
        Inbox(ours).take()


class Now:
    """The time, as the second clock reads it."""

    def __init__(self, monkeypatch):
        self.seconds = 0.0
        monkeypatch.setattr(second_clock.time, "monotonic", lambda: self.seconds)


@pytest.mark.parametrize(
    ("says", "fault"),
    [(3.0, False), (2.95, False), (2.8, True), (3.9, False), (5.0, True), (float("nan"), True)],
)
def test_a_clock_that_disagrees_with_the_second_is_found(monkeypatch, says, fault):
    """3 s pass: it may be a tenth of a second behind, and a second ahead."""
    now = Now(monkeypatch)
    clock = second_clock.SecondClock()
    clock.hear(0.0)
    now.seconds = 3.0
    clock.hear(says)
    assert bool(clock.fault) == fault


def test_of_the_last_readings_the_one_that_was_heard_soonest_counts(monkeypatch):
    now = Now(monkeypatch)
    clock = second_clock.SecondClock()
    clock.hear(0.0)
    for heard, says in [(1.5, 1.0), (1.55, 1.5), (1.9, 1.55)]:  # 0.5, 0.05 and 0.35 s late
        now.seconds = heard
        clock.hear(says)
    assert clock.fault == ""
    for reading in range(second_clock.READINGS):  # from here on it is 0.3 s behind
        now.seconds = 2.0 + reading
        clock.hear(1.7 + reading)
    assert "says 5.7 s where 6.0 s passed" in clock.fault


def test_a_second_clock_that_was_not_looked_at_makes_allowances():
    ours, theirs = Pipe()
    clock = second_clock.SecondClock()
    clock.hear(0.0)
    theirs.send_bytes(b"x")
    clock.wait([ours])
    time.sleep(1.5)  # as if this process was stopped: what comes next is heard late
    clock.wait([ours])
    clock.hear(0.1)
    assert clock.fault == ""
