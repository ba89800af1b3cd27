"""What happens inside a cluster's job: one trial. No jax here."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

from algoperf.errors import HostLost
from algoperf.records import Beat, Ending, TrialSpec

Handler = Callable[[int, FrameType | None], object]

GRACE_S = 1800.0
"""How long a job that is told to end waits for it: longer than the grace that clusters grant."""

NODE_LIMIT_S = 600.0
"""How long a job whose other node is gone waits until the cluster sees it and puts the job back.
Slurm takes five minutes, unless it is told otherwise."""

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


@dataclass(frozen=True)
class Work:
    """A trial to be run wherever it is called, for submitit.

    Attributes:
        spec: The trial.
        results: The results folder, as every node sees it.
        nodes: How many nodes train it together; it is called on each.
    """

    spec: TrialSpec
    results: Path
    nodes: int = 1

    def __call__(self) -> None:
        from algoperf import study

        signal.signal(signal.SIGTERM, _wait_for_the_end)
        joint = self.nodes > 1
        if joint and os.environ["SLURM_PROCID"] != "0":
            self._assist()
            return
        put_back = cast("Handler", signal.getsignal(signal.SIGUSR2))  # submitit's
        signal.signal(signal.SIGUSR2, partial(_leave, put_back))
        try:
            study.run([self.spec], self.results, _Log(), take_turns=False, joint=joint)
        except HostLost as error:
            _say(f"{error} This job waits to be put back into the queue.")
            time.sleep(NODE_LIMIT_S)
            raise

    def _assist(self) -> None:
        """The part of a node that does not record."""
        from algoperf import study
        from algoperf.executors.local import LocalExecutor

        signal.signal(signal.SIGUSR2, _wait_for_the_end)  # the first node puts the job back
        if not self.spec.is_recorded(self.results):
            executor = LocalExecutor(self.results, study.modules([self.spec]))
            _say(f"{self.spec.label}: ended here with status {executor.assist(self.spec)}")

    def checkpoint(self) -> "DelayedSubmission":
        """What to do when the job is put back into the queue: the same, from what is recorded."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _wait_for_the_end(*_: object) -> None:
    """Answers the signal that Slurm is about to kill the job: preempted, cancelled or out of time.

    Waiting here instead of leaving lets the trial train until it is killed, and Slurm put the job
    back into the queue. It also keeps this process from following the trial: its death would be
    recorded as its failure.
    """
    _say(
        "Slurm is ending this job; the trial keeps training until it is killed, and resumes from "
        "its checkpoint."
    )
    time.sleep(GRACE_S)


def _leave(put_back: Handler, number: int, frame: FrameType | None) -> None:
    """Puts the job back into the queue and ends; the trial's process ends with this one.

    At once, since an exception would be lost where this interrupts a callback, and the trial's
    death would be seen and recorded.
    """
    try:
        put_back(number, frame)
    except BaseException as error:  # noqa: BLE001 - it says that this job is over, and why
        if not isinstance(error, SystemExit):
            sys.stderr.write(f"{error}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


class _Log:
    """A run as told in a job's own log."""

    def began(self, spec: TrialSpec) -> None:
        _say(f"{spec.label}: began")

    def beat(self, spec: TrialSpec, beat: Beat) -> None:
        pass

    def told(self, text: str) -> None:
        _say(text)

    def elsewhere(self, spec: TrialSpec) -> None:
        _say(f"{spec.label}: by another run")

    def ended(self, spec: TrialSpec, ending: Ending) -> None:
        _say(f"{spec.label}: {ending.status}: {ending.reason}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
