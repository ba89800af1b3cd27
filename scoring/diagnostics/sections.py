"""The diagnosis as sections of a report: a title, a text, a table, a picture with its words."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scoring.diagnostics import band, plots
from scoring.diagnostics.diagnosis import Diagnosis
from scoring.diagnostics.explained import TEXTS
from scoring.diagnostics.scale import THRESHOLD
from scoring.diagnostics.text import parameters


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


_CORRELATIONS = [
    "family", "task", "score", "mean", "mean_low", "mean_high", "ceiling_mean", "gamma_mean",
    "null_p_value", "share_above", "null_share_above", "share_constant",
]  # fmt: skip
_FORECASTS = [
    "family", "task", "method", "kind", "model", "compute", "accuracy", "low", "high", "actual",
    "n_train", "status",
]  # fmt: skip
_FLIPS = [
    "family", "task", "first", "second", "accuracy_first", "accuracy_second", "nfr", "pfr",
    "nfr_floor", "nfr_independent", "btc", "mcnemar_p", "n_samples",
]  # fmt: skip
"""Columns that the page shows; the CSV files have all."""


def sections(found: Diagnosis) -> Iterator[Section]:
    """The sections for which there is something to show."""
    tables = found.tables
    yield from _of_scale(found)
    yield from _levels(found)
    yield from _plain("forecast", _only(tables["forecast"], _FORECASTS))
    yield from _plain("backtests", tables["backtests"])
    yield from _plain("fits", _fits(tables["fits"]))
    yield from _masses(found)
    yield from _plain("trends", tables["trends"])
    yield from _plain("rank_stability", tables["rank_stability"])
    if not (moved := tables["attribution"]).empty:
        listed, cut = _drawn(moved, plots.MOST_BARS)
        words = f"Bars by side for {listed}; the table has the numbers."
        yield _section("attribution", moved, plots.attribution(found), words, cut)
    yield from _plain("flips", _only(tables["flips"], _FLIPS))
    if not (calibrated := tables["calibration"]).empty:
        listed, cut = _drawn(tables["reliability"])
        words = f"Reliability diagrams for {listed}."
        yield _section("reliability", calibrated, plots.reliability(found), words, cut)
    for name in ("label_errors", "noise_crossings", "min_k", "frequency"):
        yield from _plain(name, tables[name])


def _plain(name: str, table: pd.DataFrame) -> Iterator[Section]:
    """A section without a picture, if its table holds something."""
    if not table.empty:
        yield Section(name, *TEXTS[name], table)


def _only(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Those of the columns that are there."""
    return table[[name for name in columns if name in table]]


def _section(
    name: str, table: pd.DataFrame, figure: Figure | None, words: str, cut: str
) -> Section:
    """A section with a picture; what it does not show is told in its text and in its words."""
    title, text = TEXTS[name]
    if figure is None:
        return Section(name, title, text, table)
    return Section(name, title, f"{text}{cut}", table, figure, f"{words}{cut}")


def _of_scale(found: Diagnosis) -> Iterator[Section]:
    tables = found.tables
    scaled, curves = tables["correlations"], tables["ccdf"]
    if not curves.empty and (curves["normalisation"] == "raw").any():
        raw = scaled[scaled["normalisation"] == "raw"]
        shown = _with_gamma(raw[raw["method"] == band.METHOD], raw)
        _, cut = _drawn(shown)
        words = _ccdf_words(shown, tables["ccdf_null"])
        yield _section("ccdf", _only(shown, _CORRELATIONS), plots.ccdf(found), words, cut)
    for name, columns in (("comparisons", ["normalisation", "method"]), ("orderings", [])):
        table = tables[name]
        if not table.empty:
            table = table[table["normalisation"] == "raw"]
        if not table.empty and columns:
            table = table[table["method"] == band.METHOD].drop(columns=columns)
        yield from _plain(name, table)


def _with_gamma(shown: pd.DataFrame, raw: pd.DataFrame) -> pd.DataFrame:
    """The same rows with gamma, which stands beside Kendall's tau and is of no method."""
    if "gamma_mean" not in raw:
        return shown
    keys = ["family", "task", "score"]
    gamma = raw[raw["gamma_mean"].notna()][[*keys, "gamma_mean"]].drop_duplicates(keys)
    return shown.drop(columns="gamma_mean").merge(gamma, on=keys, how="left")


def _levels(found: Diagnosis) -> Iterator[Section]:
    if (table := found.tables["levels"]).empty:
        return
    shown = table[table["normalisation"] == "raw"]
    listed, cut = _drawn(shown[shown["compute"] > 0])
    drawn = plots.levels(found) if listed else None
    yield _section("levels", shown, drawn, f"Lines over compute for {listed}.", cut)


def _masses(found: Diagnosis) -> Iterator[Section]:
    points, table = found.tables["mass_points"], found.tables["mass"]
    if points.empty:
        return
    shown = plots.panels(points)[: plots.MOST_PANELS]
    words = "; ".join(
        f"{row['family']}, {row['task']}, {row['model']}: correlation {row['correlation']:.2f}"
        for row in table.groupby(["family", "task"]).tail(1).to_dict("records")
        if (row["family"], row["task"]) in shown
    )
    _, cut = _drawn(points)
    yield _section("masses", table, plots.masses(found), f"Scatter plots. {words}.", cut)


def _drawn(table: pd.DataFrame, most: int = plots.MOST_PANELS) -> tuple[str, str]:
    """The families and tasks in a picture, and a sentence about those that are not in it."""
    every = plots.panels(table)
    cut = f" Drawn are the first {most} of {len(every)}; the tables have all."
    listed = "; ".join(f"{family}, {task}" for family, task in every[:most])
    return listed, cut if len(every) > most else ""


def _ccdf_words(shown: pd.DataFrame, chance: pd.DataFrame) -> str:
    drawn = plots.panels(shown)[: plots.MOST_PANELS]
    at = chance[np.isclose(chance["correlation"], THRESHOLD)] if not chance.empty else chance
    bands = {
        (row["family"], row["task"], row["score"]): f", {row['low']:.0%} to {row['high']:.0%}"
        for row in at.to_dict("records")
    }
    parts = []
    for row in shown[shown["score"].isin(band.STEPS)].to_dict("records"):
        if (row["family"], row["task"]) in drawn:
            within = bands.get((row["family"], row["task"], row["score"]), "")
            parts.append(
                f"{row['family']}, {row['task']}, {row['score']}: {row['share_above']:.0%} of "
                f"samples above {THRESHOLD} ({row['null_share_above']:.1%} by chance{within})"
            )
    return f"Step lines with bands. {'; '.join(parts)}."


def _fits(fits: pd.DataFrame) -> pd.DataFrame:
    """The fits with each one's parameters in words."""
    if fits.empty:
        return fits
    words = [parameters(row) for row in fits.to_dict("records")]
    shown = fits.drop(columns=["low", "high", "n_parameters"])
    return shown.assign(parameters=words)
