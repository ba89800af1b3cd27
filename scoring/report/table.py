"""The leaderboard as a table: in the terminal and in Markdown, from the same cells."""

import math

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from scoring.leaderboard.board import Leaderboard

UNIT = {"seconds": "s", "steps": "steps", "examples": "examples", "flops": "FLOPs"}


def headings(board: Leaderboard) -> list[str]:
    """Titles of the leaderboard's columns."""
    speedup = f"speedup over {board.reference}"
    return ["rank", "submission", "score", "95 % interval", "reached", speedup]


def cells(board: Leaderboard) -> list[list[str]]:
    """The leaderboard's rows, best first, as text."""
    total = len(board.rules.base_workloads)
    return [
        [
            str(row["rank"]),
            row["submission"],
            f"{row['score']:.4f}",
            f"{row['low']:.2f} to {row['high']:.2f}" if board.has_intervals else "-",
            f"{row['workloads_reached']}/{total}",
            "-" if math.isnan(row["speedup"]) else f"{row['speedup']:.2f}",
        ]
        for row in board.scores.to_dict("records")
    ]


def times(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Times and ratios as (titles, rows), the longer of the two lists downwards.

    Submissions stand in the order of their rank. A dash is a target that was not reached.
    """
    cell = {
        (row["submission"], row["workload"]): _time(row["time"], row["ratio"])
        for row in board.times.to_dict("records")
    }
    submissions, workloads = list(board.scores["submission"]), board.rules.base_workloads
    if len(workloads) <= len(submissions):
        return ["submission", *workloads], [
            [s, *(cell[s, w] for w in workloads)] for s in submissions
        ]
    return ["workload", *submissions], [[w, *(cell[s, w] for s in submissions)] for w in workloads]


def _time(time: float, ratio: float) -> str:
    """A time with its ratio to the fastest; one that the rules void stands in brackets."""
    if not math.isfinite(time):
        return "-"
    number = f"{time:.4g}" if time < 1e4 or time >= 1e7 else f"{time:,.0f}"
    return f"{number} ({ratio:.2f}x)" if math.isfinite(ratio) else f"[{number}]"


def legend(board: Leaderboard) -> str:
    """How to read the table, in one sentence."""
    return (
        "Median over studies of the time to the validation target, and its ratio to the fastest; "
        f"'-' not reached, in brackets beyond {board.rules.tau_max:g}x the fastest or voided by a "
        "held-out variant."
    )


def endings(board: Leaderboard) -> str:
    """How many trials ended in which way."""
    counts = board.trials["status"].replace("", "ending not recorded").value_counts()
    parts = [f"{count} {str(name).replace('_', ' ')}" for name, count in counts.items()]
    return f"{len(board.trials)} trials: {', '.join(parts)}."


def terminal(board: Leaderboard, console: Console) -> None:
    """Prints the leaderboard."""
    lines = [Text(text, style="dim") for text in (legend(board), endings(board))]
    lines += [Text(note, style="yellow") for note in board.notes]
    lines += [
        Text(f"Problem: {p.path}: {p.problem}; {p.action}.", style="yellow") for p in board.problems
    ]
    main = _table(f"Leaderboard, rules {board.rules.name}", headings(board), cells(board), 1)
    by_workload = _table(f"Time-to-result [{UNIT[board.axis]}]", *times(board))
    console.print(Group(main, by_workload, *lines))


def _table(title: str, heading: list[str], rows: list[list[str]], named: int = 0) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for place, text in enumerate(heading):
        table.add_column(text, justify="left" if place == named else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def markdown(board: Leaderboard) -> str:
    """The leaderboard as a Markdown document."""
    lines = [f"# Leaderboard, rules {board.rules.name}", "", *_pipes(headings(board), cells(board))]
    lines += ["", f"## Time-to-result [{UNIT[board.axis]}]", ""]
    lines += _pipes(*times(board))
    lines += ["", legend(board), "", endings(board)]
    for note in board.notes:
        lines += ["", note]
    if board.problems:
        rows = [[p.path, p.problem, p.action] for p in board.problems]
        lines += ["", "## Problems", "", *_pipes(["where", "problem", "what was done"], rows)]
    return "\n".join(lines) + "\n"


def _pipes(heading: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (heading, ["---"] * len(heading), *rows)
    ]
