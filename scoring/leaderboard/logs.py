"""Log trees to one row a trial. Whatever is wrong with a log becomes a row among the problems.

Reads our results folders and MLCommons' trees alike.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from algoperf import records, slowed
from algoperf.errors import UserError
from algoperf.records import MANIFEST
from algoperf.rules import Rules, Ruleset, Tuning, WorkloadRules
from algoperf.spec import Status, Target
from scoring.leaderboard.cache import Cache, open_cache
from scoring.leaderboard.find import Place, find_trials
from scoring.leaderboard.measurements import AXES, FIELDS
from scoring.problems import Problem

Manifest = Mapping[str, Any]

Report = Callable[[str, str, str], None]
"""(where, what is wrong, what was done about it)."""


@dataclass(frozen=True)
class Logs:
    """What the logs say.

    Attributes:
        trials: One row a trial: `submission`, `study`, `workload`, `framework`, `trial`, `path`,
            `ruleset`, `status` (how it ended, "" if not recorded), `machine` ("" if not recorded,
            None if the manifest cannot be read), `slowdown` (how much slower than its best the
            machine was, NaN if not measured), `repeats` (how many records of it lie aside, since
            the machine was slower then), `verified` ("match", "mismatch" or ""), `reached`, `time`
            (when the validation target was first met, on the chosen axis, inf if never),
            `evaluation` (which one that was, from 0; -1 if never) and `test_time` (the same as
            `time` for the test target).
        evaluations: One row an evaluation: `row` (of the trial in `trials`) and `FIELDS`.
        problems: What was found wrong on the way.
        unscored: Workloads whose trials were left out, as the rules do not score them; sorted.
    """

    trials: pd.DataFrame
    evaluations: pd.DataFrame
    problems: list[Problem]
    unscored: Sequence[str] = ()


def rules_named_in(folders: Sequence[Path]) -> set[str]:
    """Names of the rules under which the trials were run, as far as they are recorded."""
    places, _ = find_trials(folders)
    manifests = (records.read_manifest(Path(place.path)) for place in places)
    return {manifest["rules"] for manifest in manifests if manifest}


def read(
    folders: Sequence[Path],
    rules: Rules,
    axis: str = "seconds",
    ruleset: Ruleset = Ruleset.EXTERNAL,
    cache: Path | None = None,
) -> Logs:
    """All trials below `folders`, under `rules`.

    Args:
        folders: Results folders or log trees.
        rules: Targets, budgets, and how many studies and trials there should be.
        axis: What time is measured in: a key of `AXES`.
        ruleset: Of logs that do not say (MLCommons').
        cache: File in which parsed logs are kept; None to keep none.
    """
    places, problems = find_trials(folders)
    manifests = {place: records.read_manifest(Path(place.path)) for place in places}
    there = {place.workload for place in places}
    places = _scored(places, rules, problems)
    unscored = sorted(there - {place.workload for place in places})
    rulesets = {
        place: ruleset if (manifest := manifests[place]) is None else Ruleset(manifest["ruleset"])
        for place in places
    }
    places = _granted(places, rules, rulesets, problems)
    best = slowed.best(manifests.values())
    kept = open_cache(cache)
    rows, arrays = [], []
    for place in places:
        fixed = rules.fixed(place.workload, rulesets[place])
        row, evaluations = _trial(
            place, manifests[place], fixed, rules, column=axis, cache=kept, problems=problems
        )
        row["ruleset"] = rulesets[place]
        row["slowdown"] = slowed.slowdown(manifests[place], best)
        rows.append(row)
        arrays.append(evaluations)
    kept.save()
    return Logs(pd.DataFrame(rows), _long(arrays), problems, unscored)


def _scored(places: Sequence[Place], rules: Rules, problems: list[Problem]) -> list[Place]:
    """Trials on workloads that are scored; others are problems, one a submission and workload."""
    scored = {*rules.base_workloads, *rules.held_out}
    others = Counter((p.submission, p.workload) for p in places if p.workload not in scored)
    for (submission, workload), count in others.items():
        known = workload in rules.workloads
        what = "do not score this variant" if known else f"have no workload {workload!r}"
        why = f"the rules {rules.name!r} {what} ({count} trials)"
        problems.append(Problem(f"{submission} on {workload}", why, "left out"))
    kept = [place for place in places if place.workload in scored]
    if not {place.workload for place in kept} & set(rules.base_workloads):
        raise UserError(
            f"No trial is on a base workload of the rules {rules.name!r} "
            f"({', '.join(rules.base_workloads)}); the logs are of "
            f"{', '.join(sorted({place.workload for place in places}))}."
        )
    return kept


def _granted(
    places: Sequence[Place],
    rules: Rules,
    rulesets: Mapping[Place, Ruleset],
    problems: list[Problem],
) -> list[Place]:
    """The trials that the rules grant: a submission that runs more does not get to choose."""
    studies: dict[str, set[int]] = defaultdict(set)
    frameworks: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for place in places:
        studies[place.submission].add(place.study)
        frameworks[place.submission, place.workload][place.framework] += 1
    kept: list[Place] = []
    seen: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    for place in sorted(places, key=lambda place: (place.trial, place)):
        granted = rules.tuning[rulesets[place]]
        trials = seen[place.submission, place.study, place.workload]
        found = frameworks[place.submission, place.workload]
        framework = max(sorted(found), key=found.__getitem__)
        problem = ""
        if place.framework != framework:
            problem = f"is of another framework than most of the workload's trials ({framework})"
        elif place.trial in trials:
            problem = "is there twice"
        elif sorted(studies[place.submission]).index(place.study) >= granted.studies:
            problem = f"is beyond the {granted.studies} studies that the rules grant"
        elif len(trials) >= granted.trials:
            problem = f"is beyond the {granted.trials} trials a study that the rules grant"
        if problem:
            problems.append(Problem(place.path, problem, "left out"))
            continue
        trials.add(place.trial)
        kept.append(place)
    return sorted(kept)


def _trial(
    place: Place,
    manifest: Manifest | None,
    fixed: WorkloadRules,
    rules: Rules,
    *,
    column: str,
    cache: Cache,
    problems: list[Problem],
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """A row of `Logs.trials`, and the trial's evaluations."""
    path = Path(place.path)

    def problem(where: str, what: str, action: str) -> None:
        problems.append(Problem(where, what, action))

    if manifest is None and (path / MANIFEST).exists():
        action = "done without, and took its machine to be that of the others"
        problem(str(path / MANIFEST), "is not a readable manifest", action)
    if manifest is not None and not records.same_fixed(manifest, fixed):
        what = "was run with other targets or another budget"
        problem(place.path, what, "scored by those of the rules given")
    status = "" if manifest is None else manifest["ending"]["status"]
    if manifest is not None and status == Status.FAILED:
        what = f"failed: {manifest['ending'].get('reason', '')}"
        problem(place.path, what, "took the evaluations before that")
    evaluations = _evaluations(place, fixed.validation.metric, status, cache, problem)
    why = (manifest or {}).get(f"{column}_unknown")
    hit, time = _first(
        evaluations, fixed, rules, column=column, where=place.measurements, problem=problem, why=why
    )
    return {
        "submission": place.submission,
        "study": place.study,
        "workload": place.workload,
        "framework": place.framework,
        "trial": place.trial,
        "repeats": place.repeats,
        "path": path,  # no text: its name may be in no encoding
        "status": status,
        "machine": _machine(path, manifest),
        "verified": records.read_verdict(path) if manifest else "",
        "reached": hit >= 0,
        "evaluation": hit,
        "time": time,
        "test_time": _test_time(evaluations, fixed, rules, column),
    }, evaluations


def _evaluations(
    place: Place, metric: str, status: str, cache: Cache, problem: Report
) -> NDArray[np.float64]:
    # A trial that ended before its first evaluation has no measurements.
    by_right = status in (Status.FAILED, Status.BUDGET_EXHAUSTED)
    try:
        raw = Path(place.measurements).read_bytes()
    except FileNotFoundError:
        if not by_right:
            problem(place.measurements, "is missing", "counted as not reached")
        return np.empty((0, len(FIELDS)))
    except OSError as error:
        problem(place.measurements, f"cannot be read: {error.strerror}", "counted as not reached")
        return np.empty((0, len(FIELDS)))
    if not raw and by_right:
        return np.empty((0, len(FIELDS)))
    array, faults = cache.parse(raw, metric)
    for what, action in faults:
        problem(place.measurements, what, action)
    return array


def _first(
    evaluations: NDArray[np.float64],
    fixed: WorkloadRules,
    rules: Rules,
    *,
    column: str,
    where: str,
    problem: Report,
    why: str | None = None,
) -> tuple[int, float]:
    """Which evaluation first meets the validation target, and when; (-1, inf) if none does."""
    met = _met(evaluations[:, FIELDS.index("validation")], fixed.validation)
    in_time = evaluations[:, FIELDS.index("seconds")] <= fixed.budget_s
    times = evaluations[:, FIELDS.index(column)]
    counts = met & (in_time | (not rules.scoring.budget_checked))
    known = counts & np.isfinite(times)
    if rules.scoring.budget_checked and (late := int((~in_time).sum())):
        what = f"{late} evaluations lie past the budget of {fixed.budget_s:g} s"
        problem(where, what, "not counted")
    if known.any():
        hit = int(known.argmax())
        if not in_time[hit]:
            what = f"the target is met past the budget of {fixed.budget_s:g} s"
            problem(where, what, "counted, as the published scores do")
        return hit, float(times[hit])
    if counts.any():
        reason = f": {why}" if why else ""
        what = f"the target is met, but {AXES[column]} is not known{reason}"
        problem(where, what, "counted as not reached")
    return -1, math.inf


def _met(values: NDArray[np.float64], target: Target) -> NDArray[np.bool_]:
    beyond = values >= target.value if target.higher_is_better else values <= target.value
    return beyond & np.isfinite(values)


def _machine(path: Path, manifest: Manifest | None) -> str | None:
    if manifest is None:
        return None if (path / MANIFEST).exists() else ""
    return manifest.get("machine_id") or ""


def _test_time(
    evaluations: NDArray[np.float64], fixed: WorkloadRules, rules: Rules, column: str
) -> float:
    """When the test target is first met; inf if it never is."""
    met = _met(evaluations[:, FIELDS.index("test")], fixed.test)
    if rules.scoring.budget_checked:
        met &= evaluations[:, FIELDS.index("seconds")] <= fixed.budget_s
    times = evaluations[:, FIELDS.index(column)][met]
    return float(times[0]) if len(times) and math.isfinite(times[0]) else math.inf


def _long(arrays: Sequence[NDArray[np.float64]]) -> pd.DataFrame:
    frame = pd.DataFrame(np.concatenate(arrays), columns=list(FIELDS))
    frame.insert(0, "row", np.repeat(np.arange(len(arrays)), [len(array) for array in arrays]))
    return frame


def gaps(trials: pd.DataFrame, rules: Rules) -> list[Problem]:
    """What the rules ask for and the logs do not hold: one problem for all workloads alike."""
    there: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    rulesets: dict[str, list[Ruleset]] = defaultdict(list)
    for row in trials.to_dict("records"):
        there[row["submission"], row["workload"]][row["study"]] += 1
        rulesets[row["submission"]].append(row["ruleset"])
    found: dict[tuple[str, str, str], list[str]] = {}
    for submission, of_trials in rulesets.items():
        if len(set(of_trials)) > 1:
            action = "gave each trial the budget of its own"
            found[submission, "trials of both rulesets", action] = ["all workloads"]
        for workload in (*rules.base_workloads, *rules.held_out):
            for what, action in _gaps_of(there[submission, workload], rules.tuning[of_trials[0]]):
                found.setdefault((submission, what, action), []).append(workload)
    return [
        Problem(f"{submission} on {', '.join(workloads)}", what, action)
        for (submission, what, action), workloads in found.items()
    ]


def _gaps_of(trials: Counter[int], granted: Tuning) -> Iterator[tuple[str, str]]:
    """(what is missing, what was done) of one submission on one workload: trials by study."""
    if not trials:
        yield "there is no trial", "counted as not reached"
        return
    if len(trials) < granted.studies:
        yield f"{len(trials)} of {granted.studies} studies", "took the median over those there are"
    if (fewest := min(trials.values())) < granted.trials:
        what = f"a study has {fewest} of {granted.trials} trials"
        yield what, "took the fastest of those there are"
