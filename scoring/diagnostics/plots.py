"""The diagnosis as pictures; each with what a reader who cannot see it needs to know."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scoring.diagnostics import band
from scoring.diagnostics.diagnosis import Diagnosis
from scoring.diagnostics.scale import THRESHOLD
from scoring.report.plots import COLOURS, GREY, style

LABELS = {
    "log_p_vocab_correct": "log p_vocab (correct)",
    "p_vocab_correct": "p_vocab (correct)",
    "log_p_vocab_incorrect": "log p_vocab (incorrect)",
    "p_choices_correct": "p_choices (correct)",
    "brier": "Brier, negated",
}
WIDTH, HEIGHT = 4.2, 3.4
"""Size of one panel [inches]."""
MOST_PANELS = 12
"""Families and tasks in one picture; the tables have all."""
MOST_BARS = 3 * MOST_PANELS
"""Families and tasks in the picture of the attribution, which has a line for each."""


def panels(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The families and tasks of a table; a picture shows the first of them."""
    if table.empty:
        return []
    return list(dict.fromkeys(zip(table["family"], table["task"], strict=True)))


def verbatim(name: str) -> str:
    """A name from a file as matplotlib shows it unchanged.

    A pair of dollar signs would be taken for mathematics, and a legend leaves out what begins with
    an underscore.
    """
    shown = name.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _grid(table: pd.DataFrame) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
    """A panel for each family and task, with its rows."""
    found = panels(table)[:MOST_PANELS]
    columns = max(min(len(found), 3), 1)
    rows = max(-(-len(found) // columns), 1)
    figure = Figure(figsize=(WIDTH * columns + 0.4, HEIGHT * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[len(found) :]:
        spare.set_axis_off()

    def each() -> Iterator[tuple[Axes, pd.DataFrame]]:
        for place, (family, task) in enumerate(found):
            axes[place].set_title(verbatim(f"{family}, {task}"), fontsize="medium")
            axes[place].grid(alpha=0.3)
            yield axes[place], of_panel(table, family, task)

    return figure, each()


def ccdf(found: Diagnosis) -> Figure:
    """Share of samples whose correlation with compute is above c, and what chance would give."""
    curves = found.tables["ccdf"]
    curves = curves[(curves["normalisation"] == "raw") & (curves["method"] == band.METHOD)]
    figure, axes = _grid(curves)
    for axis, own in axes:
        chance = of_panel(found.tables["ccdf_null"], own["family"].iloc[0], own["task"].iloc[0])
        axis.fill_between([], [], color=GREY, alpha=0.35, label="by chance, in the line's colour")
        for place, score in enumerate(band.STEPS):
            line = own[own["score"] == score]
            if line.empty:
                continue
            _chance(axis, chance[chance["score"] == score], style(place)["color"])
            x = [-1.0, *line["correlation"], 1.0]
            y = [1.0, *line["share_above"], 0.0]
            axis.step(x, y, where="post", label=LABELS.get(score, score), **style(place))
        axis.axvline(THRESHOLD, color="0.5", linewidth=0.8)
        axis.set(xlim=(-1, 1), ylim=(0, 1.02), xlabel=f"c, {band.METHOD.title()} with compute")
        axis.set_ylabel("share of samples above c")
    _legend(figure)
    return figure


def _chance(axis: Axes, rows: pd.DataFrame, colour: str) -> None:
    """A light band with its edges, and the mean as a thin line."""
    x = rows["correlation"]
    axis.fill_between(
        x, rows["low"], rows["high"], step="post", linewidth=0.6,
        facecolor=(colour, 0.12), edgecolor=(colour, 0.4),
    )  # fmt: skip
    axis.step(x, rows["mean"], where="post", color=colour, linewidth=0.6)


def of_panel(table: pd.DataFrame, family: str, task: str) -> pd.DataFrame:
    """The rows of one family and task; none if the table is empty."""
    if table.empty:
        return table
    return table[(table["family"] == family) & (table["task"] == task)]


def _log10(compute: np.ndarray) -> np.ndarray:
    """With an untrained model, of compute 0, beside the one with the least."""
    return np.log10(np.maximum(compute, compute[compute > 0].min()))


def masses(found: Diagnosis) -> Figure:
    """Mass on the incorrect choices against that on the correct one, by model."""
    points = found.tables["mass_points"]
    figure, axes = _grid(points)
    for axis, own in axes:
        compute = own["compute"].to_numpy(float)
        coloured = (compute >= 0).all() and (compute > 0).any()
        drawn = axis.scatter(
            own["correct"] / np.log(10),
            own["incorrect"] / np.log(10),
            c=_log10(compute) if coloured else own["model"].astype("category").cat.codes,
            s=7,
            alpha=0.6,
            edgecolors="none",  # one colour a point makes a smaller file
            cmap="viridis",
        )
        if coloured:
            axis.figure.colorbar(drawn, ax=axis, label="log10 compute [FLOP]")
        axis.set(xlabel="log10 p_vocab, correct", ylabel="log10 p_vocab, incorrect")
    return figure


def levels(found: Diagnosis) -> Figure:
    """Accuracy and p_choices against compute, with the forecast and its interval."""
    table = found.tables["levels"]
    table = table[(table["normalisation"] == "raw") & (table["compute"] > 0)]
    told = found.tables["forecast"]
    figure, axes = _grid(table)
    for axis, unordered in axes:
        own = unordered.sort_values("compute")
        axis.plot(own["compute"], own["accuracy"], marker="o", label="accuracy", **style(0))
        axis.plot(
            own["compute"], own["p_choices_correct"], marker="s", label="p_choices", **style(1)
        )
        _forecasts(axis, told, own["family"].iloc[0], own["task"].iloc[0])
        axis.set(xscale="log", xlabel="compute [FLOP]", ylim=(0, 1.02))
        second = axis.twinx()
        second.plot(
            own["compute"],
            own["log_p_vocab_correct"],
            "^:",
            color="0.4",
            label="log p_vocab (right)",
        )
        second.set_ylabel("log p_vocab [nats]")
    _legend(figure)
    return figure


def _forecasts(axis: Axes, told: pd.DataFrame, family: str, task: str) -> None:
    if told.empty:
        return
    mine = of_panel(told, family, task)
    for kind, mark, place in (("backtest", "x", 2), ("forecast", "D", 3)):
        some = mine[(mine["kind"] == kind) & (mine["method"] == "per_choice")]
        error = np.abs(some[["low", "high"]].to_numpy().T - some["accuracy"].to_numpy())
        axis.errorbar(
            some["compute"], some["accuracy"], yerr=error, fmt=mark, capsize=3,
            label=f"accuracy, {kind}", color=COLOURS[place],
        )  # fmt: skip


def attribution(found: Diagnosis) -> Figure:
    """The change of accuracy from the first to the last model, by side."""
    table = found.tables["attribution"]
    table = table[table["score"] == "accuracy"].groupby(["family", "task"], sort=False).tail(1)
    table = table[:MOST_BARS]
    figure = Figure(figsize=(7, 1.5 + 0.45 * len(table)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(table))[::-1]
    for shift, side in ((0.18, "correct"), (-0.18, "incorrect")):
        values = table[side].to_numpy()
        ends = table[[f"{side}_low", f"{side}_high"]].to_numpy().T
        axes.barh(
            places + shift, values, height=0.34, xerr=np.abs(ends - values), capsize=2,
            label=f"{side} side", color=COLOURS[0 if side == "correct" else 1],
        )  # fmt: skip
    change = (table["after"] - table["before"]).to_numpy()
    axes.plot(change, places, "D", color="black", label="sum: change of accuracy")
    named = zip(table["family"], table["task"], strict=True)
    axes.set_yticks(places, [verbatim(f"{family}, {task}") for family, task in named])
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_xlabel("change of accuracy from the first to the last model")
    axes.grid(alpha=0.3, axis="x")
    _legend(figure)
    return figure


def reliability(found: Diagnosis) -> Figure:
    """Accuracy against confidence by model."""
    figure, axes = _grid(found.tables["reliability"])
    for axis, own in axes:
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        for place, (model, line) in enumerate(own.groupby("model", sort=False)):
            axis.plot(
                line["confidence"], line["accuracy"], marker="o", ms=3, label=verbatim(str(model)),
                **style(place),
            )  # fmt: skip
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (largest p_choices)")
        axis.set_ylabel("accuracy")
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    """One legend for all panels, each label once."""
    found = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        found.values(),
        found.keys(),
        loc="outside lower center",
        ncols=3,
        fontsize="small",
        facecolor="none",
    )
