"""Two submissions, or two results folders, side by side, with paired intervals.

Study n of both has the same seeds and, where the search space is the same, the same points. A
bootstrap that draws studies for both at once keeps what they share out of the interval.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from algoperf.rules import Rules, Ruleset
from scoring.intervals import Floats, interval
from scoring.leaderboard import comparable, times
from scoring.leaderboard.board import RESAMPLES, SEED
from scoring.leaderboard.gathered import Gathered, gather
from scoring.leaderboard.logs import Logs, read
from scoring.problems import Problem
from scoring.progress import Tell, quiet


@dataclass(frozen=True)
class Side:
    """One of the two: what to call it, and what lies in its folder."""

    name: str
    gathered: Gathered


@dataclass(frozen=True)
class Pair:
    """Two submissions compared.

    Attributes:
        left: Name of A.
        right: Name of B.
        rows: One row a base workload that both ran: `workload`, `left`, `right` (times, inf if not
            reached), `studies` (in pairs), `ratio` (B over A, a target never reached counted as
            the budget; NaN if it cannot be known), `low`, `high` (its 95 % interval; NaN with a
            single pair), `bound` (whether a side did not reach it, so that the ratio is a bound).
        ratio: Geometric mean of the ratios over workloads that either reached, as far as known.
        low: Lower end of its 95 % interval.
        high: Upper end.
        faster: In which share of the resamples B is the faster.
    """

    left: str
    right: str
    rows: pd.DataFrame
    ratio: float
    low: float
    high: float
    faster: float


@dataclass(frozen=True)
class Comparison:
    """All pairs; what only one side has, and what is wrong with the logs."""

    rules: Rules
    axis: str
    pairs: list[Pair]
    notes: list[str]
    problems: list[Problem]


def side(name: str, results: Path | None, tell: Tell = quiet) -> Side:
    """What `name` means: a folder, or a submission somewhere below `results`.

    Raises:
        UserError: If there is none, or more than one, or no trial in it.
    """
    return Side(name, gather([_folder(name, results)], tell))


def _folder(name: str, results: Path | None) -> Path:
    if name and Path(name).is_dir():
        return Path(name)
    below = results or Path("results")
    found = (path.parent for path in below.rglob("study_*") if path.parent.name == name)
    places = sorted(set(found))
    if len(places) == 1:
        return places[0]
    if not places:
        raise UserError(
            f"{name!r} is neither a folder nor a submission with results below {below}; give "
            "the folder, or the results folder with --results."
        )
    raise UserError.of_many(
        f"There are results of {name!r} in several folders; give the one you mean:",
        [str(place) for place in places],
    )


def compare(
    left: Side,
    right: Side,
    rules: Rules,
    axis: str = "seconds",
    ruleset: Ruleset = Ruleset.EXTERNAL,
    *,
    tell: Tell = quiet,
) -> Comparison:
    """Compares B with A on every base workload that both ran.

    Args:
        left: A.
        right: B.
        rules: The rules.
        axis: What time is measured in.
        ruleset: Of logs that do not say (MLCommons').
        tell: Is told how far it is.

    Raises:
        UserError: If nothing can be paired, or seconds of unlike machines would be compared.
    """
    logs = [read(side.gathered, rules, axis, ruleset, tell=tell) for side in (left, right)]
    tell("comparing")
    if axis == "seconds":
        comparable.check_machines(pd.concat([log.trials for log in logs], ignore_index=True))
    names = [sorted(log.trials["submission"].unique()) for log in logs]
    if len(names[0]) == len(names[1]) == 1:
        matched, notes = [(names[0][0], names[1][0])], []
    else:
        shared = sorted(set(names[0]) & set(names[1]))
        if not shared:
            raise UserError(
                f"{left.name} has {', '.join(names[0])}; {right.name} has {', '.join(names[1])}: "
                "no submission is in both. Give the folders of the two that you mean."
            )
        matched = [(name, name) for name in shared]
        notes = [
            f"Only in {side.name}: {', '.join(alone)}."
            for side, own in zip((left, right), names, strict=True)
            if (alone := sorted(set(own) - set(shared)))
        ]
    chosen = [(_chosen(logs[0], a, rules), _chosen(logs[1], b, rules)) for a, b in matched]
    return Comparison(
        rules=rules,
        axis=axis,
        pairs=[_pair(*own, rules, axis, names) for own, names in zip(chosen, matched, strict=True)],
        notes=[*notes, *(note for own in chosen for note in _unpaired(*own, rules))],
        problems=[problem for log in logs for problem in log.problems],
    )


def _chosen(logs: Logs, submission: str, rules: Rules) -> pd.DataFrame:
    own = logs.trials[logs.trials["submission"] == submission]
    return times.chosen_trials(own, rules.scoring.choice)


def _studies(left: pd.DataFrame, right: pd.DataFrame) -> tuple[list[int], list[int]]:
    """Which study of A goes with which of B, on one workload.

    By number; but where both have equally many of other numbers, one counts from 0 and the other
    from 1: then in their order.
    """
    numbers = sorted(left["study"]), sorted(right["study"])
    if len(numbers[0]) == len(numbers[1]):
        return numbers
    shared = sorted(set(numbers[0]) & set(numbers[1]))
    return shared, shared


def _unpaired(left: pd.DataFrame, right: pd.DataFrame, rules: Rules) -> Iterator[str]:
    """What only one side has, and so is not compared."""
    for name in rules.base_workloads:
        own = [part[part["workload"] == name] for part in (left, right)]
        counts = [len(part) for part in own]
        paired = len(_studies(*own)[0])
        if 0 in counts and any(counts):
            yield f"Only {'B' if counts[1] else 'A'} ran {name}: it is not compared."
        elif paired < max(counts):
            yield f"{name}: {paired} studies in pairs, of {counts[0]} of A and {counts[1]} of B."


def _pair(
    left: pd.DataFrame, right: pd.DataFrame, rules: Rules, axis: str, names: tuple[str, str]
) -> Pair:
    rng = np.random.default_rng(SEED)
    rows, draws, counted = [], [], []
    for workload in rules.base_workloads:
        own = [part[part["workload"] == workload] for part in (left, right)]
        studies = _studies(*own)
        if not studies[0]:
            continue
        pair = np.stack(
            [
                part.set_index("study").loc[numbers, "time"].to_numpy()
                for part, numbers in zip(own, studies, strict=True)
            ]
        )
        budgets = np.array([_budget(part, rules, workload, axis) for part in own])
        row, drawn = _row(pair, budgets, rng)
        rows.append({"workload": workload, **row})
        either = math.isfinite(row["left"]) or math.isfinite(row["right"])
        if either and np.isfinite(drawn).all():
            counted.append(row["ratio"])
            draws.append(drawn)
    if not rows:
        raise UserError(f"{' and '.join(names)} have no base workload and study in common.")
    frame = pd.DataFrame(rows)
    mean = np.exp(np.mean(np.log(draws), axis=0)) if draws else np.full(RESAMPLES, np.nan)
    several = frame["studies"].min() > 1 and len(draws) > 0
    low, high = interval(mean) if several else (np.nan, np.nan)
    return Pair(
        *names,
        frame,
        ratio=float(np.exp(np.mean(np.log(counted)))) if counted else np.nan,
        low=float(low),
        high=float(high),
        faster=float((mean < 1).mean() + (mean == 1).mean() / 2) if several else np.nan,
    )


def _budget(trials: pd.DataFrame, rules: Rules, workload: str, axis: str) -> float:
    """What a time that was never reached counts as; NaN where that is not known."""
    if axis != "seconds":
        return np.nan
    return rules.fixed(workload, Ruleset(trials["ruleset"].iloc[0])).budget_s


def _row(pair: Floats, budgets: Floats, rng: np.random.Generator) -> tuple[dict[str, Any], Floats]:
    """A row of `Pair.rows`, and the ratio in each resample.

    Args:
        pair: Times of shape (2, studies).
        budgets: Shape (2,).
        rng: Draws studies, the same for both.
    """
    studies = pair.shape[1]
    drawn = pair[:, rng.integers(0, studies, (RESAMPLES, studies))]
    found, drawn = (
        np.where(np.isfinite(medians), medians, budgets.reshape(2, *[1] * (medians.ndim - 1)))
        for medians in (times.medians(pair), times.medians(drawn))
    )
    median = times.medians(pair)
    ratio = drawn[1] / drawn[0]
    low, high = interval(ratio) if studies > 1 else (np.nan, np.nan)
    return {
        "left": float(median[0]),
        "right": float(median[1]),
        "studies": studies,
        "ratio": float(found[1] / found[0]),
        "low": float(low),
        "high": float(high),
        "bound": not bool(np.isfinite(median).all()),
    }, ratio
