"""The command line: one door that opens every room, when its verb is called.

Every verb is one importable function. Exit status: 0 done, 2 the user's mistake (one message,
no traceback), 1 a defect of ours (with its traceback), 130 stopped with Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, logging
from absl.flags import argparse_flags
from rich.console import Console

from algoperf import listing, registry, rulesets
from algoperf.errors import UserError
from algoperf.rulesets import Rules, Ruleset


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the `algoperf` command."""
    logging.set_verbosity(logging.WARNING)
    app.run(_dispatch, argv=list(argv or sys.argv), flags_parser=_parse)


def _dispatch(arguments: argparse.Namespace) -> int:
    options = {
        name: value for name, value in vars(arguments).items() if name not in ("verb", "call")
    }
    try:
        return arguments.call(**options) or 0
    except UserError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 2
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped. What was recorded stays; the same command goes on from there."
        )
        return 130


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse_flags.ArgumentParser(
        prog="algoperf",
        description="Time-to-result of training algorithms, and how far to trust each number.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    verb = verbs.add_parser("list", help="what there is")
    verb.add_argument("what", choices=listing.LISTS, nargs="?", default="workloads")
    verb.add_argument("--json", action="store_true", help="for programs")
    verb.set_defaults(call=list_)

    verb = verbs.add_parser("check", help="is a submission valid? every fault at once")
    verb.add_argument("submission", metavar="SUBMISSION", help="name or path")
    _add_workloads(verb)
    verb.set_defaults(call=check)

    verb = verbs.add_parser("run", help="train what is missing")
    verb.add_argument("submissions", nargs="+", metavar="SUBMISSION", help="name or path")
    _add_workloads(verb)
    verb.add_argument("--results", type=Path, metavar="DIR", help="default: results/SUITE")
    verb.add_argument("--studies", type=int, metavar="N", help="fewer studies than the rules grant")
    verb.add_argument("--plan", action="store_true", help="say what would be run, and stop")
    verb.set_defaults(call=run)

    verb = verbs.add_parser("score", help="the leaderboard of results folders or log trees")
    verb.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    verb.add_argument("--rules", metavar="NAME", help="name or file; default: the results' own")
    _add_axis(verb)
    _add_ruleset(verb)
    verb.add_argument("--reference", metavar="SUBMISSION", help="that speedups are over")
    verb.add_argument("--strict", action="store_true", help="refuse logs with any problem")
    verb.add_argument("--json", type=Path, metavar="FILE", help="every number, for programs")
    verb.add_argument("--out", type=Path, metavar="DIR", help="report: html, csv, md, json, plots")
    verb.set_defaults(call=score)

    verb = verbs.add_parser("compare", help="two submissions or two results folders, paired")
    verb.add_argument("left", metavar="A", help="submission's name, its folder, or results folder")
    verb.add_argument("right", metavar="B", help="the same; ratios are B over A")
    verb.add_argument("--results", type=Path, metavar="DIR", help="where names are looked up")
    verb.add_argument("--rules", metavar="NAME", help="name or file; default: the results' own")
    _add_axis(verb)
    _add_ruleset(verb)
    verb.add_argument("--json", type=Path, metavar="FILE", help="every number, for programs")
    verb.set_defaults(call=compare)

    verb = verbs.add_parser("verify", help="measure again what claims to have reached its target")
    verb.add_argument("folder", type=Path, metavar="DIR")
    verb.set_defaults(call=verify)

    verb = verbs.add_parser("diagnose", help="what a multiple-choice metric hides")
    verb.add_argument(
        "files", nargs="+", type=Path, metavar="FILE",
        help="samples of lm-evaluation-harness or OLMES, tidy CSV or Parquet, or their folders",
    )  # fmt: skip
    verb.add_argument(
        "--models", type=Path, metavar="CSV", help="model, family, parameters, tokens, compute"
    )
    verb.add_argument(
        "--normalisation", nargs="+", dest="normalisations", metavar="NAME",
        help="raw, per_token, per_char, per_byte, pmi (default: all that the files allow)",
    )  # fmt: skip
    verb.add_argument("--json", type=Path, metavar="FILE", help="every number, for programs")
    verb.add_argument("--out", type=Path, metavar="DIR", help="report: csv, json, plots")
    verb.set_defaults(call=diagnose)

    verb = verbs.add_parser("targets", help="how targets were set, and setting them anew")
    verb.add_argument("suite", metavar="SUITE")
    verb.add_argument(
        "--set", action="store_true", dest="set_anew", help="run the protocol; takes long"
    )
    verb.add_argument("--workload", nargs="+", dest="workloads", metavar="NAME", help="only these")
    verb.add_argument("--results", type=Path, metavar="DIR", help="default: results/SUITE-targets")
    verb.set_defaults(call=targets)

    verb = verbs.add_parser("doctor", help="what this machine is, and what is missing")
    verb.set_defaults(call=doctor)
    return parser.parse_args(argv[1:])


def _add_workloads(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--suite", default="quick", help="which workloads (default: %(default)s)")
    verb.add_argument(
        "--workload", nargs="+", dest="workloads", metavar="NAME", help="these, not the suite's"
    )
    verb.add_argument("--rules", metavar="NAME", help="name or file; default: the suite's")


def _add_axis(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--time", choices=("seconds", "steps", "examples", "flops"), default="seconds",
        help="what time is measured in (default: %(default)s)",
    )  # fmt: skip


def _add_ruleset(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--ruleset", choices=[str(ruleset) for ruleset in Ruleset], default=str(Ruleset.EXTERNAL),
        help="of logs that do not say (default: %(default)s)",
    )  # fmt: skip


def _workload_names(rules: Rules, asked: Sequence[str] | None) -> list[str]:
    for name in asked or ():
        if name not in rules.workloads:
            raise registry.unknown("workload", name, rules.workloads, "algoperf list workloads")
    return list(dict.fromkeys(asked or rules.base_workloads))


def run(
    submissions: Sequence[str],
    *,
    suite: str = "quick",
    workloads: Sequence[str] | None = None,
    rules: str | None = None,
    results: Path | None = None,
    studies: int | None = None,
    plan: bool = False,
) -> None:
    """Trains what is missing of `submissions` x `workloads` in the results folder."""
    from algoperf import study
    from algoperf.console import Display

    if studies is not None and studies < 1:
        raise UserError(f"--studies is {studies}; it must be at least 1.")
    fixed = rulesets.of_suite(suite, rules)
    names = _workload_names(fixed, workloads)
    folder = results or Path("results") / (suite if rules is None else fixed.name)
    console = Console()
    todo = study.plan(submissions, names, fixed, folder, studies)
    console.print(
        f"{todo.total} trials under the rules {fixed.name!r}: {todo.done} recorded in {folder}, "
        f"{len(todo.todo)} to run{f' (at most {todo.worst_case})' if todo.todo else ''}.",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    for ruleset in dict.fromkeys(spec.ruleset for spec in todo.todo):
        own = dict.fromkeys(spec.submission for spec in todo.todo if spec.ruleset == ruleset)
        granted = fixed.tuning[ruleset]
        console.print(
            f"  {', '.join(own)} ({ruleset.replace('_', '-')}, {granted.studies} studies x "
            f"{granted.trials} trials) on {', '.join(names)}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
    if plan or not todo.todo:
        return
    with Display(console, todo.done, todo.total) as display:
        study.run(todo.todo, folder, display)
    for spec in display.failed:
        console.print(
            f"Failed: {spec.label}. Its folder {spec.folder(folder)} says why; delete it to run "
            f"the trial again, or move {folder / spec.submission} away once the file is mended.",
            style="red",
            soft_wrap=True,
            markup=False,
        )


def check(
    submission: str,
    *,
    suite: str = "quick",
    workloads: Sequence[str] | None = None,
    rules: str | None = None,
) -> None:
    """Runs three steps on every workload; all faults in one error."""
    fixed = rulesets.of_suite(suite, rules)
    names = _workload_names(fixed, workloads or list(fixed.workloads))
    console = Console()
    from algoperf import compilation
    from algoperf.check import check as faults_of

    compilation.use_cache()

    def tell(name: str) -> None:
        console.print(f"three steps on {name}", style="dim", highlight=False)

    faults = faults_of(submission, fixed, names, tell)
    if faults:
        raise UserError.of_many(f"{submission} is not ready to run:", faults)
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
    json: Path | None = None,
    out: Path | None = None,
) -> None:
    """Scores results folders or log trees; prints the leaderboard, writes what is asked for."""
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
    found = board.score(folders, rulesets.load(name), options)
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
    from algoperf import compilation
    from algoperf import verify as verification

    compilation.use_cache()
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
    console = Console()
    text.terminal(found, console)
    _print_written(console, written)


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
        Console().print(listing.table(rows))


def doctor() -> None:
    """Prints what this machine is, how fast it is now, and what is missing."""
    Console().print(listing.table(listing.machine_facts(), heading=False))
