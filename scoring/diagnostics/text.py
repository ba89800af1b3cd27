"""The diagnosis in the terminal: what a person needs to see first."""

import math
from collections.abc import Iterator

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scoring.diagnostics.study import Diagnosis

METHOD = "spearman"
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
    levels, scaled = found.tables["levels"], found.tables["correlations"]
    if not levels.empty:
        yield _levels(levels[levels["normalisation"] == "raw"])
    if not scaled.empty:
        yield _correlations(
            scaled[(scaled["normalisation"] == "raw") & (scaled["method"] == METHOD)]
        )


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
    title = f"{METHOD.title()} of each sample with compute (p: one-sided, models permuted)"
    table = titled(title, titles, names=3)
    for row in scaled.to_dict("records"):
        table.add_row(
            str(row["family"]),
            str(row["task"]),
            SHORT.get(row["score"], row["score"]),
            number(row["mean"], ".3f"),
            number(row["null_p_value"], ".2g"),
            number(row["share_above"], ".1%"),
            number(row["null_share_above"], ".1%"),
            number(row["share_constant"], ".1%"),
        )
    return table


def titled(title: str, titles: list[str], names: int) -> Table:
    """A table whose first columns are names and whose others are numbers."""
    table = Table(title=Text(title), title_justify="left")
    for place, text in enumerate(titles):
        table.add_column(text, justify="left" if place < names else "right", no_wrap=place < names)
    return table


def number(value: float | None, form: str) -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None or math.isnan(value) else format(value, form)
