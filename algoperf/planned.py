"""What a command would run, as tables: trials, budgets, the most that it can cost, the points."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from algoperf import machine
from algoperf.records import TrialSpec
from algoperf.rules import Rules
from algoperf.slowed import Slowed
from algoperf.study import Plan, duration

if TYPE_CHECKING:
    from algoperf.tuning import Point


def summary(
    plan: Plan,
    rules: Rules,
    workloads: Sequence[str],
    results: object,
    studies: int | None = None,
) -> Iterator[str]:
    """What there is and what is missing, a line each.

    Args:
        plan: What is missing.
        rules: Under which.
        workloads: On which.
        results: The folder.
        studies: How many were asked for; None for all.
    """
    yield (
        f"{plan.total} trials under the rules {rules.name!r}: {plan.done} recorded in {results}, "
        f"{len(plan.todo)} to run{f' ({plan.worst_case})' if plan.todo else ''}."
    )
    for ruleset in dict.fromkeys(spec.ruleset for spec in plan.todo):
        own = dict.fromkeys(spec.submission for spec in plan.todo if spec.ruleset == ruleset)
        granted = rules.tuning[ruleset]
        fewer = "" if studies is None or studies >= granted.studies else f"{studies} of "
        yield (
            f"  {', '.join(own)} ({ruleset.replace('_', '-')}, {fewer}{granted.studies} studies x "
            f"{granted.trials} trials) on {', '.join(workloads)}"
        )
    if rules.held_out:
        yield f"  held out: {', '.join(rules.held_out)}"


def unset(rules: Rules, workloads: Sequence[str]) -> str | None:
    """What to know of workloads that have no target yet; None if all have one."""
    names = [name for name in workloads if math.isnan(rules.workloads[name].validation.value)]
    if not names:
        return None
    return (
        f"No target is set for {', '.join(names)}: a trial there ends when its submission or "
        f"its budget does. 'algoperf targets {rules.suite} --set' sets them; it takes long."
    )


def tables(plan: Plan) -> Iterator[str | Table]:
    """Cost by workload, and every submission's points; nothing if nothing is to be run."""
    if plan.todo:
        yield _costs(plan.todo)
        yield from _points(plan.todo)


def _costs(todo: Sequence[TrialSpec]) -> Table:
    """A row a workload and budget; the hours are those of trials that use all of it."""
    shown = Table(title="To be run", show_footer=True)
    shown.add_column("workload", footer="all", overflow="fold")
    shown.add_column("trials", footer=str(len(todo)), justify="right")
    shown.add_column("target", overflow="fold")
    shown.add_column(Text("budget of each [s]"), justify="right")
    shown.add_column(Text("at most [h]"), footer=_hours(todo), justify="right")
    groups: dict[tuple[str, float], list[TrialSpec]] = {}
    for spec in todo:
        groups.setdefault((spec.workload, spec.fixed.budget_s), []).append(spec)
    for (workload, budget_s), specs in groups.items():
        target = specs[0].fixed.validation
        aim = "not set" if math.isnan(target.value) else f"{target.metric} {target.value:.5g}"
        budget = "none" if math.isinf(budget_s) else f"{budget_s:,.0f}"
        shown.add_row(workload, str(len(specs)), aim, budget, _hours(specs))
    return shown


def _hours(specs: Sequence[TrialSpec]) -> str:
    """Submission time of trials that use all of their budgets [h]."""
    seconds = sum(spec.fixed.budget_s for spec in specs)
    return "no limit" if math.isinf(seconds) else f"{seconds / 3600:,.2f}"


POINTS_SHOWN = 500
"""More than these nobody reads, and drawing their tables takes longer than all else."""


def _points(todo: Sequence[TrialSpec]) -> Iterator[str | Table]:
    """For each externally tuned submission the points, which are the same on every workload."""
    found: dict[str, dict[tuple[int, int], Point]] = {}
    for spec in todo:
        if spec.point:
            found.setdefault(spec.submission, {})[spec.study, spec.trial] = spec.point
    rows = 0
    for place, (submission, points) in enumerate(found.items()):
        rows += len(points)
        if place and rows > POINTS_SHOWN:
            left = len(found) - place
            yield f"Submissions whose points are not shown: {left}. Plan fewer to see them."
            break
        shown = Table(title=f"Points of {submission}")
        names = list(next(iter(points.values())))
        for heading in ("study", "trial", *names):
            shown.add_column(heading, justify="right", overflow="fold")
        for (study, trial), point in sorted(points.items()):
            cells = (f"{v:.5g}" if isinstance(v, float) else str(v) for v in point.values())
            shown.add_row(str(study), str(trial), *(Text(cell) for cell in cells))
        yield shown


def slowed(found: Sequence[Slowed]) -> str:
    """How many recorded trials are to be repeated, as a line."""
    by = f"slowed down by {machine.SLOWED - 1:.0%} or more"
    if not found:
        return f"No recorded trial ran while the machine was {by}."
    seconds = sum(slow.spec.fixed.budget_s for slow in found)
    most = "" if math.isinf(seconds) else f" (at most {duration(seconds)} of training)"
    return f"{len(found)} recorded trials ran while the machine was {by}; to be repeated{most}."


def repeats(found: Sequence[Slowed]) -> Iterator[str | Table]:
    """The same with a row a trial."""
    yield slowed(found)
    if not found:
        return
    shown = Table(title="To be repeated")
    for heading in ("submission", "workload"):
        shown.add_column(heading, overflow="fold")
    for heading in ("study", "trial", "repeat", "slowed by", "budget [s]"):
        shown.add_column(Text(heading), justify="right")
    for slow in found:
        spec = slow.spec
        numbers = (spec.study, spec.trial, spec.repeat)
        by, budget = f"{slow.slowdown - 1:.0%}", f"{spec.fixed.budget_s:,.0f}"
        shown.add_row(spec.submission, spec.workload, *map(str, numbers), by, budget)
    yield shown
