"""The command line's verbs and options, and their help."""

import argparse
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from absl.flags import argparse_flags

from algoperf import listing
from algoperf.inputs.extra import DATA_VARIABLE
from algoperf.rules import Ruleset

SUBMISSION = "name of a submission, or path to its file"
DATASET = "name of a data set that `algoperf data` shows"
SUITE = "suite whose workloads are used (default: %(default)s)"
RECORDED_RULES = "rules: name or file (default: those that the results record)"
JSON = "write every number as JSON"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The verb (`verb`, for data sets also `action`) and its options.

    Args:
        argv: With the program's name first.
    """
    parser = argparse_flags.ArgumentParser(
        prog="algoperf",
        description="Time-to-result of training algorithms, and how far to trust each number.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    verb = verbs.add_parser("list", help="list workloads, submissions, suites or rules")
    verb.add_argument(
        "what", choices=listing.LISTS, nargs="?", default="workloads",
        help="what to list (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument("--json", action="store_true", help="print JSON")

    verb = verbs.add_parser("check", help="check a submission and report all of its faults")
    verb.add_argument("submission", metavar="SUBMISSION", help=SUBMISSION)
    _add_workloads(verb)
    verb.add_argument(
        "--studies", type=int, metavar="N",
        help="check that the search space has points for N studies (default: all that the rules "
        "grant)",
    )  # fmt: skip
    _add_data(verb)

    verb = verbs.add_parser("run", help="train the trials that are not recorded yet")
    verb.add_argument("submissions", nargs="+", metavar="SUBMISSION", help=SUBMISSION)
    _add_workloads(verb)
    verb.add_argument(
        "--results", type=Path, metavar="DIR",
        help="results folder (default: results/ and the name of the suite or of --rules)",
    )  # fmt: skip
    verb.add_argument(
        "--studies", type=int, metavar="N",
        help="run at most N studies (default: all that the rules grant)",
    )  # fmt: skip
    verb.add_argument(
        "--ruleset", choices=[str(ruleset) for ruleset in Ruleset],
        help="run under this ruleset only; submissions of the other are refused (default: each "
        "under its own)",
    )  # fmt: skip
    _add_held_out(verb, "also run the held-out variants that SEED draws, one of each data set")
    verb.add_argument(
        "--qualification", action="store_true", help="run only the rules' qualification set"
    )
    verb.add_argument(
        "--plan", action="store_true",
        help="show trials, points, budgets and the maximum cost, then stop",
    )  # fmt: skip
    verb.add_argument(
        "--rerun-slowed", action="store_true",
        help="afterwards repeat trials during which the machine was slow; all records are kept",
    )  # fmt: skip
    verb.add_argument(
        "--repeats", type=int, metavar="N",
        help="with --rerun-slowed: repeat each slowed trial at most N times (default: 1)",
    )  # fmt: skip
    _add_data(verb)
    _add_cluster(verb)

    _add_reading(verbs)

    verb = verbs.add_parser("targets", help="show how targets were set, or set them anew")
    verb.add_argument("suite", metavar="SUITE", help="suite that `algoperf list suites` shows")
    verb.add_argument(
        "--set",
        action="store_true",
        dest="set_anew",
        help="set the targets anew by training; takes hours",
    )
    verb.add_argument(
        "--workload", nargs="+", dest="workloads", metavar="NAME", help="only these workloads"
    )
    verb.add_argument(
        "--results", type=Path, metavar="DIR",
        help="with --set: results folder (default: results/SUITE-targets)",
    )  # fmt: skip

    _add_data_verb(verbs)

    verb = verbs.add_parser(
        "doctor", help="show what this machine is, how fast it is now, and what is missing"
    )
    _know_themselves(verbs.choices)
    asked, unknown = parser.parse_known_args(argv[1:])
    own = vars(asked).pop("parser")
    if unknown:
        own.error(_unknown(unknown, own))
    if asked.verb == "run":
        _gather(asked, _CLUSTER)
    return asked


def _know_themselves(parsers: Mapping[str, argparse.ArgumentParser]) -> None:
    """So that what is parsed tells whose mistake it would be."""
    for parser in parsers.values():
        parser.set_defaults(parser=parser)


def _unknown(arguments: Sequence[str], verb: argparse.ArgumentParser) -> str:
    """What is said of arguments that a verb does not take."""
    options = re.findall(r"--[a-z][a-z-]*", verb.format_usage())
    names = [argument.split("=")[0] for argument in arguments]
    near = dict.fromkeys(n for name in names for n in get_close_matches(name, options, n=1))
    hint = f". Did you mean {' and '.join(near)}?" if near else ""
    if set(names) & set(options):
        hint = f". Options come after `{verb.prog}`."
    return f"unrecognized arguments: {' '.join(arguments)}{hint}"


_CLUSTER = "slurm"


def _gather(asked: argparse.Namespace, group: str) -> None:
    """Puts all options `--group-...` into one mapping."""
    given = {
        name: vars(asked).pop(name) for name in list(vars(asked)) if name.startswith(f"{group}_")
    }
    setattr(asked, group, {name.removeprefix(f"{group}_"): value for name, value in given.items()})


def _add_reading(verbs: Any) -> None:
    """The verbs that read what was recorded."""
    verb = verbs.add_parser("score", help="print the leaderboard of results folders or log trees")
    verb.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR",
        help="results folder, or folder of MLCommons' logs",
    )  # fmt: skip
    verb.add_argument("--rules", metavar="NAME", help=RECORDED_RULES)
    _add_axis(verb)
    _add_ruleset(verb)
    _add_held_out(
        verb, "score with the held-out variants that SEED draws (default: those that were run)"
    )
    verb.add_argument(
        "--reference", metavar="SUBMISSION",
        help="submission that speedups are relative to (default: the rules')",
    )  # fmt: skip
    verb.add_argument(
        "--strict", action="store_true", help="refuse to score logs that have any problem"
    )
    verb.add_argument("--json", type=Path, metavar="FILE", help=JSON)
    verb.add_argument(
        "--out", type=Path, metavar="DIR",
        help="write a report into DIR: HTML, CSV, Markdown, JSON, plots",
    )  # fmt: skip

    verb = verbs.add_parser("compare", help="compare two submissions or two results folders")
    verb.add_argument(
        "left", metavar="A", help="name of a submission, its folder, or a results folder"
    )
    verb.add_argument("right", metavar="B", help="the same; ratios are B over A")
    verb.add_argument(
        "--results", type=Path, metavar="DIR", help="results folder that names are looked up in"
    )
    verb.add_argument("--rules", metavar="NAME", help=RECORDED_RULES)
    _add_axis(verb)
    _add_ruleset(verb)
    verb.add_argument("--json", type=Path, metavar="FILE", help=JSON)

    verb = verbs.add_parser(
        "verify",
        help="re-evaluate the saved parameters of every trial that claims its target",
    )
    verb.add_argument("folder", type=Path, metavar="DIR", help="results folder, or a folder in one")

    verb = verbs.add_parser(
        "diagnose", help="show what a multiple-choice metric hides: probabilities, calibration, ..."
    )
    verb.add_argument(
        "files", nargs="+", type=Path, metavar="FILE",
        help="samples of lm-evaluation-harness or OLMES, tidy CSV or Parquet, or their folders",
    )  # fmt: skip
    verb.add_argument(
        "--models", type=Path, metavar="CSV",
        help="table of the models: model, family, parameters, tokens, compute",
    )  # fmt: skip
    verb.add_argument(
        "--normalisation", nargs="+", dest="normalisations", metavar="NAME",
        help="raw, per_token, per_char, per_byte or pmi (default: all that the files allow)",
    )  # fmt: skip
    verb.add_argument("--json", type=Path, metavar="FILE", help=JSON)
    verb.add_argument(
        "--out", type=Path, metavar="DIR", help="write a report into DIR: HTML, CSV, JSON, plots"
    )


def _add_data_verb(verbs: Any) -> None:
    verb = verbs.add_parser("data", help="list the real data sets, prepare or check one")
    verb.set_defaults(data=None)
    actions = verb.add_subparsers(dest="action", metavar="ACTION")
    action = actions.add_parser("prepare", help="say which files to download, and convert them")
    action.add_argument("name", metavar="NAME", help=DATASET)
    _add_data(action)
    action = actions.add_parser("check", help="find files that are missing, truncated or changed")
    action.add_argument("name", metavar="NAME", help=DATASET)
    action.add_argument(
        "--hashes", action="store_true", help="also compare the hash of every file; takes long"
    )
    _add_data(action)
    _know_themselves(actions.choices)


def _add_data(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--data", type=Path, metavar="DIR",
        help=f"folder of the real data sets (default: ${DATA_VARIABLE}; `algoperf data` shows it)",
    )  # fmt: skip


def _add_cluster(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--executor", choices=("local", _CLUSTER), default="local",
        help="run on this machine, or as one Slurm job per trial (default: %(default)s)",
    )  # fmt: skip
    group = verb.add_argument_group("options of --executor slurm")
    group.add_argument(
        "--detach", action="store_true", help="submit the jobs and do not wait for them"
    )
    group.add_argument(
        "--slurm-partition", metavar="NAME", help="partition (default: the cluster's)"
    )
    group.add_argument(
        "--slurm-time", metavar="TIME",
        help="time limit of a job, in sbatch's form; a trial that needs longer resumes in another "
        "job (default: twice the longest budget plus half an hour)",
    )  # fmt: skip
    group.add_argument("--slurm-nodes", type=int, metavar="N", help="nodes per trial (default: 1)")
    group.add_argument("--slurm-gpus", type=int, metavar="N", help="GPUs per node")
    group.add_argument("--slurm-cpus", type=int, metavar="N", help="CPUs per node")
    group.add_argument("--slurm-exclusive", action="store_true", help="use whole nodes")
    group.add_argument(
        "--slurm-parallel", type=int, metavar="N", help="run at most N trials at the same time"
    )
    group.add_argument(
        "--slurm-extra", nargs="+", metavar="NAME=VALUE",
        help="other options of sbatch: account=physics, constraint=a100, ...",
    )  # fmt: skip


def _add_workloads(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--suite", default="quick", help=SUITE)
    verb.add_argument(
        "--workload", nargs="+", dest="workloads", metavar="NAME",
        help="use these workloads instead of the suite's",
    )  # fmt: skip
    verb.add_argument("--rules", metavar="NAME", help="rules: name or file (default: the suite's)")


def _add_held_out(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("--held-out", type=int, metavar="SEED", help=text)


def _add_axis(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--time", choices=("seconds", "steps", "examples", "flops"), default="seconds",
        help="measure time in these (default: %(default)s)",
    )  # fmt: skip


def _add_ruleset(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--ruleset", choices=[str(ruleset) for ruleset in Ruleset], default=str(Ruleset.EXTERNAL),
        help="ruleset to assume for logs that do not record one (default: %(default)s)",
    )  # fmt: skip
