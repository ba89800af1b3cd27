"""Log trees to one row a trial. Whatever is wrong with a log becomes a row among the problems.

Reads our results folders and MLCommons' trees alike.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from algoperf import slowed
from algoperf.errors import UserError
from algoperf.rules import Rules, Ruleset
from scoring.intervals import Floats
from scoring.leaderboard.cache import open_cache
from scoring.leaderboard.find import Place
from scoring.leaderboard.gathered import Gathered, gather
from scoring.leaderboard.measurements import FIELDS
from scoring.leaderboard.rows import TOGETHER, Asked, evaluations, row
from scoring.problems import Problem
from scoring.progress import Tell, quiet


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


def read(
    folders: Sequence[Path] | Gathered,
    rules: Rules,
    axis: str = "seconds",
    ruleset: Ruleset = Ruleset.EXTERNAL,
    cache: Path | None = None,
    *,
    tell: Tell = quiet,
) -> Logs:
    """All trials below `folders`, under `rules`.

    Args:
        folders: Results folders or log trees; or what was gathered from them.
        rules: Targets, budgets, and how many studies and trials there should be.
        axis: What time is measured in: a key of `AXES`.
        ruleset: Of logs that do not say (MLCommons').
        cache: File in which parsed logs are kept; None to keep none.
        tell: Is told how far it is.
    """
    gathered = folders if isinstance(folders, Gathered) else gather(folders, tell)
    told, problems = gathered.told, list(gathered.problems)
    rulesets = {place: ruleset if known is None else known.ruleset for place, known in told.items()}
    scored = _scored(list(told), rules, problems)
    unscored = {place.workload for place in told} - {place.workload for place in scored}
    places = _granted(scored, rules, rulesets, problems)
    best = slowed.best(known.pace for known in told.values() if known is not None)

    @functools.cache
    def asked(workload: str, ruleset: Ruleset) -> Asked:
        fixed = rules.fixed(workload, ruleset)
        return Asked(ruleset, fixed, rules.scoring.budget_checked, axis)

    def report(where: str, what: str, action: str) -> None:
        problems.append(Problem(where, what, action))

    kept = open_cache(cache)
    rows, arrays = [], []
    trials = [(place, told[place], asked(place.workload, rulesets[place])) for place in places]
    for number, (trial, parsed) in enumerate(zip(trials, evaluations(trials, kept), strict=True)):
        if number % TOGETHER == 0:
            tell(f"reading logs: {number:,} of {len(places):,}")
        _, known, _ = trial
        slow = slowed.slowdown(None if known is None else known.pace, best)
        rows.append({**row(*trial, parsed, report), "slowdown": slow})
        arrays.append(parsed[0])
    kept.save()
    return Logs(pd.DataFrame(rows), _long(arrays), problems, sorted(unscored))


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


def _long(arrays: Sequence[Floats]) -> pd.DataFrame:
    frame = pd.DataFrame(np.concatenate(arrays), columns=list(FIELDS), copy=False)
    frame.insert(0, "row", np.repeat(np.arange(len(arrays)), [len(array) for array in arrays]))
    return frame
