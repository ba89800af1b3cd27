"""The diagnosis as sections of a report: a title, a text, a table, a picture with its words."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from scoring.diagnostics import plots
from scoring.diagnostics.diagnosis import Diagnosis


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        name: For files.
        title: For readers.
        text: How to read it.
        table: Its numbers.
        figure: Its picture, or None.
        alternative: What the picture shows, in words.
    """

    name: str
    title: str
    text: str
    table: pd.DataFrame
    figure: Figure | None = None
    alternative: str = ""


_TEXTS = {
    "ccdf": (
        "How many samples follow compute",
        (
            "Each line falls from 1 to 0: at c it stands at the share of samples whose "
            "correlation with compute is above c. The further right, the more predictable. Grey is "
            "what the order of the models would give by chance."
        ),
    ),
    "levels": (
        "What scale does to each metric",
        (
            "Means over samples. Crosses are backtests: the accuracy of the largest models as "
            "predicted from the smaller ones, with 95 % intervals; the diamond is a forecast."
        ),
    ),
    "backtests": (
        "How well the largest models are predicted from the smaller ones",
        (
            "Each method saw the smaller models alone: the mean error of its accuracy, its log "
            "score, and how often its interval held the truth. The status says which fits have so "
            "few points that they would pass close to any: their errors are luck, good or bad."
        ),
    ),
    "fits": (
        "Curves through the means of the models",
        "Parameters of each curve with 95 % intervals, its points, and whether they are enough.",
    ),
    "masses": (
        "Correct against incorrect mass",
        (
            "A point is a sample under a model. Where the points of a vertical line lie far apart, "
            "the correct mass does not tell the incorrect one, and so not the accuracy."
        ),
    ),
    "attribution": (
        "Which side changed the accuracy",
        (
            "The change from the first to the last model, divided between the correct choice and "
            "the incorrect ones (Shapley values of a game of two, with 95 % intervals)."
        ),
    ),
    "reliability": (
        "Calibration",
        (
            "On the diagonal a model that is 80 % sure is right in 80 % of cases; below it, it is "
            "too sure."
        ),
    ),
}


def sections(found: Diagnosis) -> Iterator[Section]:
    """The sections for which there is something to show."""
    tables = found.tables
    raw = tables["correlations"]
    if not tables["ccdf"].empty and (tables["ccdf"]["normalisation"] == "raw").any():
        shown = raw[(raw["normalisation"] == "raw") & (raw["method"] == plots.METHOD)]
        columns = [
            "family", "task", "score", "mean", "mean_low", "mean_high", "null_p_value",
            "share_above", "null_share_above", "share_constant",
        ]  # fmt: skip
        yield _section("ccdf", shown[columns], plots.ccdf(found), _ccdf_words(shown))
    if not tables["levels"].empty:
        shown = tables["levels"][tables["levels"]["normalisation"] == "raw"]
        drawn = plots.levels(found) if (shown["compute"] > 0).any() else None
        words = f"Lines over compute for {_listed(shown)}."
        yield _section("levels", shown, drawn, words)
    if not tables["backtests"].empty:
        yield _section("backtests", tables["backtests"], None, "")
    if not tables["fits"].empty:
        yield _section("fits", _fits(tables["fits"]), None, "")
    if not tables["mass_points"].empty:
        words = "; ".join(
            f"{row['family']}, {row['task']}, {row['model']}: correlation {row['correlation']:.2f}"
            for row in tables["mass"].groupby(["family", "task"]).tail(1).to_dict("records")
        )
        yield _section("masses", tables["mass"], plots.masses(found), f"Scatter plots. {words}.")
    if not tables["attribution"].empty:
        words = f"Bars by side for {_listed(tables['attribution'])}; the table has the numbers."
        yield _section("attribution", tables["attribution"], plots.attribution(found), words)
    if not tables["calibration"].empty:
        words = f"Reliability diagrams for {_listed(tables['calibration'])}."
        yield _section("reliability", tables["calibration"], plots.reliability(found), words)


def _section(name: str, table: pd.DataFrame, figure: Figure | None, words: str) -> Section:
    title, text = _TEXTS[name]
    return Section(name, title, text, table, figure, words)


def _ccdf_words(shown: pd.DataFrame) -> str:
    parts = [
        f"{row['family']}, {row['task']}, {row['score']}: {row['share_above']:.0%} of samples "
        f"above 0.75 ({row['null_share_above']:.1%} by chance)"
        for row in shown[shown["score"].isin(plots.STEPS)].to_dict("records")
    ]
    return f"Step lines. {'; '.join(parts)}."


def _listed(table: pd.DataFrame) -> str:
    return "; ".join(f"{family}, {task}" for family, task in plots.panels(table))


def _fits(fits: pd.DataFrame) -> pd.DataFrame:
    """The fits with each one's parameters in words."""
    words = [
        ", ".join(
            f"{name} = {value:.3g} ({row['low'][name]:.3g} to {row['high'][name]:.3g})"
            for name, value in row["parameters"].items()
        )
        for row in fits.to_dict("records")
    ]
    shown = fits.drop(columns=["low", "high", "n_parameters"])
    return shown.assign(parameters=words)
