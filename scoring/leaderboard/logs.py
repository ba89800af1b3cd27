"""Log trees to one row a trial. Whatever is wrong with a log becomes a row among the problems.

Reads our results folders and MLCommons' trees alike, at any depth below the folders given:
`<submission>/study_<n>/<workload>_<framework>/trial_<k>/eval_measurements.csv`.
"""

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from algoperf import records
from algoperf.errors import UserError
from algoperf.records import MANIFEST, MEASUREMENTS
from algoperf.rulesets import Rules, Ruleset, Tuning, WorkloadRules
from algoperf.spec import Status

AXES = {
    "seconds": "accumulated_submission_time",
    "steps": "global_step",
    "examples": "examples",
    "flops": "flops",
}
"""What time can be measured in, and the column that holds it."""

_PLACE = re.compile(
    r"(?P<submission>[^/]+)/study_(?P<study>\d+)/(?P<workload>[^/]+)_(?P<framework>jax|pytorch)"
    r"/trial_(?P<trial>\d+)$"
)


@dataclass(frozen=True)
class Problem:
    """Something wrong with the logs.

    Attributes:
        path: Where.
        problem: What.
        action: What was done about it.
    """

    path: str
    problem: str
    action: str


@dataclass(frozen=True)
class Logs:
    """What the logs say.

    Attributes:
        trials: One row a trial: `submission`, `study`, `workload`, `framework`, `trial`, `path`,
            `ruleset`, `status` (how it ended, "" if not recorded), `machine`, `reached`, and
            `time`: when the validation target was first met, on the chosen axis, inf if never.
        problems: What was found wrong on the way.
    """

    trials: pd.DataFrame
    problems: list[Problem]


def find_trials(folders: Sequence[Path]) -> dict[Path, re.Match[str]]:
    """Every folder that is a trial by its place in the tree, sorted.

    Raises:
        UserError: If a folder does not exist, or there is no trial below any.
    """
    found: dict[Path, re.Match[str]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"There is no results folder {str(folder)!r}.")
        for place, names, _ in os.walk(folder.resolve(), onerror=_unreadable):
            names[:] = [name for name in names if not name.startswith(".")]
            if match := _PLACE.search(Path(place).as_posix()):
                found[Path(place)] = match
                names.clear()
    if not found:
        places = ", ".join(str(folder) for folder in folders)
        raise UserError(
            f"There is no trial in {places}. A trial lies at "
            "<submission>/study_<n>/<workload>_<jax or pytorch>/trial_<k>/. "
            "'algoperf run SUBMISSION' makes some."
        )
    return dict(sorted(found.items()))


def _unreadable(error: OSError) -> None:
    raise UserError(f"Cannot read {error.filename}: {error.strerror}.")


def rules_named_in(folders: Sequence[Path]) -> set[str]:
    """Names of the rules under which the trials were run, as far as they are recorded."""
    return {m["rules"] for trial in find_trials(folders) if (m := records.read_manifest(trial))}


def read(
    folders: Sequence[Path],
    rules: Rules,
    axis: str = "seconds",
    ruleset: Ruleset = Ruleset.EXTERNAL,
) -> Logs:
    """All trials below `folders`, under `rules`.

    Args:
        folders: Results folders or log trees.
        rules: Targets, budgets, and how many studies and trials there should be.
        axis: What time is measured in: a key of `AXES`.
        ruleset: Of logs that do not say (MLCommons').
    """
    problems: list[Problem] = []
    rows = []
    found = find_trials(folders)
    manifests = {path: records.read_manifest(path) for path in found}
    rulesets = {
        path: ruleset if manifest is None else Ruleset(manifest["ruleset"])
        for path, manifest in manifests.items()
    }
    for path, match in _granted(found, rules, rulesets, problems).items():
        workload = match["workload"]
        if workload not in rules.workloads:
            problems.append(
                Problem(str(path), f"the rules have no workload {workload!r}", "left out")
            )
            continue
        rows.append(
            _trial(
                path,
                match,
                rules.fixed(workload, rulesets[path]),
                manifests[path],
                column=AXES[axis],
                ruleset=rulesets[path],
                problems=problems,
            )
        )
    trials = pd.DataFrame(rows, columns=_COLUMNS)
    if trials.empty:
        raise UserError(f"No trial is on a workload of the rules {rules.name!r}.")
    problems += _gaps(trials, rules)
    return Logs(trials, problems)


_COLUMNS = [
    "submission", "study", "workload", "framework", "trial", "path", "ruleset", "status", "machine",
    "reached", "time",
]  # fmt: skip


def _granted(
    found: Mapping[Path, re.Match[str]],
    rules: Rules,
    rulesets: Mapping[Path, Ruleset],
    problems: list[Problem],
) -> dict[Path, re.Match[str]]:
    """The trials that the rules grant: a submission that runs more does not get to choose."""
    studies: dict[str, set[int]] = {}
    for match in found.values():
        studies.setdefault(match["submission"], set()).add(int(match["study"]))
    kept: dict[Path, re.Match[str]] = {}
    seen: dict[tuple[str, ...], set[int]] = {}
    for path, match in sorted(found.items(), key=lambda item: (int(item[1]["trial"]), item[0])):
        granted = rules.tuning[rulesets[path]]
        study, trial = int(match["study"]), int(match["trial"])
        trials = seen.setdefault(match.group("submission", "study", "workload", "framework"), set())
        problem = ""
        if trial in trials:
            problem = "is there twice"
        elif sorted(studies[match["submission"]]).index(study) >= granted.studies:
            problem = f"is beyond the {granted.studies} studies that the rules grant"
        elif len(trials) >= granted.trials:
            problem = f"is beyond the {granted.trials} trials a study that the rules grant"
        if problem:
            problems.append(Problem(str(path), problem, "left out"))
            continue
        trials.add(trial)
        kept[path] = match
    return dict(sorted(kept.items()))


def _trial(
    path: Path,
    match: re.Match[str],
    fixed: WorkloadRules,
    manifest: Mapping[str, Any] | None,
    *,
    column: str,
    ruleset: Ruleset,
    problems: list[Problem],
) -> dict[str, Any]:
    if manifest is None and (path / MANIFEST).exists():
        problems.append(Problem(str(path / MANIFEST), "is not a readable manifest", "done without"))
    if manifest is not None and not records.same_fixed(manifest, fixed):
        what = "was run with other targets or another budget"
        problems.append(Problem(str(path), what, "scored by those of the rules given"))
    status = "" if manifest is None else manifest["ending"]["status"]
    if manifest is not None and status == Status.FAILED:
        what = f"failed: {manifest['ending'].get('reason', '')}"
        problems.append(Problem(str(path), what, "counted as not reached"))
    time = _time_to_target(path, fixed, column, status, problems)
    return {
        "submission": match["submission"],
        "study": int(match["study"]),
        "workload": match["workload"],
        "framework": match["framework"],
        "trial": int(match["trial"]),
        "path": str(path),
        "ruleset": ruleset,
        "status": status,
        "machine": "" if manifest is None else manifest.get("machine_id", ""),
        "reached": math.isfinite(time),
        "time": time,
    }


def _time_to_target(
    path: Path, fixed: WorkloadRules, column: str, status: str, problems: list[Problem]
) -> float:
    """Where on the axis the trial first meets the validation target; inf if it never does."""
    metric = f"validation/{fixed.validation.metric}"
    file = path / MEASUREMENTS
    if not file.exists() or file.stat().st_size == 0:
        # A trial that ended before its first evaluation has no measurements by right.
        if status not in (Status.FAILED, Status.BUDGET_EXHAUSTED):
            problems.append(Problem(str(file), "is missing or empty", "counted as not reached"))
        return math.inf
    late = met = 0
    for row in _rows(file, (metric, AXES["seconds"], column), problems):
        if not fixed.validation.met(row[metric]):
            continue
        if not row[AXES["seconds"]] <= fixed.budget_s:
            late += 1
        elif math.isfinite(row[column]):
            return row[column]
        else:
            met += 1
    if met:
        what = f"the target is met, but {column} is not known"
        problems.append(Problem(str(file), what, "counted as not reached"))
    elif late:
        what = f"the target is met only past the budget of {fixed.budget_s:g} s"
        problems.append(Problem(str(file), what, "counted as not reached"))
    return math.inf


def _rows(
    file: Path, columns: tuple[str, ...], problems: list[Problem]
) -> Iterator[Mapping[str, float]]:
    """The evaluations of a trial as numbers; rows that are not are reported and left out."""
    with file.open(newline="", errors="replace") as lines:
        reader = csv.reader(lines)
        header = next(reader, [])
        if absent := sorted({name for name in columns if name not in header}):
            what = f"has no column {', '.join(absent)}"
            problems.append(Problem(str(file), what, "counted as not reached"))
            return
        places = {name: header.index(name) for name in columns}
        for number, cells in enumerate(reader, 2):
            if not cells:
                continue  # a blank line
            try:
                row = {name: float(cells[place]) for name, place in places.items()}
            except (ValueError, IndexError):
                what = f"line {number} is not an evaluation"
                problems.append(Problem(str(file), what, "left the line out"))
                continue
            if len(cells) != len(header):
                what = f"line {number} has {len(cells)} of {len(header)} cells"
                problems.append(Problem(str(file), what, "left the line out"))
                continue
            yield row


def _gaps(trials: pd.DataFrame, rules: Rules) -> list[Problem]:
    """What the rules ask for and the logs do not hold: one problem for all workloads alike."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for submission, own in trials.groupby("submission"):
        granted = rules.tuning[Ruleset(own["ruleset"].iloc[0])]
        for workload in (*rules.base_workloads, *rules.held_out):
            there = own[own["workload"] == workload]
            for what, action in _gaps_of(there, granted):
                found.setdefault((str(submission), what, action), []).append(workload)
    return [
        Problem(f"{submission} on {', '.join(workloads)}", what, action)
        for (submission, what, action), workloads in found.items()
    ]


def _gaps_of(there: pd.DataFrame, granted: Tuning) -> Iterator[tuple[str, str]]:
    """(what is missing, what was done) of one submission on one workload."""
    if there.empty:
        yield "there is no trial", "counted as not reached"
        return
    studies = there.groupby("study")["trial"].nunique()
    if len(studies) < granted.studies:
        yield f"{len(studies)} of {granted.studies} studies", "took the median over those there are"
    if (studies < granted.trials).any():
        what = f"a study has {int(studies.min())} of {granted.trials} trials"
        yield what, "took the fastest of those there are"
    if len(set(there["framework"])) > 1:
        yield "logs of two frameworks", "took both as one"
