"""The leaderboard: from the trials to every number that the table, the files and the plots show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from algoperf.rulesets import Rules, Ruleset
from scoring.leaderboard import bootstrap, profiles, times
from scoring.leaderboard.logs import Logs, Problem, read

RESAMPLES = 2000
SEED = 0
ENOUGH_STUDIES = 3
"""With fewer studies a bootstrap sees too little of the spread for its interval to mean much."""


@dataclass(frozen=True)
class Leaderboard:
    """Everything that is shown.

    Attributes:
        rules: The rules it was scored under.
        axis: What time is measured in.
        reference: The submission that speedups are over.
        scores: One row a submission, best first: `submission`, `rank`, `score`, `low`, `high`,
            `workloads_reached`, `speedup`.
        times: One row a submission and base workload: `submission`, `workload`, `time`, `ratio`
            (to the fastest, after the rules' vetoes), `reached`.
        trials: One row a trial, as read.
        problems: What was wrong with the logs.
        notes: What a reader has to know about the numbers.
        has_intervals: Whether any submission has a second study to differ from.
    """

    rules: Rules
    axis: str
    reference: str
    scores: pd.DataFrame
    times: pd.DataFrame
    trials: pd.DataFrame
    problems: list[Problem]
    notes: list[str]
    has_intervals: bool

    def ratio_table(self) -> pd.DataFrame:
        """Ratios, submissions as rows in order of rank, base workloads as columns."""
        table = self.times.pivot_table(index="submission", columns="workload", values="ratio")
        return table.reindex(index=self.scores["submission"], columns=self.rules.base_workloads)

    def as_json(self) -> dict[str, Any]:
        """The form that other programs read; `null` is a time that was never reached."""
        return {
            "rules": self.rules.name,
            "time_axis": self.axis,
            "reference": self.reference,
            "leaderboard": [
                {
                    "submission": row["submission"],
                    "rank": int(row["rank"]),
                    "score": row["score"],
                    "interval": [row["low"], row["high"]],
                    "workloads_reached": int(row["workloads_reached"]),
                    "speedup": _or_none(row["speedup"]),
                }
                for row in self.scores.to_dict("records")
            ],
            "times": [
                {
                    "submission": row["submission"],
                    "workload": row["workload"],
                    "time": _or_none(row["time"]),
                    "ratio": _or_none(row["ratio"]),
                    "reached": bool(row["reached"]),
                }
                for row in self.times.to_dict("records")
            ],
            "problems": [vars(problem) for problem in self.problems],
            "notes": self.notes,
        }


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def score(
    folders: Sequence[Path],
    rules: Rules,
    axis: str = "seconds",
    reference: str | None = None,
    ruleset: Ruleset = Ruleset.EXTERNAL,
) -> Leaderboard:
    """Scores all submissions below `folders`.

    Args:
        folders: Results folders or log trees.
        rules: The rules.
        axis: What time is measured in.
        reference: Submission that speedups are over; the rules' own, or the first, if None.
        ruleset: Of logs that do not say (MLCommons').

    Raises:
        UserError: If there is nothing to score, seconds of unlike machines would be compared,
            or `reference` is not among the submissions.
    """
    logs = read(folders, rules, axis, ruleset)
    _some_base(logs, rules)
    if axis == "seconds":
        _one_machine(logs)
    submissions = sorted(logs.trials["submission"].unique())
    reference = _reference(reference, rules, submissions)
    columns, held_out = _columns(rules)
    studies = times.study_times(logs.trials)
    table = times.workload_times(studies).reindex(index=submissions, columns=columns)

    def score_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ratio = profiles.ratios(values, len(rules.base_workloads), held_out, rules.tau_max)
        return ratio, profiles.scores(ratio, rules.tau_max)

    ratio, scored = score_of(table.to_numpy())
    by_study = times.study_array(studies, submissions, columns)
    low, high = bootstrap.interval(score_of(bootstrap.resample(by_study, RESAMPLES, SEED))[1])
    base_times = table[list(rules.base_workloads)].fillna(np.inf)
    speedup = profiles.speedups(
        base_times.to_numpy(),
        submissions.index(reference),
        _unreached(logs, rules, submissions, axis),
    )
    scores = pd.DataFrame(
        {
            "submission": submissions,
            "score": scored,
            "low": low,
            "high": high,
            "workloads_reached": np.isfinite(base_times.to_numpy()).sum(axis=1),
            "speedup": speedup,
        }
    )
    scores["rank"] = scores["score"].rank(method="min", ascending=False).astype(int)
    scores = scores.sort_values(["rank", "submission"], ignore_index=True)
    return Leaderboard(
        rules=rules,
        axis=axis,
        reference=reference,
        scores=scores,
        times=_long(base_times, ratio),
        trials=logs.trials,
        problems=logs.problems,
        notes=_notes(by_study),
        has_intervals=bool(((~np.isnan(by_study)).sum(axis=-1) > 1).any()),
    )


def _reference(asked: str | None, rules: Rules, submissions: list[str]) -> str:
    if asked is None:
        return rules.reference if rules.reference in submissions else submissions[0]
    if asked not in submissions:
        raise UserError(
            f"There are no results of the reference {asked!r}; there are: {', '.join(submissions)}."
        )
    return asked


def _columns(rules: Rules) -> tuple[list[str], list[int | None]]:
    """Base workloads, then held-out ones; and for each base the column of its held-out variant."""
    columns = [*rules.base_workloads, *rules.held_out]
    held_out: list[int | None] = []
    for base in rules.base_workloads:
        longest = [
            name
            for name in rules.held_out
            if max(filter(name.startswith, rules.base_workloads), key=len, default="") == base
        ]
        held_out.append(columns.index(longest[0]) if longest else None)
    return columns, held_out


def _unreached(logs: Logs, rules: Rules, submissions: list[str], axis: str) -> np.ndarray:
    """What a time that was never reached counts as in a speed-up: the budget, in seconds."""
    values = np.full((len(submissions), len(rules.base_workloads)), np.nan)
    if axis != "seconds":
        return values
    rulesets = logs.trials.groupby("submission")["ruleset"].first()
    for row, submission in enumerate(submissions):
        for column, workload in enumerate(rules.base_workloads):
            values[row, column] = rules.fixed(workload, Ruleset(rulesets[submission])).budget_s
    return values


def _some_base(logs: Logs, rules: Rules) -> None:
    if not set(logs.trials["workload"]) & set(rules.base_workloads):
        raise UserError(
            f"No trial is on a base workload of the rules {rules.name!r} "
            f"({', '.join(rules.base_workloads)}); variants alone are not scored."
        )


def _one_machine(logs: Logs) -> None:
    machines = logs.trials.groupby("machine")["submission"].unique()
    if len(machines) > 1:
        found = [
            f"{machine or 'not recorded'}: {', '.join(sorted(names))}"
            for machine, names in machines.items()
        ]
        raise UserError.of_many(
            "Seconds of unlike machines cannot be ranked together. Use --time steps, examples or "
            "flops, or score each machine's results alone (each manifest.json describes its "
            "machine):",
            found,
        )


def _long(base_times: pd.DataFrame, ratio: np.ndarray) -> pd.DataFrame:
    """Times and ratios, one row a submission and workload."""
    long = base_times.reset_index().melt(id_vars="submission", value_name="time")
    long = long.rename(columns={"variable": "workload"})
    long["ratio"] = ratio.T.ravel()
    long["reached"] = np.isfinite(long["ratio"])
    return long[["submission", "workload", "time", "ratio", "reached"]]


def _notes(by_study: np.ndarray) -> list[str]:
    counts = (~np.isnan(by_study)).sum(axis=-1)
    fewest = int(counts[counts > 0].min())
    if fewest >= ENOUGH_STUDIES:
        return []
    if fewest == 1:
        return [f"Of one study nobody can say how sure it is; {ENOUGH_STUDIES} are the least."]
    note = (
        f"With {fewest} studies the interval shows only how far these runs differ among "
        "themselves; "
        f"it takes at least {ENOUGH_STUDIES} to say how sure a score is."
    )
    return [note]
