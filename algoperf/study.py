"""What has to be run, what is there already, what is missing. No jax until something is."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from algoperf import declarations, granted, registry
from algoperf.declarations import Declared
from algoperf.errors import UserError
from algoperf.records import Beat, Ending, TrialSpec
from algoperf.rules import Rules, Ruleset


@dataclass(frozen=True)
class Plan:
    """The trials that a command asks for.

    Attributes:
        done: How many are recorded already.
        todo: Those to run, in order.
        notes: What has to be said of a submission on a workload before it is run there.
    """

    done: int
    todo: tuple[TrialSpec, ...]
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return self.done + len(self.todo)

    @property
    def worst_case(self) -> str:
        """Submission time if every trial uses its budget, as text."""
        seconds = sum(spec.fixed.budget_s for spec in self.todo)
        return (
            "without a budget"
            if math.isinf(seconds)
            else f"at most {duration(seconds)} of training"
        )


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def plan(
    submissions: Sequence[str],
    workloads: Sequence[str],
    rules: Rules,
    results: Path,
    studies: int | None = None,
    *,
    asked: Ruleset | None = None,
) -> Plan:
    """What is missing of `submissions` x `workloads` under `rules`.

    Studies come outermost and submissions innermost, so that what is there is balanced at any
    moment, and a machine that drifts does so for all submissions alike.

    Args:
        submissions: Names or paths.
        workloads: Names; all have rules.
        rules: The rules.
        results: The results folder; need not exist.
        studies: How many studies, if fewer than the rules grant.
        asked: The ruleset that all submissions have to be of; None for whichever each is of.

    Raises:
        UserError: Lists everything that stands in the way, for all submissions.
    """
    faults: list[str] = []
    done = 0
    incomplete: list[Path] = []
    for path in _paths(submissions, faults):
        try:
            there = granted.recorded(path, workloads, rules, results, studies, asked=asked)
        except UserError as error:
            faults.append(_indented(error))
        else:
            done += there
            incomplete += [] if there else [path]
    said: list[Declared] = []
    missing: list[TrialSpec] = []
    for declared in declarations.read(incomplete, results, workloads):
        try:
            if isinstance(declared, UserError):
                raise declared
            todo, there = granted.missing(declared, workloads, rules, results, studies, asked=asked)
        except UserError as error:
            faults.append(_indented(error))
        else:
            said.append(declared)
            missing += todo
            done += there
    if len(faults) == 1:
        raise UserError(faults[0].replace("\n    ", "\n"))
    if faults:
        raise UserError.of_many("Nothing was run:", faults)
    for name in dict.fromkeys(spec.workload for spec in missing):
        registry.check_workload(name)
    todo = in_order(missing, workloads, lambda spec: spec)
    return Plan(done, tuple(todo), tuple(_notes(todo, said)))


def _indented(error: UserError) -> str:
    return str(error).replace("\n", "\n    ")


def _notes(todo: Sequence[TrialSpec], said: Sequence[Declared]) -> Iterator[str]:
    """What the submissions that are to be run say of the workloads that they are to be run on."""
    notes = {declared.name: declared.notes for declared in said}
    for name, workload in dict.fromkeys((spec.submission, spec.workload) for spec in todo):
        yield from (f"{name}: {note}" for note in notes[name].get(workload, ()))


Item = TypeVar("Item")


def in_order(
    items: Iterable[Item], workloads: Sequence[str], spec: Callable[[Item], TrialSpec]
) -> list[Item]:
    """In the order in which trials are run; see `plan`."""
    order = {name: place for place, name in enumerate(workloads)}

    def place(item: Item) -> tuple[int, int, int]:
        own = spec(item)
        return own.study, order[own.workload], own.trial

    return sorted(items, key=place)


def _paths(submissions: Sequence[str], faults: list[str]) -> list[Path]:
    """Their files, each once; what does not exist, or is named like another, goes to `faults`."""
    found: dict[str, Path] = {}
    for given in submissions:
        try:
            path = registry.submission_path(given)
        except UserError as error:
            faults.append(str(error))
            continue
        name = registry.submission_name(path)
        if found.setdefault(name, path) != path:
            faults.append(f"{found[name]} and {path} have the same name; rename one.")
    return list(found.values())


class Watcher(Protocol):
    """Somebody who is told how a run goes on."""

    def began(self, spec: TrialSpec) -> None: ...

    def beat(self, spec: TrialSpec, beat: Beat) -> None: ...

    def told(self, text: str) -> None:
        """Something that a person should know."""
        ...

    def ended(self, spec: TrialSpec, ending: Ending) -> None: ...

    def elsewhere(self, spec: TrialSpec) -> None:
        """Another run recorded the trial."""
        ...


def modules(todo: Sequence[TrialSpec]) -> list[str]:
    """Those that define the trials' workloads."""
    return sorted(filter(None, {registry.workload_module(spec.workload) for spec in todo}))


LOOK_AGAIN_S = 1.0
"""How often it is looked whether the trials of other runs are done."""


def run(
    todo: Sequence[TrialSpec],
    results: Path,
    watcher: Watcher,
    *,
    take_turns: bool = True,
    joint: bool = False,
) -> None:
    """Runs trials one after the other, sharing them with other runs on the same folder.

    Returns when all are recorded. May be stopped at any moment and called again: a trial that was
    cut off goes on from its last checkpoint.

    Args:
        todo: The trials.
        results: The results folder.
        watcher: Who is told.
        take_turns: Whether to wait for other runs on this machine; a cluster's job does not, since
            it has its part of the machine.
        joint: Whether other hosts train each trial together with this one, which records it.

    Raises:
        UserError: If the folder cannot be written.
        HostLost: If another host of a trial is gone.
        KeyboardInterrupt: After the running trial was ended; the recorded ones stay.
    """
    from algoperf.executors.local import LocalExecutor  # not on Windows: there one can score
    from algoperf.share import Share

    executor = LocalExecutor(results, modules(todo), joint=joint)
    share = Share(todo, executor, watcher, take_turns=take_turns)
    while share.left:
        if not share.run_next() and share.left:
            time.sleep(LOOK_AGAIN_S)
