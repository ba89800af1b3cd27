"""The diagnosis in the terminal: what a person needs to see first."""

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scoring.diagnostics import band
from scoring.diagnostics.diagnosis import Diagnosis

METHOD = band.METHOD
"""Which correlations the terminal shows; the files have all."""
SHORT = {
    "log_p_vocab_correct": "log p_vocab",
    "p_vocab_correct": "p_vocab",
    "log_p_vocab_incorrect": "log p_v incorrect",
    "p_choices_correct": "p_choices",
    "brier": "-Brier",
}
MOST_PROBLEMS = 40
"""Problems that are shown; the files have all."""


def terminal(found: Diagnosis, console: Console) -> None:
    """Prints the summary."""
    for table in _tables(found):
        console.print(table)
    for note in found.notes:
        console.print(Text(note, style="dim"))
    for problem in found.problems[:MOST_PROBLEMS]:
        text = f"Problem: {problem.path}: {problem.problem}; {problem.action}."
        console.print(Text(text, style="yellow"), soft_wrap=True)
    if (more := len(found.problems) - MOST_PROBLEMS) > 0:
        text = f"{more} more problems are in the JSON file (--json FILE or --out DIR)."
        console.print(Text(text, style="yellow"))


def _tables(found: Diagnosis) -> Iterator[Table]:
    tables = found.tables
    levels, scaled = tables["levels"], tables["correlations"]
    if not levels.empty:
        yield _levels(levels[levels["normalisation"] == "raw"])
    if not scaled.empty:
        raw = scaled[(scaled["normalisation"] == "raw") & (scaled["method"] == METHOD)]
        yield _correlations(raw)
    if not tables["attribution"].empty:
        moved = tables["attribution"]
        yield _attribution(moved[moved["score"] == "accuracy"])
    if not tables["flips"].empty:
        yield _flips(tables["flips"])
    if not tables["backtests"].empty:
        yield _backtests(tables["backtests"])
    if not tables["fits"].empty:
        yield _fits(tables["fits"])
    for name, title in (("min_k", "Min-K% Prob"), ("frequency", "Accuracy by log10 frequency")):
        if not tables[name].empty:
            yield _plain(title, tables[name])


def _plain(title: str, rows: pd.DataFrame) -> Table:
    table = titled(title, [str(name) for name in rows.columns], names=1)
    for row in rows.to_dict("records"):
        table.add_row(*(number(v, ".4g") if isinstance(v, float) else str(v) for v in row.values()))
    return table


def _attribution(moved: pd.DataFrame) -> Table:
    titles = ["family", "task", "first", "last", "change", "correct side", "incorrect side"]
    table = titled("Change of accuracy from the first to the last model, by side", titles, names=4)
    for row in moved.groupby(["family", "task"], sort=False).tail(1).to_dict("records"):
        table.add_row(
            *(str(row[name]) for name in ("family", "task", "first", "second")),
            number(row["after"] - row["before"], "+.3f"),
            *(
                f"{number(row[s], '+.3f')} ({number(row[s + '_low'], '+.3f')} to "
                f"{number(row[s + '_high'], '+.3f')})"
                for s in ("correct", "incorrect")
            ),
        )
    return table


def _flips(flips: pd.DataFrame) -> Table:
    titles = ["family", "task", "first", "last", "accuracy", "lost", "won", "p (McNemar)"]
    table = titled("Flips between the first and the last model", titles, names=4)
    for row in flips[flips["outermost"]].to_dict("records"):
        table.add_row(
            *(str(row[name]) for name in ("family", "task", "first", "second")),
            f"{row['accuracy_first']:.3f} to {row['accuracy_second']:.3f}",
            f"{row['nfr']:.1%}",
            f"{row['pfr']:.1%}",
            number(row["mcnemar_p"], ".2g"),
        )
    return table


def _backtests(tests: pd.DataFrame) -> Table:
    titles = ["family", "method", "held out", "error of accuracy", "log score", "covered", "fits"]
    title = "Backtests: the largest models as predicted from the smaller ones"
    table = titled(title, titles, names=2)
    table.columns[-1].justify = "left"
    for row in tests.to_dict("records"):
        table.add_row(
            str(row["family"]),
            str(row["method"]),
            str(row["held_out"]),
            number(row["mae"], ".4f"),
            number(row["log_score"], ".3f"),
            number(row["coverage"], ".0%"),
            soundness(row["status"], row["n_unsound"], row["n_forecasts"]),
        )
    return table


def soundness(status: str, unsound: int, count: int) -> str:
    """What a reader has to know of a method's fits, and of how many of its forecasts it is true."""
    return f"{status} ({unsound} of {count})" if 0 < unsound < count else status


def _fits(fits: pd.DataFrame) -> Table:
    titles = ["family", "task", "curve", "parameters (95 %)", "free", "status"]
    title = "Fits to all models (free: degrees of freedom; formulas in fits.csv)"
    table = titled(title, titles, names=4)
    table.columns[-1].justify = "left"
    for row in fits.to_dict("records"):
        table.add_row(
            *(str(row[name]) for name in titles[:3]),
            parameters(row),
            str(row["degrees_of_freedom"]),
            str(row["status"]),
        )
    return table


def parameters(row: Mapping[Hashable, Any]) -> str:
    """A fit's parameters in words, each with its interval if there is one."""
    return ", ".join(
        f"{name} {number(value, '.3g')}{_interval(row['low'][name], row['high'][name])}"
        for name, value in row["parameters"].items()
    )


def _interval(low: float, high: float) -> str:
    """Nothing for what is not known, is given, or has the same bound in all refits."""
    return "" if math.isnan(low) or low == high else f" ({low:.3g} to {high:.3g})"


def _levels(levels: pd.DataFrame) -> Table:
    titles = [
        "family",
        "task",
        "model",
        "compute",
        "log p_vocab",
        "p_choices",
        "-Brier",
        "accuracy",
    ]
    columns = ["log_p_vocab_correct", "p_choices_correct", "brier", "accuracy"]
    table = titled("Means over samples [log p_vocab in nats]", titles, names=3)
    for row in levels.to_dict("records"):
        table.add_row(
            *(str(row[name]) for name in titles[:3]),
            number(row["compute"], ".3g"),
            *(number(row[name], ".4g") for name in columns),
        )
    return table


def _correlations(scaled: pd.DataFrame) -> Table:
    titles = ["family", "task", "score", "mean", "p", "> 0.75", "by chance", "constant"]
    title = f"{METHOD.title()} of each sample with compute (p: one-sided, models permuted"
    capped = any(_ceiling(row) for row in scaled.to_dict("records"))
    title += "; of: the highest mean that ties allow)" if capped else ")"
    table = titled(title, titles, names=3)
    for row in scaled.to_dict("records"):
        table.add_row(
            str(row["family"]),
            str(row["task"]),
            SHORT.get(row["score"], row["score"]),
            number(row["mean"], ".3f") + _ceiling(row),
            number(row["null_p_value"], ".2g"),
            number(row["share_above"], ".1%"),
            number(row["null_share_above"], ".1%"),
            number(row["share_constant"], ".1%"),
        )
    return table


def _ceiling(row: Mapping[Hashable, Any]) -> str:
    """The highest mean that a score's ties allow, where they allow less than 1."""
    most = float(row.get("ceiling_mean", math.nan))
    return f" of {most:.3f}" if most < CAPPED else ""


CAPPED = 0.9995
"""A ceiling at or above this is shown as 1, and says nothing."""


def titled(title: str, titles: list[str], names: int) -> Table:
    """A table whose first columns are names and whose others are numbers."""
    table = Table(title=Text(title), title_justify="left")
    for place, text in enumerate(titles):
        # Where it is narrow names are folded: half a number is worse than none.
        if place < names:
            table.add_column(text, overflow="fold")
        else:
            table.add_column(Text(text, overflow="fold"), justify="right", min_width=6)
    return table


def number(value: float | None, form: str) -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None or math.isnan(value) else format(value, form)
