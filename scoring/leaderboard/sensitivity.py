"""What the order of a leaderboard rests on: who else is in the field, the suite, tau, the axis."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from algoperf.rules import Rules
from scoring.intervals import Floats
from scoring.leaderboard import profiles, times
from scoring.leaderboard.logs import Logs
from scoring.leaderboard.measurements import AXES
from scoring.leaderboard.profiles import Suite

TAU_MAX = (2.0, 3.0, 4.0, 6.0, 10.0)


@dataclass(frozen=True)
class Change:
    """The leaderboard with one thing changed.

    Attributes:
        kind: "submission left out", "workload left out", "tau_max" or "time axis".
        what: Which.
        scores: By submission, of those that remain.
        swapped: Pairs (before above, now above) whose order is reversed; ties are no order.
    """

    kind: str
    what: str
    scores: dict[str, float]
    swapped: list[tuple[str, str]]


def changes(
    logs: Logs, table: Floats, submissions: Sequence[str], suite: Suite, *, rules: Rules, axis: str
) -> list[Change]:
    """The leaderboard under every change of one thing.

    Args:
        logs: What was read.
        table: Times of shape (submissions, columns of the suite).
        submissions: Names of the rows.
        suite: What the columns are.
        rules: The rules.
        axis: What `table` is in.
    """
    base = dict(zip(submissions, profiles.score(table, suite, rules.scoring)[1], strict=True))

    def change(kind: str, what: str, names: Sequence[str], scores: Floats) -> Change:
        now = {name: float(score) for name, score in zip(names, scores, strict=True)}
        return Change(kind, what, now, _swapped(base, now))

    found: list[Change] = []
    for row, name in enumerate(submissions) if len(submissions) > 2 else ():
        names = [other for other in submissions if other != name]
        fewer = np.delete(table, row, axis=0)
        scores = profiles.score(fewer, suite, rules.scoring)[1]
        found.append(change("submission left out", name, names, scores))
    for column in range(suite.bases if suite.bases > 1 else 0):
        fewer, kept = suite.without(column)
        scores = profiles.score(table[:, kept], fewer, rules.scoring)[1]
        found.append(change("workload left out", suite.columns[column], submissions, scores))
    for tau in TAU_MAX:
        if tau != rules.scoring.tau_max and tau > rules.scoring.tau_min:
            scoring = replace(rules.scoring, tau_max=tau, cutoff=tau)
            scores = profiles.score(table, suite, scoring)[1]
            found.append(change("tau_max", f"{tau:g}", submissions, scores))
    for other in comparable_axes(logs):
        if other != axis:
            trials = logs.trials.assign(time=times_on(logs, other))
            chosen = times.chosen_trials(trials, rules.scoring.choice)
            by_study = times.study_array(chosen, submissions, suite.columns, "time")
            scores = profiles.score(times.medians(by_study), suite, rules.scoring)[1]
            found.append(change("time axis", other, submissions, scores))
    return found


def times_on(logs: Logs, axis: str) -> pd.Series:
    """When each trial reached its target, on another axis; inf if never, NaN if not known."""
    counts = np.bincount(logs.evaluations["row"], minlength=len(logs.trials))
    first = np.cumsum(counts) - counts
    values = logs.evaluations[axis].to_numpy()
    places = first + logs.trials["evaluation"].to_numpy()
    reached = logs.trials["reached"].to_numpy()
    found = np.full(len(logs.trials), math.inf)
    found[reached] = values[places[reached]]
    return pd.Series(found, index=logs.trials.index)


def comparable_axes(logs: Logs) -> Iterator[str]:
    """Axes on which every trial that reached its target can be compared with every other."""
    one_machine = len(times.machines(logs.trials)) <= 1
    for axis in AXES:
        there = np.isfinite(logs.evaluations[axis]).any() and times_on(logs, axis).notna().all()
        if there and (axis != "seconds" or one_machine):
            yield axis


def _swapped(before: dict[str, float], now: dict[str, float]) -> list[tuple[str, str]]:
    return [
        (above, below)
        for above in now
        for below in now
        if before[above] > before[below] and now[above] < now[below]
    ]
