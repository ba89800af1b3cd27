"""The verbs that train: run, check, targets."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from algoperf import listing, records, registry, rulesets, sandbox
from algoperf.cli.output import say, telling
from algoperf.cli.validation import check_counts, require_data, workload_names
from algoperf.errors import UserError
from algoperf.rules import Rules, Ruleset

if TYPE_CHECKING:
    from algoperf.console import Display
    from algoperf.records import TrialSpec
    from algoperf.slowed import Slowed


def run(
    submissions: Sequence[str],
    *,
    suite: str = "quick",
    workloads: Sequence[str] | None = None,
    rules: str | None = None,
    results: Path | None = None,
    studies: int | None = None,
    ruleset: str | None = None,
    held_out: int | None = None,
    qualification: bool = False,
    plan: bool = False,
    rerun_slowed: bool = False,
    repeats: int | None = None,
    executor: str = "local",
    detach: bool = False,
    slurm: Mapping[str, Any] | None = None,
) -> None:
    """Trains what is missing of `submissions` x `workloads` in the results folder."""
    from algoperf import held_out as variants
    from algoperf import planned, slowed, study

    check_counts(studies, repeats, rerun_slowed=rerun_slowed)
    cluster = _cluster(executor, slurm or {}, detach=detach)
    fixed = rulesets.of_suite(suite, rules)
    if held_out is not None:
        fixed = variants.drawn(fixed, held_out)
    names = _asked_workloads(fixed, workloads, qualification=qualification)
    folder = results or Path("results") / (suite if rules is None else fixed.name)
    sandbox.check_hidden(folder)
    console = Console()
    asked = None if ruleset is None else Ruleset(ruleset)
    with telling() as tell:
        tell("looking at what is recorded, and at the submissions")
        todo = study.plan(submissions, names, fixed, folder, studies, asked=asked)
    for line in planned.summary(todo, fixed, names, folder, studies):
        say(console, line)
    for note in todo.notes:
        console.print(note, style="yellow", soft_wrap=True, highlight=False, markup=False)
    if unset := planned.unset(fixed, names):
        console.print(unset, style="yellow", soft_wrap=True, highlight=False, markup=False)

    def slow() -> "list[Slowed]":
        with telling() as tell:
            tell("looking for slowed trials")
            return slowed.find(submissions, names, fixed, folder, studies)

    if plan:
        again = planned.repeats(slow()) if rerun_slowed else ()
        for shown in (*planned.tables(todo), *again):
            console.print(shown, soft_wrap=isinstance(shown, str), highlight=False)
        return
    if held_out is not None:
        variants.keep(folder, fixed, held_out)
    train = partial(_train, cluster or study.run, folder, console)
    if todo.todo:
        train(todo.todo, todo.done)
    if rerun_slowed:
        # Who does not wait for repeats cannot know which of them were slowed, too.
        _repeat(slow, train, console, 1 if detach else repeats or 1)


def _repeat(
    slow: "Callable[[], list[Slowed]]",
    train: "Callable[[Sequence[TrialSpec]], None]",
    console: Console,
    most: int,
) -> None:
    """Repeats slowed trials, and those of them that were slowed again, at most so often."""
    from algoperf import planned

    for _ in range(most):
        found = slow()
        say(console, planned.slowed(found))
        if not found:
            break
        train([one.spec for one in found])


def _train(
    runner: "Callable[[Sequence[TrialSpec], Path, Display], None]",
    folder: Path,
    console: Console,
    todo: "Sequence[TrialSpec]",
    done: int = 0,
) -> None:
    """Runs trials, shows how they go on, and says which failed."""
    from algoperf import caches
    from algoperf.console import Display

    require_data({spec.workload for spec in todo})
    caches.prune()
    with Display(console, done, done + len(todo)) as display:
        runner(todo, folder, display)
    for spec in display.failed:
        where = spec.folder(folder)
        cure = (
            f"The record before counts; {records.aside(where, spec.repeat)} says why."
            if spec.repeat
            else f"Its folder {where} says why; delete it to run the trial again, or move "
            f"{folder / spec.submission} away once the file is mended."
        )
        console.print(
            f"Failed: {spec.label}. {cure}",
            style="red",
            soft_wrap=True,
            markup=False,
        )
    if todo and len([spec for spec in display.failed if not spec.repeat]) == len(todo):
        raise UserError(
            f"All trials failed ({len(todo)}). `algoperf check {todo[0].path}` may say why "
            "in seconds."
        )


def _cluster(
    executor: str, given: Mapping[str, Any], *, detach: bool
) -> "Callable[[Sequence[TrialSpec], Path, Display], None] | None":
    """What runs trials on a cluster; None for this machine."""
    if executor == "local":
        asked = [f"--slurm-{name}" for name, value in given.items() if value]
        if asked or detach:
            raise UserError(f"{(asked or ['--detach'])[0]} needs --executor slurm.")
        return None
    from algoperf.executors import queue, slurm

    options = slurm.Options.of(given)

    def run(todo: "Sequence[TrialSpec]", folder: Path, display: "Display") -> None:
        queue.run(todo, folder, slurm.checked(options, todo, folder), display, detach=detach)

    return run


def _asked_workloads(
    rules: Rules, asked: Sequence[str] | None, *, qualification: bool
) -> list[str]:
    """What is to be run: what is named, or the qualification set, or the suite with its draw."""
    if not qualification:
        return workload_names(rules, asked or [*rules.base_workloads, *rules.held_out])
    if asked:
        raise UserError("--qualification names the workloads; leave out --workload.")
    if not rules.qualification:
        raise UserError(f"The rules {rules.name!r} have no qualification set.")
    return list(rules.qualification)


def check(
    submission: str,
    *,
    suite: str = "quick",
    workloads: Sequence[str] | None = None,
    rules: str | None = None,
    studies: int | None = None,
) -> None:
    """Runs three steps on every workload; all faults in one error."""
    check_counts(studies, None, rerun_slowed=False)
    fixed = rulesets.of_suite(suite, rules)
    names = workload_names(fixed, workloads or list(fixed.workloads))
    require_data(names)
    console = Console()
    from algoperf import caches, compilation
    from algoperf.check import check as faults_of
    from algoperf.check import to_read

    compilation.use_cache(
        caches.folder_of(registry.source_hash(registry.submission_path(submission))),
        of_harness=False,
    )

    def tell(name: str) -> None:
        console.print(f"three steps on {name}", style="dim", highlight=False)

    faults = faults_of(submission, fixed, names, tell, studies)
    if faults:
        raise UserError.of_many(f"{submission} is not ready to run:", faults)
    for place in to_read(submission):
        say(console, f"For a reader: {place}")
    console.print(
        f"{submission} is valid: three steps on each of {', '.join(names)}.", highlight=False
    )


def targets(
    suite: str,
    *,
    set_anew: bool = False,
    workloads: Sequence[str] | None = None,
    results: Path | None = None,
) -> None:
    """Shows how the suite's targets were set, or sets them anew."""
    rules = rulesets.of_suite(suite)
    names = workload_names(rules, workloads or list(rules.workloads))
    console = Console()
    from algoperf import targets as protocol

    if set_anew:
        from algoperf import study
        from algoperf.console import Display

        folder = results or Path("results") / f"{suite}-targets"

        def runner(todo: Sequence[Any]) -> None:
            with Display(console, 0, len(todo)) as display:
                study.run(todo, folder, display)

        protocol.set_targets(rules, names, folder, runner)
    console.print(listing.targets(rules.name, names))
