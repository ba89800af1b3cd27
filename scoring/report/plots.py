"""The leaderboard as pictures."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scoring.intervals import interval
from scoring.leaderboard import profiles
from scoring.leaderboard.board import Leaderboard
from scoring.report.page import INK

# Okabe & Ito's palette: can be told apart with any colour vision; black is the text's.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = ("-", "--", "-.", ":")
GREY = "#8a8f96"


FRONT = 14
"""How many submissions, of the leaderboard's first, have a line of their own; the rest is grey."""


def style(place: int) -> dict[str, Any]:
    """Colour and dash of the submission at that place of the leaderboard."""
    if place >= FRONT:
        return {"color": GREY, "linestyle": "-", "alpha": 0.4}
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
    }


def blank(width: float = 7.0, height: float = 4.3) -> tuple[Figure, Axes]:
    """Empty axes in the page's colours [inch]."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(colors=INK)
    for part in (axes.title, axes.xaxis.label, axes.yaxis.label):
        part.set_color(INK)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.grid(color=GREY, alpha=0.3)
    return figure, axes


def legend(axes: Axes, lines: Mapping[str, Line2D], columns: int = 1) -> None:
    """A legend in the page's colours; names may begin with an underscore or hold a dollar sign."""
    if not lines:
        return
    found = axes.legend(
        list(lines.values()),
        list(lines),
        loc="best",
        fontsize="small",
        labelcolor=INK,
        facecolor="none",
        edgecolor=GREY,
        ncols=columns,
    )
    for text in found.get_texts():
        text.set_parse_math(False)


def performance_profile(board: Leaderboard) -> Figure:
    """Share of workloads within tau times the fastest: a step line and a band a submission."""
    figure, axes = blank()
    scoring = board.rules.scoring
    table = board.ratio_table().to_numpy()
    grid = np.linspace(scoring.tau_min, scoring.tau_max, 61)
    lines: dict[str, Line2D] = {}
    for place, row in enumerate(board.scores.to_dict("records")):
        within = np.sort(table[place][table[place] <= scoring.tau_max])
        share = np.arange(len(within) + 1) / table.shape[1]
        (line,) = axes.step(
            [scoring.tau_min, *within, scoring.tau_max],
            [*share, share[-1]],
            where="post",
            linewidth=2 if place < FRONT else 1,
            **style(place),
        )
        if place >= FRONT:
            continue
        lines[f"{row['submission']} ({row['score']:.3f})"] = line
        if not math.isnan(row["low"]):
            drawn = profiles.profile(board.samples.ratios[:, [place]], grid)[:, 0]
            low, high = interval(drawn)
            colour = style(place)["color"]
            axes.fill_between(grid, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.set(
        xlim=(scoring.tau_min, scoring.tau_max),
        ylim=(-0.02, 1.02),
        xlabel=f"tau: {board.axis} to target, as a ratio to the fastest",
        ylabel="share of workloads",
        title=f"Performance profile, rules {board.rules.name} (score: normalised area)",
    )
    legend(axes, lines)
    return figure


def ranks(board: Leaderboard) -> Figure:
    """How often each submission has each rank over the resamples: a stacked bar a submission."""
    names = board.submissions
    figure, axes = blank(height=1.2 + 0.32 * len(names))
    left = np.zeros(len(names))
    for rank in range(len(names)):
        share = board.ranks[:, rank]
        shade = 0.9 - 0.75 * rank / max(1, len(names) - 1)
        bars = axes.barh(names, share, left=left, color=COLOURS[0], alpha=shade, edgecolor=INK)
        labels = [str(rank + 1) if part >= 0.06 else "" for part in share]
        axes.bar_label(bars, labels, label_type="center", fontsize="small", color=INK)
        left += share
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the resamples in which it has the rank", title="Ranks")
    return figure


def curves(board: Leaderboard) -> Iterator[tuple[str, Figure, str]]:
    """For each workload: its name, the target's metric against time, and that in words.

    All trials stand behind in grey; in front the fastest of each of the leaderboard's first
    submissions, and the target as a line.
    """
    for workload in (*board.rules.base_workloads, *board.rules.held_out):
        if (board.logs.trials["workload"] == workload).any():
            yield workload, *_curves_of(board, workload)


def _curves_of(board: Leaderboard, workload: str) -> tuple[Figure, str]:
    figure, axes = blank(height=3.6)
    target = board.rules.workloads[workload].validation
    trials = board.logs.trials[board.logs.trials["workload"] == workload]
    evaluations = board.logs.evaluations
    own = evaluations[evaluations["row"].isin(trials.index)]
    lines = {row: part[[board.axis, "validation"]].to_numpy() for row, part in own.groupby("row")}
    axes.add_collection(
        LineCollection(
            list(lines.values()), colors=GREY, linewidths=0.5, alpha=0.4, rasterized=True
        )
    )
    words: list[str] = []
    won: dict[str, Line2D] = {}
    for place, submission in enumerate(board.submissions[:FRONT]):
        of_submission = trials[trials["submission"] == submission]
        if of_submission.empty:
            continue
        place_of_best = int(of_submission["time"].to_numpy().argmin())
        best = int(of_submission.index[place_of_best])
        winner = of_submission.iloc[place_of_best].to_dict()
        if not winner["reached"]:
            words.append(f"{submission} never reaches it")
            continue
        front = lines[best]
        (line,) = axes.plot(*front.T, linewidth=1.8, **style(place))
        won[f"{submission} ({winner['time']:.4g})"] = line
        axes.plot(winner["time"], front[winner["evaluation"], 1], "o", color=style(place)["color"])
        words.append(f"{submission} reaches it first at {winner['time']:.4g} {board.axis}")
    axes.axhline(target.value, color=INK, linewidth=1, linestyle=(0, (1, 2)))
    axes.set(
        xlabel=f"{board.axis}",
        ylabel=f"validation {target.metric}",
        title=f"{workload}: target {target.value:g}",
        **_limits(own, board.axis, target.value),
    )
    legend(axes, won, columns=2)
    return figure, f"The target is {target.metric} {target.value:g}. {'; '.join(words)}."


def _limits(evaluations: pd.DataFrame, axis: str, target: float) -> dict[str, tuple[float, float]]:
    """Where the curves are near the target: the wild beginnings are cut off."""
    values = evaluations["validation"][np.isfinite(evaluations["validation"])]
    times = evaluations[axis][np.isfinite(evaluations[axis])]
    if values.empty or times.empty:
        return {}
    low, high = np.quantile([*values, target], [0.02, 0.85 if target < values.median() else 0.98])
    low, high = min(low, target), max(high, target)
    margin = 0.08 * (high - low) or max(abs(target), 1.0) * 0.01
    end = float(times.max())
    return {
        "ylim": (low - margin, high + margin),
        "xlim": (0.0, end * 1.02 if end > 0 and math.isfinite(end) else 1.0),
    }
