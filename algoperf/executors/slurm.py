"""Trials as jobs of a Slurm cluster: what is asked of it, whether it can be had. No jax.

A trial is a job. The results folder, on a file system that all nodes see, is the truth: a job that
dies is put back into the queue and goes on from what it recorded, and whoever runs the same command
again waits for the jobs that are there already.

    <results>/.slurm/<token>/
        jobs.json               which job runs which trial
        <job>_0_log.out, .err   what a job said
        ...                     submitit's files
"""

import importlib.util
import json
import math
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from algoperf.errors import UserError
from algoperf.executors.job import Work
from algoperf.records import TrialSpec

if TYPE_CHECKING:
    from submitit import Job

FOLDER = ".slurm"
JOBS = "jobs.json"

ARRAY = 1000
"""Jobs in an array at most: Slurm's own limit, where it was not raised, is 1001."""

MARGIN_MIN = 30
"""Beyond twice the longest budget: start, compilation and evaluation, where no time is given."""

ENDLESS = 1000
"""How often a trial without a budget may be out of time."""

NAME = "algoperf-"
"""What all names of jobs begin with; a submission's token follows."""

WARNING_S = 90
"""How long before its time is up a job is told to put itself back into the queue."""

OWN = {
    "partition": "--slurm-partition",
    "nodes": "--slurm-nodes",
    "time": "--slurm-time",
    "gpus-per-node": "--slurm-gpus",
    "cpus-per-task": "--slurm-cpus",
    "exclusive": "--slurm-exclusive",
}
"""Options of sbatch that have a name of their own here."""

FIXED = ("ntasks", "ntasks-per-node", "array", "requeue", "no-requeue", "signal", "output",
         "error", "open-mode", "job-name", "wrap")  # fmt: skip
"""Options of sbatch on which the way trials are run rests."""

PROGRAMS = ("sbatch", "squeue", "sinfo", "srun", "scontrol")


@dataclass(frozen=True)
class Options:
    """What is asked of Slurm for each trial; None leaves it to the cluster.

    Attributes:
        partition: Which; None for the cluster's default.
        time: Limit of a job, in Slurm's notation; a trial that needs longer goes on in another turn
            of the queue. None for twice the longest budget and half an hour, or the partition's.
        nodes: How many train a trial together.
        gpus: On each node.
        cpus: On each node.
        exclusive: Whether a trial shares its node with nobody.
        parallel: How many trials may run at a time.
        extra: Other options of sbatch, by name.
    """

    partition: str | None = None
    time: str | None = None
    nodes: int | None = None
    gpus: int | None = None
    cpus: int | None = None
    exclusive: bool = False
    parallel: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From the command line's.

        Raises:
            UserError: Lists everything that is wrong.
        """
        faults = [
            f"--slurm-{name} is {given[name]}; it must be at least 1."
            for name in ("nodes", "gpus", "cpus", "parallel")
            if given.get(name) is not None and given[name] < 1
        ]
        extra = dict[str, str]()
        for pair in given.get("extra") or ():
            key, _, value = pair.partition("=")
            extra[key] = value
            if not re.fullmatch(r"[a-z][a-z-]*", key):
                faults.append(
                    f"--slurm-extra {pair!r} is not NAME=VALUE with an option of sbatch, such as "
                    "account=physics, or its NAME alone."
                )
            elif key in OWN:
                faults.append(f"--slurm-extra {pair}: give {OWN[key]} instead.")
            elif key in FIXED:
                faults.append(
                    f"--slurm-extra {pair}: {key} is fixed; a trial is a job, with a task a node."
                )
        if (time := given.get("time")) is not None and not minutes(time):
            faults.append(
                f"--slurm-time {time!r} is no time: give minutes, H:MM:SS or D-HH:MM:SS, above 0."
            )
        if faults:
            raise UserError.of_many("Nothing was submitted:", faults)
        return cls(**{**given, "extra": extra})


@dataclass(frozen=True)
class Partition:
    """What the cluster says of one.

    Attributes:
        up: Whether it takes jobs.
        limit_min: A job's longest time [min].
        default: Whether it is the cluster's default.
    """

    up: bool
    limit_min: float
    default: bool


def minutes(text: str) -> float | None:
    """A time in Slurm's notation, in minutes, rounded up; None if it is none."""
    if text.lower() in ("infinite", "unlimited"):
        return math.inf
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        return None
    days, _, clock = text.rpartition("-")
    fields = [int(part) for part in clock.split(":")]
    # Alone, and before one colon, stand hours after days and minutes without; before two, hours.
    hours_first = bool(days) or len(fields) == 3
    hours, mins, seconds = [*([] if hours_first else [0]), *fields, 0, 0][:3]
    return int(days or 0) * 1440 + hours * 60 + mins + math.ceil(seconds / 60)


def checked(options: Options, todo: Sequence[TrialSpec], results: Path) -> Options:
    """The options with their time limit, once it is clear that the cluster can be used.

    Raises:
        UserError: Lists everything that stands in the way.
    """
    faults = []
    if importlib.util.find_spec("submitit") is None:
        faults.append("submitit is not installed: pip install 'algoperf[slurm]'.")
    if lacking := [name for name in PROGRAMS if shutil.which(name) is None]:
        faults.append(f"{', '.join(lacking)} not found: is this a login node of a Slurm cluster?")
    else:
        try:
            options = replace(options, time=_time(options, todo, partitions()))
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError.of_many("Slurm cannot be used:", faults)
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(f"{results} cannot be written: {error.strerror}.") from error
    return options


def partitions() -> dict[str, Partition]:
    """What the cluster has.

    Raises:
        UserError: If it does not answer.
    """
    found = {}
    for line in ask("sinfo", "--noheader", "--format=%P|%a|%l").splitlines():
        name, state, limit = line.split("|")
        found[name.rstrip("*")] = Partition(
            state == "up", minutes(limit) or math.inf, name.endswith("*")
        )
    return found


def _time(options: Options, todo: Sequence[TrialSpec], known: Mapping[str, Partition]) -> str:
    """The time limit to ask for, in minutes."""
    name = options.partition
    if name is None:
        name = next((name for name, found in known.items() if found.default), None)
        if name is None:
            raise UserError(f"There is no default partition; --slurm-partition: {_listed(known)}.")
    if name not in known:
        raise UserError(f"Unknown partition {name!r}. This cluster has: {_listed(known)}.")
    found = known[name]
    if not found.up:
        raise UserError(f"The partition {name!r} takes no jobs now. All: {_listed(known)}.")
    if options.time is not None:
        asked = minutes(options.time)
        assert asked is not None  # `Options.of` has seen to it
        if asked > found.limit_min:
            raise UserError(
                f"--slurm-time {options.time} is above the limit of the partition {name!r}, "
                f"{found.limit_min:g} min. A trial that needs longer goes on in another job."
            )
        return f"{asked:.0f}"
    limit_min = min(2 * _longest_s(todo) / 60 + MARGIN_MIN, found.limit_min)
    if math.isinf(limit_min):
        raise UserError(f"Neither the trials nor {name!r} have a limit: give --slurm-time.")
    return f"{math.ceil(limit_min)}"


def _longest_s(todo: Sequence[TrialSpec]) -> float:
    """The longest budget [s]."""
    return max(spec.fixed.budget_s for spec in todo)


def _listed(known: Mapping[str, Partition]) -> str:
    return ", ".join(sorted(known)) or "none"


def ask(*command: str) -> str:
    """What one of Slurm's commands prints.

    Raises:
        UserError: If it fails or does not answer.
    """
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and commands of ours
            command, capture_output=True, text=True, check=False, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} does not answer; is the cluster's controller up?") from None
    if done.returncode:
        raise UserError(done.stderr.strip().rpartition("\n")[2] or f"{command[0]} failed.")
    return done.stdout


def submit(
    todo: Sequence[TrialSpec], results: Path, options: Options, cluster: str = "slurm"
) -> "list[Job[None]]":
    """Submits trials, a job each.

    Args:
        todo: The trials.
        results: The results folder.
        options: What to ask for, checked.
        cluster: One of submitit's; "local" for processes on this machine.

    Raises:
        UserError: If the cluster refuses them; those of earlier arrays are submitted.
    """
    arrays = (todo[first : first + ARRAY] for first in range(0, len(todo), ARRAY))
    return [job for array in arrays for job in _submit(array, results.resolve(), options, cluster)]


def _submit(
    todo: Sequence[TrialSpec], results: Path, options: Options, cluster: str
) -> "list[Job[None]]":
    import submitit  # an extra
    from submitit.core.utils import FailedJobError

    token = secrets.token_hex(4)
    folder = results / FOLDER / token
    time_min = minutes(options.time or "")
    assert time_min is not None  # `checked` has seen to it
    longest_s = _longest_s(todo)
    executor = submitit.AutoExecutor(
        folder,
        cluster=cluster,
        # How often a trial may be out of time: a few times more than its budget needs.
        slurm_max_num_timeout=3 + math.ceil(2 * longest_s / 60 / time_min)
        if math.isfinite(longest_s)
        else ENDLESS,
    )
    executor.update_parameters(
        name=f"{NAME}{token}",
        timeout_min=int(time_min),
        nodes=options.nodes or 1,
        tasks_per_node=1,
        gpus_per_node=options.gpus,
        cpus_per_task=options.cpus,
        slurm_partition=options.partition,
        slurm_exclusive=options.exclusive or None,
        slurm_array_parallelism=options.parallel or ARRAY,
        slurm_signal_delay_s=min(WARNING_S, int(time_min * 15)),
        # Since Slurm 22.05 a step does not take this from its job.
        slurm_srun_args=[] if options.cpus is None else [f"--cpus-per-task={options.cpus}"],
        slurm_additional_parameters={
            "requeue": True,
            **{key: value or True for key, value in options.extra.items()},
        },
    )
    try:
        with executor.batch():
            jobs = [executor.submit(Work(spec, results, options.nodes or 1)) for spec in todo]
    except FailedJobError as error:
        shutil.rmtree(folder)
        raise UserError(f"sbatch refused the trials: {str(error).strip()}") from error
    runs = {job.job_id: key(spec) for job, spec in zip(jobs, todo, strict=True)}
    partial = folder / f".{JOBS}"
    partial.write_text(json.dumps(runs, indent=2))
    partial.replace(folder / JOBS)
    return jobs


def key(spec: TrialSpec) -> str:
    """Names the trial in `JOBS`: its folder, as seen from the results folder, and its repeat.

    The job of the record before may still be in the queue when a repeat is submitted.
    """
    again = f" repeat {spec.repeat}" if spec.repeat else ""
    return f"{spec.folder(Path())}{again}"
