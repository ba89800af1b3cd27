"""The command line's verbs and options, and their help."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl.flags import argparse_flags

from algoperf import listing
from algoperf.inputs.extra import DATA_VARIABLE
from algoperf.rulesets import Ruleset


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

    verb = verbs.add_parser("list", help="what there is")
    verb.add_argument("what", choices=listing.LISTS, nargs="?", default="workloads")
    verb.add_argument("--json", action="store_true", help="for programs")

    verb = verbs.add_parser("check", help="is a submission valid? every fault at once")
    verb.add_argument("submission", metavar="SUBMISSION", help="name or path")
    _add_workloads(verb)
    verb.add_argument("--studies", type=int, metavar="N", help="points for so many studies do")
    _add_data(verb)

    verb = verbs.add_parser("run", help="train what is missing")
    verb.add_argument("submissions", nargs="+", metavar="SUBMISSION", help="name or path")
    _add_workloads(verb)
    verb.add_argument("--results", type=Path, metavar="DIR", help="default: results/SUITE")
    verb.add_argument("--studies", type=int, metavar="N", help="fewer studies than the rules grant")
    verb.add_argument(
        "--ruleset", choices=[str(ruleset) for ruleset in Ruleset],
        help="refuse submissions of another (default: what each is of)",
    )  # fmt: skip
    _add_held_out(verb)
    verb.add_argument("--qualification", action="store_true", help="only the qualification set")
    verb.add_argument(
        "--plan", action="store_true",
        help="show trials, points, budgets and the most that they cost, and stop",
    )  # fmt: skip
    verb.add_argument(
        "--rerun-slowed", action="store_true",
        help="then repeat trials during which the machine was slow; all records are kept",
    )  # fmt: skip
    verb.add_argument(
        "--repeats", type=int, metavar="N", help="each at most so often (default: once)"
    )
    _add_data(verb)
    _add_cluster(verb)

    _add_reading(verbs)

    verb = verbs.add_parser("targets", help="how targets were set, and setting them anew")
    verb.add_argument("suite", metavar="SUITE")
    verb.add_argument(
        "--set", action="store_true", dest="set_anew", help="run the protocol; takes long"
    )
    verb.add_argument("--workload", nargs="+", dest="workloads", metavar="NAME", help="only these")
    verb.add_argument("--results", type=Path, metavar="DIR", help="default: results/SUITE-targets")

    _add_data_verb(verbs)

    verb = verbs.add_parser("doctor", help="what this machine is, and what is missing")
    asked = parser.parse_args(argv[1:])
    if asked.verb == "run":
        _gather(asked, _CLUSTER)
    return asked


_CLUSTER = "slurm"


def _gather(asked: argparse.Namespace, group: str) -> None:
    """Puts all options `--group-...` into one mapping."""
    given = {
        name: vars(asked).pop(name) for name in list(vars(asked)) if name.startswith(f"{group}_")
    }
    setattr(asked, group, {name.removeprefix(f"{group}_"): value for name, value in given.items()})


def _add_reading(verbs: Any) -> None:
    """The verbs that read what was recorded."""
    verb = verbs.add_parser("score", help="the leaderboard of results folders or log trees")
    verb.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    verb.add_argument("--rules", metavar="NAME", help="name or file; default: the results' own")
    _add_axis(verb)
    _add_ruleset(verb)
    _add_held_out(verb)
    verb.add_argument("--reference", metavar="SUBMISSION", help="that speedups are over")
    verb.add_argument("--strict", action="store_true", help="refuse logs with any problem")
    verb.add_argument("--json", type=Path, metavar="FILE", help="every number, for programs")
    verb.add_argument("--out", type=Path, metavar="DIR", help="report: html, csv, md, json, plots")

    verb = verbs.add_parser("compare", help="two submissions or two results folders, paired")
    verb.add_argument("left", metavar="A", help="submission's name, its folder, or results folder")
    verb.add_argument("right", metavar="B", help="the same; ratios are B over A")
    verb.add_argument("--results", type=Path, metavar="DIR", help="where names are looked up")
    verb.add_argument("--rules", metavar="NAME", help="name or file; default: the results' own")
    _add_axis(verb)
    _add_ruleset(verb)
    verb.add_argument("--json", type=Path, metavar="FILE", help="every number, for programs")

    verb = verbs.add_parser("verify", help="measure again what claims to have reached its target")
    verb.add_argument("folder", type=Path, metavar="DIR")

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
    verb.add_argument("--out", type=Path, metavar="DIR", help="report: html, csv, json, plots")


def _add_data_verb(verbs: Any) -> None:
    verb = verbs.add_parser("data", help="the real data sets: what is there, what is missing")
    verb.set_defaults(data=None)
    actions = verb.add_subparsers(dest="action", metavar="ACTION")
    action = actions.add_parser("prepare", help="what to put where; converts it once")
    action.add_argument("name", metavar="NAME")
    _add_data(action)
    action = actions.add_parser("check", help="what is missing, truncated or of another version")
    action.add_argument("name", metavar="NAME")
    action.add_argument("--hashes", action="store_true", help="read everything; takes long")
    _add_data(action)


def _add_data(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--data", type=Path, metavar="DIR", help=f"folder of the real data sets; ${DATA_VARIABLE}"
    )


def _add_cluster(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--executor", choices=("local", _CLUSTER), default="local",
        help="where: this machine, or a job a trial on a cluster (default: %(default)s)",
    )  # fmt: skip
    group = verb.add_argument_group("on a cluster (--executor slurm)")
    group.add_argument("--detach", action="store_true", help="submit and leave")
    group.add_argument("--slurm-partition", metavar="NAME", help="default: the cluster's")
    group.add_argument(
        "--slurm-time", metavar="TIME",
        help="limit of a job, as sbatch takes it; a longer trial goes on in another turn "
        "(default: twice the longest budget and half an hour)",
    )  # fmt: skip
    group.add_argument(
        "--slurm-nodes", type=int, metavar="N", help="that train each trial together (default: 1)"
    )
    group.add_argument("--slurm-gpus", type=int, metavar="N", help="on each node of a trial")
    group.add_argument("--slurm-cpus", type=int, metavar="N", help="on each node of a trial")
    group.add_argument(
        "--slurm-exclusive", action="store_true", help="nobody else on a trial's node"
    )
    group.add_argument("--slurm-parallel", type=int, metavar="N", help="trials at a time")
    group.add_argument(
        "--slurm-extra", nargs="+", metavar="NAME=VALUE",
        help="other options of sbatch: account=physics, constraint=a100, ...",
    )  # fmt: skip


def _add_workloads(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--suite", default="quick", help="which workloads (default: %(default)s)")
    verb.add_argument(
        "--workload", nargs="+", dest="workloads", metavar="NAME", help="these, not the suite's"
    )
    verb.add_argument("--rules", metavar="NAME", help="name or file; default: the suite's")


def _add_held_out(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--held-out", type=int, metavar="SEED",
        help="draw held-out variants, one of each data set; `score` knows the seed that was run",
    )  # fmt: skip


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
