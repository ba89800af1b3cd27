"""Trials that are jobs of a cluster: which there are, and how they go on. No jax."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from algoperf import records, study
from algoperf.errors import UserError
from algoperf.executors import slurm
from algoperf.records import Ending, TrialSpec
from algoperf.spec import Status

FOLDER_POLL_S = 2.0
"""How often the results folder is looked at."""

ASK_EVERY_S = 15.0
"""How often the cluster is asked for its queue."""

GONE_S = 60.0
"""How long a job may have left the queue, and its trial not be seen, until it counts as lost: a
network file system may show a folder that late."""


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes:
        running: Whether it runs; else it waits.
        reason: Why it waits, in the cluster's word.
        restarts: How often it was put back into the queue.
    """

    running: bool
    reason: str = ""
    restarts: int = 0


Queue = Callable[[], Mapping[str, Queued]]
"""The jobs in the queue by id. Raises a `UserError` where the cluster does not answer."""


class Watcher(study.Watcher, Protocol):
    """Somebody who is told how trials on a cluster go on."""

    def standing(self, text: str) -> None:
        """How many run and wait."""
        ...


def of_slurm(results: Path) -> Queue:
    """The jobs of a results folder, whoever submitted them."""
    names = [f"{slurm.NAME}{token}" for token in _submissions(results)]
    # The id of an array's job is `<array>_<place>`.
    fields = "JobArrayID:64|,State:32|,RestartCnt:8|,Reason:256"
    command = ("squeue", "--noheader", "--array", f"--name={','.join(names)}", f"--Format={fields}")

    def ask() -> Mapping[str, Queued]:
        found = {}
        for line in slurm.ask(*command).splitlines() if names else []:
            job, state, restarts, reason = (part.strip() for part in line.split("|", 3))
            found[job] = Queued(state in ("RUNNING", "COMPLETING"), reason, int(restarts))
        return found

    return ask


def _submissions(results: Path) -> dict[str, dict[str, str]]:
    """Token to jobs: id to `slurm.key` of the trial."""
    files = sorted((results / slurm.FOLDER).glob(f"*/{slurm.JOBS}"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def jobs_of(results: Path, todo: Sequence[TrialSpec], queue: Queue) -> dict[str, str]:
    """Which of the trials have a job in the queue: label to id."""
    alive = queue()
    jobs = {
        key: job
        for runs in _submissions(results).values()
        for job, key in runs.items()
        if job in alive
    }
    return {spec.label: job for spec in todo if (job := jobs.get(slurm.key(spec))) is not None}


def follow(
    todo: Sequence[TrialSpec],
    jobs: Mapping[str, str],
    results: Path,
    queue: Queue,
    watcher: Watcher,
) -> None:
    """Watches until all trials are recorded, or can no longer be.

    Args:
        todo: The trials.
        jobs: Label to id of the trial's job.
        results: The results folder.
        queue: The cluster's.
        watcher: Who is told.

    Raises:
        UserError: If trials have left the queue without being recorded.
    """
    followed = _Followed(jobs, results, watcher, {spec.label: spec for spec in todo})
    tell_once = cache(watcher.told)
    asked = -math.inf
    while followed.left:
        followed.look()
        if time.monotonic() - asked >= ASK_EVERY_S:
            asked = time.monotonic()
            try:
                followed.hear(queue())
            except UserError as error:  # a controller may be away for a while
                tell_once(f"{error} Asking again.")
        followed.give_up()
        if followed.left:
            time.sleep(FOLDER_POLL_S)
    if followed.lost:
        raise UserError.of_many(
            "Jobs have left the queue without recording their trials; the same command submits "
            "them again:",
            followed.lost,
        )


@dataclass
class _Followed:
    """Trials that are watched, by label."""

    jobs: Mapping[str, str]
    results: Path
    watcher: Watcher
    left: dict[str, TrialSpec]
    lost: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    restarts: dict[str, int] = field(default_factory=dict)
    gone_since: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        """Lets go of those that are recorded."""
        for label, spec in list(self.left.items()):
            if (ending := _ending(spec, self.results)) is not None:
                self.watcher.ended(spec, ending)
                del self.left[label]

    def hear(self, queue: Mapping[str, Queued]) -> None:
        """Notes which began, which went back into the queue, and which left it."""
        for label, spec in self.left.items():
            job = queue.get(self.jobs[label])
            if job is None:
                self.gone_since.setdefault(label, time.monotonic())
                continue
            self.gone_since.pop(label, None)
            # It may have been put back, and run again, since the queue was last asked.
            if job.restarts > self.restarts.get(label, job.restarts):
                self.running.discard(label)
                self.watcher.told(f"{label}: job {self.jobs[label]} was put back into the queue.")
            self.restarts[label] = job.restarts
            if job.running and label not in self.running:
                self.running.add(label)
                self.watcher.began(spec)
        self.watcher.standing(_standing(queue[j] for j in self.jobs.values() if j in queue))

    def give_up(self) -> None:
        """Lets go of those whose jobs are gone for good."""
        for label, since in self.gone_since.items():
            if label in self.left and time.monotonic() - since >= GONE_S:
                del self.left[label]
                self.lost.append(f"{label}: {_last_words(self.results, self.jobs[label])}")


def _ending(spec: TrialSpec, results: Path) -> Ending | None:
    """How the trial ended; None if it has not."""
    if not spec.is_recorded(results):
        return None
    folder = spec.folder(results)
    manifest = records.read_manifest(folder)
    if manifest is None:  # it is there, so it is no longer to be run; `plan` will say what is wrong
        return Ending(Status.FAILED, f"{folder} has no readable {records.MANIFEST}", steps=None)
    found = manifest["ending"]
    return Ending(Status(found["status"]), found["reason"], found["steps"])


def _standing(jobs: Iterable[Queued]) -> str:
    jobs = list(jobs)
    waiting = [job.reason for job in jobs if not job.running]
    reasons = ", ".join(reason for reason, _ in Counter(waiting).most_common(2))
    why = f" ({reasons})" if reasons else ""
    return f"{len(jobs) - len(waiting)} running, {len(waiting)} waiting{why}"


def _last_words(results: Path, job: str) -> str:
    """What a job said at last, and where it said more."""
    logs = sorted((results / slurm.FOLDER).glob(f"*/{job}_0_log.err"))
    if not logs:
        return f"job {job} said nothing; it never began."
    lines = [
        line
        for line in logs[-1].read_text(errors="replace").splitlines()
        if line.strip() and not line.startswith("srun: ")  # which says less than what it ran
    ]
    return f"job {job} said at last: {lines[-1] if lines else 'nothing'} ({logs[-1]})"


def run(
    todo: Sequence[TrialSpec],
    results: Path,
    options: slurm.Options,
    watcher: Watcher,
    *,
    detach: bool = False,
) -> None:
    """Submits the trials that have no job in the queue yet, and watches all of them.

    Args:
        todo: The trials.
        results: The results folder.
        options: What to ask for, checked.
        watcher: Who is told.
        detach: Whether to leave once they are submitted.

    Raises:
        UserError: If the cluster refuses, or trials have left the queue without being recorded.
        KeyboardInterrupt: The jobs go on.
    """
    jobs = jobs_of(results, todo, of_slurm(results))
    if jobs:
        watcher.told(f"{len(jobs)} of the trials are in the queue already.")
    if new := [spec for spec in todo if spec.label not in jobs]:
        submitted = slurm.submit(new, results, options)
        jobs |= {spec.label: job.job_id for spec, job in zip(new, submitted, strict=True)}
    arrays = " ".join(dict.fromkeys(job.partition("_")[0] for job in jobs.values()))
    watcher.told(
        f"{len(new)} trials were submitted. The same command watches them again; to end them: "
        f"scancel {arrays}"
    )
    if detach:
        return
    try:
        follow(todo, jobs, results, of_slurm(results), watcher)
    except KeyboardInterrupt:
        watcher.told(f"The jobs go on. To end them: scancel {arrays}")
        raise
