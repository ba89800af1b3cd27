"""The leaderboard: from the trials to every number that the table, the files and the plots show."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from algoperf import machine
from algoperf.errors import UserError
from algoperf.rulesets import Rules, Ruleset
from scoring.leaderboard import bootstrap, profiles, sensitivity, times, views
from scoring.leaderboard.find import Problem
from scoring.leaderboard.logs import Logs, read
from scoring.leaderboard.profiles import Floats, Suite

RESAMPLES = 2000
SEED = 0
ENOUGH_STUDIES = 5
"""With fewer studies an interval is too short: measured in benchmarks/coverage.py."""


@dataclass(frozen=True)
class Options:
    """What can be asked of a leaderboard.

    Attributes:
        axis: What time is measured in.
        reference: Submission that speed-ups are over; None for the rules' own, or the first.
        ruleset: Of logs that do not say (MLCommons').
        strict: Refuse logs with any problem.
        cache: File that keeps parsed logs; None to keep none.
        resamples: Of the bootstrap.
    """

    axis: str = "seconds"
    reference: str | None = None
    ruleset: Ruleset = Ruleset.EXTERNAL
    strict: bool = False
    cache: Path | None = None
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class Leaderboard:
    """Everything that is shown. S submissions in order of rank, B base workloads.

    Attributes:
        rules: The rules it was scored under.
        axis: What time is measured in.
        reference: The submission that speed-ups are over.
        scores: One row a submission, best first: `submission`, `rank` (shared by those that cannot
            be told apart), `score`, `low`, `high`, `above_next` (in which share of the resamples it
            scores above the next row), `workloads_reached`, `speedup`, `speedup_low`,
            `speedup_high`, `studies`, `slowed`, `verified`, `mismatched`.
        times: One row a submission and base workload: `submission`, `workload`, `time`, `ratio`
            (to the fastest, after the rules' vetoes), `reached`, `test_time`.
        ranks: Shape (S, S): in which share of the resamples each submission has each rank.
        above: Shape (S, S): in which share of the resamples the row scores above the column.
        samples: The resamples, submissions in order of rank.
        chosen: The trial that each study's time is that of.
        logs: The trials, evaluations and problems as read.
        notes: What a reader has to know about the numbers.
        fewest_studies: The least number of studies that any submission has on any workload.
    """

    rules: Rules
    axis: str
    reference: str
    scores: pd.DataFrame
    times: pd.DataFrame
    ranks: Floats
    above: Floats
    samples: bootstrap.Samples
    changes: list[sensitivity.Change]
    chosen: pd.DataFrame
    logs: Logs
    notes: list[str]
    fewest_studies: int

    @property
    def problems(self) -> list[Problem]:
        return self.logs.problems

    @property
    def submissions(self) -> list[str]:
        """In order of rank."""
        return list(self.scores["submission"])

    @property
    def has_intervals(self) -> bool:
        """Whether every submission has a second study to differ from, somewhere."""
        return self.fewest_studies > 1

    def ratio_table(self) -> pd.DataFrame:
        """Ratios, submissions as rows in order of rank, base workloads as columns."""
        table = self.times.pivot_table(index="submission", columns="workload", values="ratio")
        return table.reindex(index=self.submissions, columns=list(self.rules.base_workloads))

    def as_json(self) -> dict[str, Any]:
        """The form that other programs read; `null` is a time that was never reached."""
        return {
            "rules": self.rules.name,
            "time_axis": self.axis,
            "reference": self.reference,
            "leaderboard": [
                {
                    **_plain(row),
                    "interval": [_or_none(row["low"]), _or_none(row["high"])],
                    "speedup_interval": [
                        _or_none(row["speedup_low"]),
                        _or_none(row["speedup_high"]),
                    ],
                    "rank_distribution": self.ranks[place].tolist() if self.has_intervals else None,
                    "above": dict(zip(self.submissions, self.above[place].tolist(), strict=True))
                    if self.has_intervals
                    else None,
                }
                for place, row in enumerate(self.scores.to_dict("records"))
            ],
            "times": [_plain(row) for row in self.times.to_dict("records")],
            "sensitivity": [vars(change) for change in self.changes],
            "tuning": [
                _plain(row)
                for row in views.tuning(self.logs.trials, self.chosen).to_dict("records")
            ],
            "shares": [_plain(row) for row in views.shares(self.logs).to_dict("records")],
            "problems": [vars(problem) for problem in self.problems],
            "notes": self.notes,
        }


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Strict JSON: numbers that are not finite become null, NumPy's become Python's."""
    plain = {
        str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()
    }
    return {
        key: _or_none(value) if isinstance(value, float) else value for key, value in plain.items()
    }


def score(folders: Sequence[Path], rules: Rules, options: Options | None = None) -> Leaderboard:
    """Scores all submissions below `folders`.

    Args:
        folders: Results folders or log trees.
        rules: The rules.
        options: What is asked; the defaults if None.

    Raises:
        UserError: If there is nothing to score, the held-out workloads are not those of the logs,
            seconds of unlike machines would be compared, `reference` is not among the submissions,
            or, with `strict`, anything is wrong with the logs.
    """
    options = options or Options()
    logs = read(folders, rules, options.axis, options.ruleset, options.cache)
    _some_base(logs, rules)
    _held_out_there(logs, rules)
    if options.strict and logs.problems:
        raise UserError.of_many(
            f"The logs have {len(logs.problems)} problems, and --strict allows none:",
            [f"{p.path}: {p.problem}" for p in logs.problems],
        )
    if options.axis == "seconds":
        one_machine(logs)
    submissions = sorted(logs.trials["submission"].unique())
    reference = _reference(options.reference, rules, submissions)
    suite = profiles.suite_of(rules)
    chosen = times.chosen_trials(logs.trials, rules.scoring.choice)
    by_study = times.study_array(chosen, submissions, suite.columns, "time")
    table = times.medians(by_study)
    unreached = _unreached(logs, rules, submissions, options.axis)
    samples = bootstrap.samples(
        by_study,
        suite,
        rules.scoring,
        reference=submissions.index(reference),
        unreached=unreached,
        resamples=options.resamples,
        seed=SEED,
    )
    counts = (~np.isnan(by_study)).sum(axis=-1)
    fewest = int(counts[counts > 0].min())
    ratio, scored = profiles.score(table, suite, rules.scoring)
    bases = np.where(np.isnan(table), np.inf, table)[:, : suite.bases]
    scores = pd.DataFrame(
        {
            "submission": submissions,
            "score": scored,
            "workloads_reached": np.isfinite(bases).sum(axis=1),
            "speedup": profiles.speedups(bases, submissions.index(reference), unreached),
        }
    ).merge(views.resting_on(chosen), left_on="submission", right_index=True)
    order = np.lexsort((submissions, -scored))
    return Leaderboard(
        rules=rules,
        axis=options.axis,
        reference=reference,
        times=_long(bases, ratio, _test(logs, submissions, suite), submissions, suite),
        changes=sensitivity.changes(
            logs, table, submissions, suite, rules=rules, axis=options.axis
        ),
        chosen=chosen,
        logs=logs,
        notes=_notes(logs, fewest, scores),
        fewest_studies=fewest,
        **_sure(scores.iloc[order].reset_index(drop=True), samples, order, fewest),
    )


def _sure(
    scores: pd.DataFrame, samples: bootstrap.Samples, order: Any, fewest: int
) -> dict[str, Any]:
    """What the resamples add: intervals, orders and shared ranks, all in order of the scores."""
    samples = bootstrap.Samples(
        samples.ratios[:, order], samples.scores[:, order], samples.speedups[:, order]
    )
    above = bootstrap.order_probability(samples.scores)
    known = fewest > 1
    if known:
        scores["low"], scores["high"] = bootstrap.interval(samples.scores)
        scores["speedup_low"], scores["speedup_high"] = bootstrap.interval(samples.speedups)
        scores["above_next"] = [*np.diagonal(above, 1), np.nan]
    else:
        scores[["low", "high", "speedup_low", "speedup_high", "above_next"]] = np.nan
    scores["rank"] = bootstrap.shared_ranks(scores["score"].to_numpy(), above if known else None)
    return {
        "scores": scores,
        "samples": samples,
        "above": above,
        "ranks": bootstrap.rank_distribution(samples.scores),
    }


def _reference(asked: str | None, rules: Rules, submissions: list[str]) -> str:
    if asked is None:
        return rules.reference if rules.reference in submissions else submissions[0]
    if asked not in submissions:
        raise UserError(
            f"There are no results of the reference {asked!r}; there are: {', '.join(submissions)}."
        )
    return asked


def _test(logs: Logs, submissions: list[str], suite: Suite) -> Floats:
    return views.test_times(logs.trials, submissions, list(suite.columns[: suite.bases]))


def _unreached(logs: Logs, rules: Rules, submissions: list[str], axis: str) -> Floats:
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


def _held_out_there(logs: Logs, rules: Rules) -> None:
    """A held-out list that is not that of the logs would void every base, and quietly."""
    suite, there = profiles.suite_of(rules), set(logs.trials["workload"])
    lacking = [
        suite.columns[column]
        for base, column in enumerate(suite.held_out)
        if column is not None
        and suite.columns[base] in there
        and suite.columns[column] not in there
    ]
    if lacking:
        variants = sorted(there - set(rules.base_workloads))
        raise UserError(
            f"The rules {rules.name!r} hold out {', '.join(lacking)}, and nobody has a trial "
            f"on that; the logs' variants are: {', '.join(variants) or 'none'}. Score with rules "
            'whose "held_out" is the list that was drawn (a file of your own may say '
            f'{{"extends": "{rules.name}", "held_out": [...]}}), or with rules that have none.'
        )


def one_machine(logs: Logs) -> None:
    """Refuses to compare the seconds of unlike machines.

    Raises:
        UserError: That names the machines.
    """
    machines = logs.trials.groupby("machine")["submission"].unique()
    if len(machines) > 1:
        found = [
            f"{name or 'not recorded'}: {', '.join(sorted(names))}"
            for name, names in machines.items()
        ]
        raise UserError.of_many(
            "Seconds of unlike machines cannot be ranked together. Use --time steps, examples or "
            "flops, or score each machine's results alone (each manifest.json describes its "
            "machine):",
            found,
        )


def _long(
    bases: Floats, ratio: Floats, test: Floats, submissions: list[str], suite: Suite
) -> pd.DataFrame:
    """Times and ratios, one row a submission and workload."""
    workloads = suite.columns[: suite.bases]
    return pd.DataFrame(
        {
            "submission": np.repeat(submissions, len(workloads)),
            "workload": np.tile(workloads, len(submissions)),
            "time": bases.ravel(),
            "ratio": ratio.ravel(),
            "reached": np.isfinite(ratio).ravel(),
            "test_time": np.where(np.isnan(test), np.inf, test).ravel(),
        }
    )


def _notes(logs: Logs, fewest: int, scores: pd.DataFrame) -> list[str]:
    notes = []
    if fewest == 1:
        notes.append(
            "Some results are of one study: how sure a score is cannot be said. Ranks are the "
            f"order of the scores; {ENOUGH_STUDIES} studies are the least for an interval."
        )
    elif fewest < ENOUGH_STUDIES:
        notes.append(
            f"With {fewest} studies an interval shows how far these runs differ, and is too short: "
            f"it takes about {ENOUGH_STUDIES} studies to hold the truth as often as it says."
        )
    slowed = scores[scores["slowed"] > 0]
    if len(slowed):
        parts = [f"{r.submission} {r.slowed} of {r.studies}" for r in slowed.itertuples()]
        notes.append(
            "Studies whose time rests on a trial during which the machine was slowed down by "
            f"{machine.SLOWED - 1:.0%} or more: {', '.join(parts)}."
        )
    if scores["mismatched"].any():
        names = ", ".join(scores.loc[scores["mismatched"] > 0, "submission"])
        notes.append(f"Verification found results that do not repeat: {names}.")
    return notes
