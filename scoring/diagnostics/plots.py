"""The diagnosis as pictures; each with what a reader who cannot see it needs to know."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scoring.diagnostics import correlations, permutations
from scoring.diagnostics.diagnosis import Diagnosis
from scoring.diagnostics.scale import THRESHOLD
from scoring.report.plots import COLOURS, GREY, style

METHOD = "spearman"
STEPS = ("log_p_vocab_correct", "p_choices_correct", "brier", "accuracy")
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


def panels(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The families and tasks that are drawn."""
    if table.empty:
        return []
    return list(dict.fromkeys(zip(table["family"], table["task"], strict=True)))[:MOST_PANELS]


def _grid(table: pd.DataFrame) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
    """A panel for each family and task, with its rows."""
    found = panels(table)
    columns = max(min(len(found), 3), 1)
    rows = max(-(-len(found) // columns), 1)
    figure = Figure(figsize=(WIDTH * columns + 0.4, HEIGHT * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[len(found) :]:
        spare.set_axis_off()

    def each() -> Iterator[tuple[Axes, pd.DataFrame]]:
        for place, (family, task) in enumerate(found):
            axes[place].set_title(f"{family}, {task}", fontsize="medium")
            axes[place].grid(alpha=0.3)
            yield axes[place], table[(table["family"] == family) & (table["task"] == task)]

    return figure, each()


def ccdf(found: Diagnosis) -> Figure:
    """Share of samples whose correlation with compute is above c, and what chance would give."""
    curves = found.tables["ccdf"]
    curves = curves[(curves["normalisation"] == "raw") & (curves["method"] == METHOD)]
    models = found.tables["correlations"].groupby(["family", "task"])["n_models"].first()
    figure, axes = _grid(curves)
    for axis, own in axes:
        n = int(models[own["family"].iloc[0], own["task"].iloc[0]])
        grid, share = _null_curve(n)
        axis.fill_between(grid, share, step="post", color=GREY, alpha=0.35, label="by chance")
        for place, score in enumerate(name for name in (*STEPS, "score")):
            line = own[own["score"] == score]
            if line.empty:
                continue
            x = [-1.0, *line["correlation"], 1.0]
            y = [1.0, *line["share_above"], 0.0]
            axis.step(x, y, where="post", label=LABELS.get(score, score), **style(place))
        axis.axvline(THRESHOLD, color="0.5", linewidth=0.8)
        axis.set(xlim=(-1, 1), ylim=(0, 1.02), xlabel=f"c, {METHOD.title()} with compute")
        axis.set_ylabel("share of samples above c")
    _legend(figure)
    return figure


def _null_curve(models: int) -> tuple[np.ndarray, np.ndarray]:
    """The CCDF of a sample without ties whose order means nothing, exact up to 8 models."""
    x = np.arange(float(models))[:, None]
    orders = permutations.orders(models).T.astype(float)
    values = correlations.unit_vectors(orders, METHOD).T @ correlations.unit_vectors(x, METHOD)
    steps, share = correlations.ccdf(np.round(values[:, 0], 12))
    return np.array([-1.0, *steps]), np.array([1.0, *share])


def masses(found: Diagnosis) -> Figure:
    """Mass on the incorrect choices against that on the correct one, by model."""
    points = found.tables["mass_points"]
    figure, axes = _grid(points)
    for axis, own in axes:
        compute = np.log10(own["compute"].to_numpy(float))
        coloured = np.isfinite(compute).all()
        drawn = axis.scatter(
            own["correct"] / np.log(10),
            own["incorrect"] / np.log(10),
            c=compute if coloured else own["model"].astype("category").cat.codes,
            s=5,
            alpha=0.6,
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
    mine = told[(told["family"] == family) & (told["task"] == task)]
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
    table = table[: 3 * MOST_PANELS]
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
    axes.set_yticks(
        places, [f"{f}, {t}" for f, t in zip(table["family"], table["task"], strict=True)]
    )
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
                line["confidence"], line["accuracy"], marker="o", ms=3, label=model, **style(place)
            )
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
