"""The command line: one door that opens every room, when its verb is called.

Every verb is one importable function. Exit status: 0 done, 2 the user's mistake (one message,
no traceback), 1 a defect of ours (with its traceback), 130 stopped with Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import app, logging
from rich.console import Console

from algoperf import arguments, listing, records, registry, rulesets, sandbox
from algoperf.errors import UserError
from algoperf.inputs.extra import DATA_VARIABLE
from algoperf.rulesets import Rules, Ruleset

if TYPE_CHECKING:
    from algoperf.console import Display
    from algoperf.records import TrialSpec
    from algoperf.slowed import Slowed


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the `algoperf` command."""
    logging.set_verbosity(logging.WARNING)
    app.run(_dispatch, argv=list(argv or sys.argv), flags_parser=arguments.parse)


def _dispatch(asked: argparse.Namespace) -> int:
    options = dict(vars(asked))
    verb = " ".join(filter(None, (options.pop("verb"), options.pop("action", None))))
    if (data := options.pop("data", None)) is not None:
        os.environ[DATA_VARIABLE] = str(data)  # trials in other processes read it too
    try:
        VERBS[verb](**options)
    except UserError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 2
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped. What was recorded stays; the same command goes on from there."
        )
        return 130
    return 0


def _workload_names(rules: Rules, asked: Sequence[str] | None) -> list[str]:
    for name in asked or ():
        if name not in rules.workloads:
            raise _not_in(rules, name)
    return list(dict.fromkeys(asked or rules.base_workloads))


def _not_in(rules: Rules, name: str) -> UserError:
    if name not in rulesets.workload_names():
        return registry.unknown("workload", name, rules.workloads, "algoperf list workloads")
    suite = registry.workload(name).suite
    return UserError(
        f"The rules {rules.name!r} do not have the workload {name!r}: it is of the suite "
        f"{suite!r}. Add --suite {suite}."
    )


def _require_data(names: Iterable[str]) -> None:
    """Complains about everything that is missing, before anything is trained."""
    gaps = {registry.workload(name).dataset.missing() for name in names}
    if lacking := sorted(gap for gap in gaps if gap is not None):
        raise UserError.of_many("The data are not there:", lacking)


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

    _check_counts(studies, repeats, rerun_slowed=rerun_slowed)
    cluster = _cluster(executor, slurm or {}, detach=detach)
    fixed = rulesets.of_suite(suite, rules)
    if held_out is not None:
        fixed = variants.drawn(fixed, held_out)
    names = _asked_workloads(fixed, workloads, qualification=qualification)
    folder = results or Path("results") / (suite if rules is None else fixed.name)
    sandbox.check_hidden(folder)
    console = Console()
    asked = None if ruleset is None else Ruleset(ruleset)
    todo = study.plan(submissions, names, fixed, folder, studies, asked=asked)
    for line in planned.summary(todo, fixed, names, folder):
        _say(console, line)
    for note in todo.notes:
        console.print(note, style="yellow", soft_wrap=True, highlight=False, markup=False)
    if unset := planned.unset(fixed, names):
        console.print(unset, style="yellow", soft_wrap=True, highlight=False, markup=False)
    slow = partial(slowed.find, submissions, names, fixed, folder, studies)
    if plan:
        for shown in planned.tables(todo):
            console.print(shown)
        for shown in planned.repeats(slow()) if rerun_slowed else ():
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


def _check_counts(studies: int | None, repeats: int | None, *, rerun_slowed: bool) -> None:
    for option, value in (("--studies", studies), ("--repeats", repeats)):
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}; it must be at least 1.")
    if repeats is not None and not rerun_slowed:
        raise UserError("--repeats needs --rerun-slowed.")


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
        _say(console, planned.slowed(found))
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
    from algoperf.console import Display

    _require_data({spec.workload for spec in todo})
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
        return _workload_names(rules, asked or [*rules.base_workloads, *rules.held_out])
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
    _check_counts(studies, None, rerun_slowed=False)
    fixed = rulesets.of_suite(suite, rules)
    names = _workload_names(fixed, workloads or list(fixed.workloads))
    _require_data(names)
    console = Console()
    from algoperf import caches, compilation
    from algoperf.check import check as faults_of
    from algoperf.check import to_read

    compilation.use_cache(
        caches.folder_of(registry.source_hash(registry.submission_path(submission)))
    )

    def tell(name: str) -> None:
        console.print(f"three steps on {name}", style="dim", highlight=False)

    faults = faults_of(submission, fixed, names, tell, studies)
    if faults:
        raise UserError.of_many(f"{submission} is not ready to run:", faults)
    for place in to_read(submission):
        _say(console, f"For a reader: {place}")
    console.print(
        f"{submission} is valid: three steps on each of {', '.join(names)}.", highlight=False
    )


def score(
    folders: Sequence[Path],
    *,
    rules: str | None = None,
    time: str = "seconds",
    reference: str | None = None,
    ruleset: str = Ruleset.EXTERNAL,
    strict: bool = False,
    held_out: int | None = None,
    json: Path | None = None,
    out: Path | None = None,
) -> None:
    """Scores results folders or log trees; prints the leaderboard, writes what is asked for."""
    from algoperf import held_out as variants
    from scoring.leaderboard import board, cache, logs
    from scoring.report import files, table

    name = rules or _recorded_rules(logs.rules_named_in(folders))
    beside = out or (json.parent if json is not None else None)
    options = board.Options(
        axis=time,
        reference=reference,
        ruleset=Ruleset(ruleset),
        strict=strict,
        cache=None if beside is None else beside / cache.NAME,
    )
    fixed = rulesets.load(name)
    fixed = (
        variants.as_recorded(fixed, folders)
        if held_out is None
        else variants.drawn(fixed, held_out)
    )
    found = board.score(folders, fixed, options)
    # Written first: who reads the table through a pipe may stop reading.
    if json is not None:
        files.write_json(found, json)
    written = [] if out is None else files.write_report(found, out)
    console = Console()
    table.terminal(found, console)
    _print_written(console, written)


def _recorded_rules(names: set[str]) -> str:
    if len(names) != 1:
        raise UserError(
            f"The results do not name one set of rules ({', '.join(sorted(names)) or 'none'}); "
            f"choose with --rules: {', '.join(registry.rules_files())}."
        )
    (name,) = names
    if name not in registry.rules_files():
        raise UserError(f"The results were run under {name!r}: give that file with --rules.")
    return name


def compare(
    left: str,
    right: str,
    *,
    results: Path | None = None,
    rules: str | None = None,
    time: str = "seconds",
    ruleset: str = Ruleset.EXTERNAL,
    json: Path | None = None,
) -> None:
    """Prints two submissions, or two results folders, side by side."""
    from scoring.leaderboard import compare as pairs
    from scoring.leaderboard import logs
    from scoring.report import comparison, files

    first, second = pairs.side(left, results), pairs.side(right, results)
    name = rules or _recorded_rules(logs.rules_named_in([first.folder, second.folder]))
    found = pairs.compare(first, second, rulesets.load(name), time, Ruleset(ruleset))
    comparison.terminal(found, Console())
    if json is not None:
        files.write_text(json, comparison.as_json(found))


def verify(folder: Path) -> None:
    """Measures again what claims to have reached its target; a mismatch is an error."""
    from algoperf import caches, compilation
    from algoperf import verify as verification

    compilation.use_cache(caches.folder_of(caches.HARNESS))
    console = Console()

    def tell(finding: verification.Finding) -> None:
        console.print(
            f"{finding.verdict}: {finding.trial}: {finding.reason}",
            style="red" if finding.verdict is verification.Verdict.MISMATCH else "",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )

    found = verification.verify(folder, tell)
    counts = {verdict: sum(f.verdict is verdict for f in found) for verdict in verification.Verdict}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(f"{len(found)} trials: {told}.", highlight=False)
    if wrong := counts[verification.Verdict.MISMATCH]:
        raise UserError(f"{wrong} of {len(found)} results do not repeat; the lines above say why.")


def diagnose(
    files: Sequence[Path],
    *,
    models: Path | None = None,
    normalisations: Sequence[str] | None = None,
    json: Path | None = None,
    out: Path | None = None,
) -> None:
    """Diagnoses choice log-likelihoods; prints a summary, writes what is asked for."""
    from scoring.diagnostics import files as writer
    from scoring.diagnostics import study, text

    found = study.diagnose(files, models, normalisations)
    if json is not None:
        writer.write_json(found, json)
    written = [] if out is None else writer.write_report(found, out)
    console = _wide_console()
    text.terminal(found, console)
    _print_written(console, written)


def _wide_console() -> Console:
    """As wide as the terminal; into a file or a pipe there is no width to fit."""
    console = Console()
    return console if console.is_terminal else Console(width=150)


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _print_written(console: Console, written: Sequence[Path]) -> None:
    if written:
        names = ", ".join(path.name for path in written)
        console.print(
            f"Report in {written[0].parent}: {names}", soft_wrap=True, highlight=False, markup=False
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
    names = _workload_names(rules, workloads or list(rules.workloads))
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


def list_(what: str, *, json: bool = False) -> None:
    """Prints workloads, submissions, suites or rules, for people or for programs."""
    rows = listing.rows(what)
    if json:
        sys.stdout.write(listing.as_json(rows) + "\n")
    else:
        _wide_console().print(listing.table(rows))


def data_list() -> None:
    """Prints the real data sets and whether they are there."""
    from algoperf.inputs.extra import data_root

    console = Console()
    console.print(listing.table(listing.datasets()))
    console.print(f"Data folder: {data_root()}", soft_wrap=True, highlight=False, markup=False)


def data_prepare(name: str) -> None:
    """Says what to put where, and converts it, unless it is there already."""
    from algoperf.console import Preparing
    from algoperf.inputs import prepare

    dataset = registry.dataset(name)
    console = Console()

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    if dataset.missing() is not None:
        root = str(dataset.data_root)
        say(f"{name} needs, below {root}:\n{dataset.instructions.replace('DATA', root)}\n")
        with Preparing(console) as watch:
            prepare.prepare(dataset, watch)
    if faults := dataset.faults():
        raise UserError.of_many(f"{name} is not ready:", faults)
    for line in prepare.report(dataset):
        say(line)
    say(f"{name} is ready: {listing.counts(dataset.sizes)}.")


def data_check(name: str, *, hashes: bool = False) -> None:
    """Opens every file of a data set; all faults in one error."""
    from algoperf.inputs import prepare

    dataset = registry.dataset(name)
    console = Console()
    with console.status(f"opening the files of {name}") as status:
        faults = prepare.check(dataset, hashes=hashes, tell=status.update)
    if faults:
        raise UserError.of_many(
            f"{name} is not ready; `algoperf data prepare {name}` says what to do:", faults
        )
    console.print(f"{name} is ready: {listing.counts(dataset.sizes)}.", highlight=False)


def doctor() -> None:
    """Prints what this machine is, how fast it is now, and what is missing."""
    Console().print(listing.table(listing.machine_facts(), heading=False))


VERBS: Mapping[str, Callable[..., None]] = {
    "list": list_,
    "check": check,
    "run": run,
    "score": score,
    "compare": compare,
    "verify": verify,
    "diagnose": diagnose,
    "targets": targets,
    "data": data_list,
    "data prepare": data_prepare,
    "data check": data_check,
    "doctor": doctor,
}
"""What each verb calls."""
