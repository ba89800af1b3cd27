"""One attempt at a trial in a process of its own, killed at a given moment.

As a program, `python -m tests.killed RESULTS ALGORITHM KILL CACHES`, it owes nothing to the process
that asked for it; `attempt` forks one from a process that has jax imported, which is quicker.
"""

import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

from algoperf import caches, compilation, machine, records, registry, running, trial
from algoperf.errors import TrainingComplete
from algoperf.loading import Submission
from algoperf.recording import TrialRecord
from algoperf.records import TrialSpec
from algoperf.rules import Ruleset, WorkloadRules
from tests import tiny
from tests.states import ALGORITHMS, bits

CHANGES = {
    "os.rename", "os.truncate", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.utime"
}  # fmt: skip

STEPS = 40


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_before_write(results: Path, number: int) -> None:
    """Counts the process's changes of the folder, and kills it before that one."""
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
        if (writes or event in CHANGES) and str(results) in str(arguments[0]):
            left -= 1
            if left == 0:
                kill()

    sys.addaudithook(hook)


def attempt(results: Path, name: str, when: str, caches_in: Path) -> int | None:
    """The exit status of a forked process that trains from the last checkpoint on.

    Args:
        results: The results folder.
        name: Of the algorithm.
        when: `never`, `write:N` for just before the Nth change below `results`, or `after:SECONDS`
            from the first step on.
        caches_in: Where programs and calibrations are kept.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.killed"])
    process = context.Process(target=main, args=(results, name, when, caches_in))
    process.start()
    process.join()
    return process.exitcode


def main(results: Path, name: str, when: str, caches_in: Path) -> None:
    os.environ["XDG_CACHE_HOME"] = str(caches_in)
    compilation.use_cache(caches.folder_of(caches.HARNESS))
    how, _, amount = when.partition(":")
    if how == "write":
        kill_before_write(results, int(amount))
    workload = dataclasses.replace(tiny.unreachable_for(STEPS), eval_every_steps=4)
    source = results.with_suffix(".py")
    source.touch()
    fixed = WorkloadRules(workload.validation, workload.test, workload.budget_s, STEPS)
    spec = TrialSpec(
        "source", source, registry.source_hash(source), "tiny", 1, 1, 0, None,
        Ruleset.SELF_TUNING, "tests", fixed,
    )  # fmt: skip
    algorithm = ALGORITHMS[name]

    def update(view, train, batch, key, progress):
        try:
            return algorithm.update(view, train, batch, key, progress)
        except TrainingComplete:
            results.with_suffix(".final").write_text(repr(bits(train)))
            raise

    watched = dataclasses.replace(algorithm, update=update)
    registry.workload = lambda _: workload
    trial.load = lambda _: Submission("source", source, "0", "", None, watched)
    running.CHECKPOINT_EVERY_S, running.CHECKPOINT_SHARE = 0.0, float("inf")
    machine.CALIBRATION_S = 0.01

    def began(beat: records.Beat) -> None:
        if how == "after" and beat.step:
            threading.Timer(float(amount), kill).start()

    record = TrialRecord(spec, results)
    # As a run does: the attempt before may have been killed when only its process had yet to end.
    if not spec.is_recorded(results) and record.conclude() is None:
        record.begin()
        ending, facts = trial.run(spec, record, trial.Listener(report=began))
        record.finish(ending, facts)
    os._exit(0)  # whatever timer is left


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
