"""What happens inside a cluster's job: one trial. No jax here."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from algoperf.records import Ending, TrialSpec

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

    from algoperf.trial import Beat


@dataclass(frozen=True)
class Work:
    """A trial to be run wherever it is called, for submitit.

    Attributes:
        spec: The trial.
        results: The results folder, as every node sees it.
    """

    spec: TrialSpec
    results: Path

    def __call__(self) -> None:
        from algoperf import study

        study.run([self.spec], self.results, _Log())

    def checkpoint(self) -> "DelayedSubmission":
        """What to do when the job is put back into the queue: the same, from what is recorded."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Log:
    """A run as told in a job's own log."""

    def began(self, spec: TrialSpec) -> None:
        _say(f"{spec.label}: began")

    def beat(self, spec: TrialSpec, beat: "Beat") -> None:
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
