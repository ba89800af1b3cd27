"""The leaderboard: from the trials to every number that the table, the files and the plots show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from algoperf import disk
from algoperf.errors import UserError
from algoperf.rules import Rules, Ruleset
from scoring.intervals import Floats, interval
from scoring.leaderboard import (
    bootstrap,
    comparable,
    notes,
    profiles,
    sensitivity,
    times,
    views,
)
from scoring.leaderboard.gaps import gaps
from scoring.leaderboard.gathered import Gathered
from scoring.leaderboard.logs import Logs, read
from scoring.leaderboard.profiles import Suite
from scoring.problems import Problem
from scoring.progress import Tell, quiet

RESAMPLES = 2000
SEED = 0


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
        ranks: Shape (S, S): in which share of the resamples each submission has each rank; NaN
            where no submission has a second study.
        above: Shape (S, S): in which share of the resamples the row scores above the column, a tie
            counted half; NaN where one of the two has no second study to differ from.
        samples: The resamples, submissions in order of rank.
        changes: The leaderboard with one thing changed.
        chosen: The trial that each study's time is that of.
        logs: The trials, evaluations and problems as read.
        notes: What a reader has to know about the numbers.
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

    @property
    def problems(self) -> list[Problem]:
        return self.logs.problems

    @property
    def submissions(self) -> list[str]:
        """In order of rank."""
        return list(self.scores["submission"])

    @property
    def has_intervals(self) -> bool:
        """Whether any submission has a second study to differ from on every workload."""
        return bool(self.scores["low"].notna().any())

    def ratio_table(self) -> pd.DataFrame:
        """Ratios, submissions as rows in order of rank, base workloads as columns."""
        table = self.times.pivot_table(index="submission", columns="workload", values="ratio")
        return table.reindex(index=self.submissions, columns=list(self.rules.base_workloads))

    def as_json(self) -> dict[str, Any]:
        """The form that other programs read; `null` is a time that was never reached."""
        found = {
            "rules": self.rules.name,
            "time_axis": self.axis,
            "reference": self.reference,
            "leaderboard": [
                {
                    **row,
                    "interval": [row["low"], row["high"]],
                    "speedup_interval": [row["speedup_low"], row["speedup_high"]],
                    "rank_distribution": self.ranks[place].tolist(),
                    "above": dict(zip(self.submissions, self.above[place].tolist(), strict=True)),
                }
                for place, row in enumerate(self.scores.to_dict("records"))
            ],
            "times": self.times.to_dict("records"),
            "sensitivity": [vars(change) for change in self.changes],
            "tuning": views.tuning(self.logs.trials, self.chosen).to_dict("records"),
            "shares": views.shares(self.logs).to_dict("records"),
            "problems": [vars(problem) for problem in self.problems],
            "notes": self.notes,
        }
        return disk.plain(found)


def score(
    folders: Sequence[Path] | Gathered,
    rules: Rules,
    options: Options | None = None,
    tell: Tell = quiet,
) -> Leaderboard:
    """Scores all submissions below `folders`.

    Args:
        folders: Results folders or log trees; or what was gathered from them.
        rules: The rules.
        options: What is asked; the defaults if None.
        tell: Is told what is being done.

    Raises:
        UserError: If there is nothing to score, the held-out workloads are not those of the logs,
            seconds of unlike machines would be compared, `reference` is not among the submissions,
            or, with `strict`, anything is wrong with the logs.
    """
    options = options or Options()
    logs = read(folders, rules, options.axis, options.ruleset, options.cache, tell=tell)
    tell("scoring")
    logs.problems.extend(gaps(logs.trials, rules))
    comparable.check_held_out(logs, rules)
    if options.strict and logs.problems:
        raise UserError.of_many(
            f"The logs have {len(logs.problems)} problems, and --strict allows none:",
            [f"{p.path}: {p.problem}" for p in logs.problems],
        )
    if options.axis == "seconds":
        comparable.check_machines(logs.trials)
    comparable.check_axis(logs, options.axis)
    submissions = sorted(logs.trials["submission"].unique())
    reference = comparable.reference(options.reference, rules, submissions)
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
    fewest = np.where(counts > 0, counts, counts.max()).min(axis=1)
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
        notes=notes.of(submissions, fewest, by_study[:, : suite.bases], scores, logs.trials),
        **_sure(scores.iloc[order].reset_index(drop=True), samples, order, fewest[order] > 1),
    )


def _sure(
    scores: pd.DataFrame, samples: bootstrap.Samples, order: Any, known: NDArray[np.bool_]
) -> dict[str, Any]:
    """What the resamples add: intervals, orders and shared ranks, all by falling score.

    Args:
        scores: A row for each of S submissions, by falling score; gets further columns.
        samples: The resamples, with the S submissions in an order of their own.
        order: Shape (S,): for each row of `scores`, the submission's place in `samples`.
        known: Shape (S,): whether the submission of a row of `scores` has a second study, without
            which nothing is known of how its runs differ.
    """
    samples = bootstrap.Samples(
        samples.ratios[:, order], samples.scores[:, order], samples.speedups[:, order]
    )
    above = bootstrap.order_probability(samples.scores)
    above[~(known[:, None] & known)] = np.nan
    for names, drawn in (
        (["low", "high"], samples.scores),
        (["speedup_low", "speedup_high"], samples.speedups),
    ):
        scores[names] = np.where(known, interval(drawn), np.nan).T
    scores["above_next"] = [*np.diagonal(above, 1), np.nan]
    scores["rank"] = bootstrap.shared_ranks(scores["score"].to_numpy(), above)
    ranks = bootstrap.rank_distribution(samples.scores)
    return {
        "scores": scores,
        "samples": samples,
        "above": above,
        "ranks": ranks if known.any() else np.full_like(ranks, np.nan),
    }


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
            "reached": np.isfinite(bases).ravel(),
            "test_time": np.where(np.isnan(test), np.inf, test).ravel(),
        }
    )
