"""A comparison of two: in the terminal and as JSON."""

import json
import math
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from algoperf import disk
from scoring.leaderboard.compare import Comparison, Pair
from scoring.report.table import UNIT, between, duration, problems, share


def terminal(found: Comparison, console: Console) -> None:
    """Prints every pair."""
    for pair in found.pairs:
        console.print(_table(found, pair))
        console.print(verdict(pair), highlight=False, soft_wrap=True)
    for note in found.notes:
        console.print(Text(note, style="yellow"))
    for line in problems(found.problems):
        console.print(Text(line, style="yellow"))


def _table(found: Comparison, pair: Pair) -> Table:
    title = f"{pair.right} (B) against {pair.left} (A), rules {found.rules.name}"
    table = Table(title=Text(title), title_justify="left")
    unit = UNIT[found.axis]
    for place, heading in enumerate(
        ("workload", f"A [{unit}]", f"B [{unit}]", "B / A", "95 % interval", "pairs of studies")
    ):
        table.add_column(heading, justify="right" if place else "left", no_wrap=not place)
    for row in pair.rows.to_dict("records"):
        sign = (">= " if math.isinf(row["right"]) else "<= ") if row["bound"] else ""
        table.add_row(
            row["workload"],
            duration(row["left"]),
            duration(row["right"]),
            "-" if _unknown(row) else f"{sign}{row['ratio']:.2f}",
            "-" if _unknown(row) else between(row["low"], row["high"]),
            str(row["studies"]),
        )
    return table


def _unknown(row: Any) -> bool:
    neither = math.isinf(row["left"]) and math.isinf(row["right"])
    return neither or math.isnan(row["ratio"])


def verdict(pair: Pair) -> str:
    """What comes out, in one sentence."""
    if math.isnan(pair.ratio):
        return "No workload that either reached can be compared."
    sure = between(pair.low, pair.high)
    told = f"B needs {pair.ratio:.2f} times the time of A (geometric mean"
    if sure == "-":
        return f"{told}; of one study nobody can say how sure that is)."
    return (
        f"{told}, 95 % interval {sure}); B is the faster in {share(pair.faster)} of the resamples."
    )


def as_json(found: Comparison) -> str:
    """The form for other programs; null is a time that was never reached, or is not known."""
    raw = {
        "rules": found.rules.name,
        "time_axis": found.axis,
        "pairs": [
            {
                "left": pair.left,
                "right": pair.right,
                "ratio": pair.ratio,
                "interval": [pair.low, pair.high],
                "faster": pair.faster,
                "workloads": pair.rows.to_dict("records"),
            }
            for pair in found.pairs
        ],
        "notes": found.notes,
        "problems": [vars(problem) for problem in found.problems],
    }
    return json.dumps(disk.plain(raw), indent=2, allow_nan=False) + "\n"
