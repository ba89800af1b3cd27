"""A real trial is ended by whoever follows it: for silence, for what it says or writes."""

import signal
import sys
import time

import pytest

from algoperf import disk
from algoperf.disk import CannotRecord
from algoperf.executors import filling, local, patience
from algoperf.executors.local import LocalExecutor
from algoperf.publishing import KEPT
from algoperf.spec import Status
from tests.algoperf.conftest import LONG, planned


@pytest.mark.slow
def test_a_submission_that_never_returns_is_ended(execute, monkeypatch):
    monkeypatch.setattr(patience, "SILENCE_LIMIT_S", -27.0)  # with the budget of 30 s: 3 s
    started = time.monotonic()
    ending, _, _, _ = execute(LONG.format(fault="time.sleep(10_000)"))
    assert ending.status == Status.FAILED
    assert "no step returned within 3 s" in ending.reason
    assert time.monotonic() - started < 60


SAYS = """
    import json, os, stat, struct, time
    def say(said):
        for number in map(int, os.listdir("/proc/self/fd")):
            try:
                if number > 2 and stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, said)
            except OSError:
                pass
    def beat(step):
        return message(beat={{"step": step, "time_s": 0.0, "value": 0.0}})
    def message(**told):
        said = {{"beat": None, "timed_s": None, "news": "", "obstacle": "", "lost": "",
            "compiled": None, "ended": False}}
        text = json.dumps({{**said, **told}}).encode()
        return struct.pack("!i", len(text)) + text
    def init(workload, params, hyperparameters, key): return ()
    def update(workload, train, batch, key, progress):
        if progress.step == 3:
            {fault}
        return train
"""
"""Says something to the one that follows the trial."""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (7, "the process ended with exit status 7 before the trial did"),
        (-signal.SIGSEGV, "the process was ended by SIGSEGV"),
        (-40, "the process was ended by signal 40"),
        (None, "its process stopped listening before the trial ended, and was ended"),
    ],
)
def test_why_a_process_ended_can_always_be_told(code, reason):
    assert local.why_ended(code) == reason


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the pipe in /proc")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("say(struct.pack('!i', 100)); time.sleep(10_000)", "no step returned within 10 s"),
        ("while True: say(beat(3))", "it was not over within 30 s"),
        ("say(beat(float('inf')))", "sent a message that the harness never sends"),
        ("say(struct.pack('!i', 10**9))", "sent a message that the harness never sends"),
        ("say(message(lost='no host'))", "sent a message that the harness never sends"),
        ("say(message(obstacle='a disk'))", "it could not write, where others can: a disk"),
    ],
    ids=["half a message", "without end", "infinite", "too long", "lost", "obstacle"],
)
def test_what_a_submission_says_in_the_trials_place_ends_the_trial(
    execute, monkeypatch, fault, reason
):
    # With the budget of 30 s: 10 s for a step, or 30 s in all. Never both: which of two is
    # reached first would depend on how long this machine takes to start a trial.
    if "not over" in reason:
        monkeypatch.setattr(patience, "WHOLE_LIMIT_S", 30.0 - 10 * 30.0)
    else:
        monkeypatch.setattr(patience, "SILENCE_LIMIT_S", 10.0 - 30.0)
    monkeypatch.setattr(disk, "ROOM_BYTES", 0)
    ending, *_ = execute(SAYS.format(fault=fault))
    assert ending.status == Status.FAILED
    assert reason in ending.reason


@pytest.mark.slow
def test_a_disk_that_is_full_in_truth_ends_the_run(tmp_path, easy_rules, monkeypatch):
    monkeypatch.setattr(disk, "ROOM_BYTES", 1 << 62)
    spec = planned(SAYS.format(fault="say(message(obstacle='a disk'))"), easy_rules, tmp_path)
    executor = LocalExecutor(tmp_path / "results", ["workloads.digits_autoencoder"])
    with pytest.raises(CannotRecord, match="a disk"):
        executor.run(spec, lambda _: None)
    assert not spec.folder(tmp_path / "results").exists()


@pytest.mark.slow
def test_a_submission_that_prints_without_end_is_ended(execute, monkeypatch):
    monkeypatch.setattr(filling, "OUTPUT_LIMIT_BYTES", 10_000_000)
    forever = "[os.write(1, b'x' * 2**20) for _ in iter(lambda: time.sleep(0.01), 1)]"
    ending, *_ = execute(LONG.format(fault=forever))
    assert ending.status == Status.FAILED
    assert "printed more than 10,000,000 bytes" in ending.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["tempfile.gettempdir()", "os.path.dirname(os.readlink('/proc/self/fd/1'))"]
)
def test_a_submission_that_fills_the_disk_is_ended_and_nothing_of_it_stays(
    execute, monkeypatch, place
):
    monkeypatch.setattr(filling, "WRITTEN_LIMIT_BYTES", 50_000_000)
    monkeypatch.setattr(filling, "SIZE_POLL_S", 1.0)
    fault = f"""import tempfile; junk = open({place} + '/junk', 'wb')
            while True: junk.write(os.urandom(2**20)); junk.flush(); time.sleep(0.02)"""
    ending, folder, *_ = execute(LONG.format(fault=fault))
    assert ending.status == Status.FAILED
    assert "wrote more than 50,000,000 bytes besides its checkpoints" in ending.reason
    assert {path.name for path in folder.iterdir()} <= KEPT


HANGING = """
    import os, time
    def hang(when):
        if when:
            os.write(1, b"hanging")
            while True: pass
    def init(workload, params, hyperparameters, key):
        hang({init})
        return ()
    def select_batch(workload, batches, train, key, progress):
        hang({select})
        return next(batches)
    def update(workload, train, batch, key, progress): return train
    def params_for_evaluation(workload, train, progress):
        hang({evaluated})
        return train.params, train.model_state
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["init", "select", "evaluated"])
def test_a_loop_without_end_is_ended_wherever_it_is(execute, monkeypatch, where):
    # With the budget of 30 s: 20 s before the first step, 10 s after it, when all is compiled.
    if where == "init":
        monkeypatch.setattr(patience, "START_LIMIT_S", 20.0 - 10 * 30.0)
    monkeypatch.setattr(patience, "SILENCE_LIMIT_S", 10.0 - 30.0)
    places = {"init": "False", "select": "False", "evaluated": "False"}
    places[where] = "True" if where == "init" else "progress.step >= 3"
    ending, folder, *_ = execute(HANGING.format(**places))
    assert ending.status == Status.FAILED
    assert "no step returned within" in ending.reason
    assert (folder / "output.txt").read_text() == "hanging"
