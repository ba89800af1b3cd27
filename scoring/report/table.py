"""The leaderboard as a table: in the terminal and in Markdown, from the same cells."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from algoperf.errors import few
from scoring.intervals import LEVEL
from scoring.leaderboard.board import Leaderboard
from scoring.problems import Problem

UNIT = {"seconds": "s", "steps": "steps", "examples": "examples", "flops": "FLOPs"}

Row = Mapping[Hashable, Any]

_FIRST = 6
"""Columns of the leaderboard that stand in the first table of the terminal."""

_ALIKE = 3
"""More problems or changes alike than that are not listed one by one; the files have them all."""


def headings(board: Leaderboard) -> list[str]:
    """Titles of the leaderboard's columns."""
    titles = ["rank", "submission", "score", "95 % interval", "above next", "reached"]
    titles.append(f"speedup over {board.reference}")
    if _rests(board, "slowed"):
        titles.append("slowed")
    if _rests(board, "verified") or _rests(board, "mismatched"):
        titles.append("verified")
    return titles


def _rests(board: Leaderboard, mark: str) -> bool:
    return bool(board.scores[mark].any())


def cells(board: Leaderboard) -> list[list[str]]:
    """The leaderboard's rows, best first, as text."""
    return [_cells(board, row) for row in board.scores.to_dict("records")]


def _cells(board: Leaderboard, row: Row) -> list[str]:
    total = len(board.rules.base_workloads)
    shared = (board.scores["rank"] == row["rank"]).sum() > 1
    found = [
        f"{row['rank']}{'=' if shared else ''}",
        row["submission"],
        f"{row['score']:.4f}",
        between(row["low"], row["high"], 3),
        ("~ " if row["above_next"] < LEVEL else "") + share(row["above_next"]),
        f"{row['workloads_reached']}/{total}",
        speedup(row, board.reference),
    ]
    if _rests(board, "slowed"):
        found.append(f"{row['slowed']} of {row['studies']}")
    if _rests(board, "verified") or _rests(board, "mismatched"):
        wrong = f", {row['mismatched']} MISMATCH" if row["mismatched"] else ""
        found.append(f"{row['verified']} of {row['studies']}{wrong}")
    return found


def between(low: float, high: float, digits: int = 2) -> str:
    """An interval; a dash where there is none."""
    return "-" if math.isnan(low) else f"{low:.{digits}f}-{high:.{digits}f}"


def share(value: float) -> str:
    """A share in per cent, and never 100 % or 0 % of what was sampled."""
    if math.isnan(value):
        return "-"
    return "> 99 %" if value > 0.99 else "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def speedup(row: Row, reference: str) -> str:
    """A speed-up with its interval; the reference's own is certain."""
    if math.isnan(row["speedup"]):
        return "-"
    certain = math.isnan(row["speedup_low"]) or row["submission"] == reference
    sure = "" if certain else f" ({between(row['speedup_low'], row['speedup_high'])})"
    return f"{row['speedup']:.2f}{sure}"


def times(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Times and ratios as (titles, rows), the longer of the two lists downwards.

    Submissions stand in the order of their rank. A dash is a target that was not reached.
    """
    cell = {
        (row["submission"], row["workload"]): time_and_ratio(row["time"], row["ratio"])
        for row in board.times.to_dict("records")
    }
    submissions, workloads = board.submissions, board.rules.base_workloads
    if len(workloads) <= len(submissions):
        return ["submission", *workloads], [
            [s, *(cell[s, w] for w in workloads)] for s in submissions
        ]
    return ["workload", *submissions], [[w, *(cell[s, w] for s in submissions)] for w in workloads]


def time_and_ratio(time: float, ratio: float) -> str:
    """A time with its ratio to the fastest; one that the rules void stands in brackets."""
    number = duration(time)
    if not math.isfinite(time):
        return number
    return f"{number} ({ratio:.2f}x)" if math.isfinite(ratio) else f"[{number}]"


def duration(time: float) -> str:
    """A time with four figures; a dash where it is not finite."""
    if not math.isfinite(time):
        return "-"
    return f"{time:.4g}" if time < 1e4 or time >= 1e7 else f"{time:,.0f}"


def legend(board: Leaderboard) -> str:
    """How to read the table, in a few sentences."""
    told = (
        "Median over studies of the time to the validation target, and its ratio to the fastest; "
        f"'-' not reached, in brackets beyond {board.rules.scoring.cutoff:g}x the fastest or "
        "voided by a held-out variant."
    )
    if board.has_intervals:
        told += (
            " Intervals: bootstrap over studies. 'above next': in how many resamples the row "
            "scores above the one below, ~ where that is less than 95 %. Rows share a rank (=) if "
            "the best of them is above the row in fewer than 95 % of resamples."
        )
    return told


def endings(board: Leaderboard) -> str:
    """How many trials ended in which way."""
    counts = board.logs.trials["status"].replace("", "ending not recorded").value_counts()
    parts = [f"{count} {str(name).replace('_', ' ')}" for name, count in counts.items()]
    return f"{len(board.logs.trials)} trials: {', '.join(parts)}."


def order_holds(board: Leaderboard) -> str:
    """How far the order depends on the field, the suite, tau and the time axis, in a sentence."""
    if len(board.submissions) < 2:
        return ""
    swapped = [change for change in board.changes if change.swapped]
    found = (
        f"The order holds in {len(board.changes) - len(swapped)} of {len(board.changes)} changes"
    )
    found += " of the field, the suite, tau_max and the time axis"
    if not swapped:
        return f"{found}."
    parts = [f"{change.kind} ({change.what}): {_passes(change.swapped)}" for change in swapped]
    return f"{found}; not with {'; '.join(parts)}."


def _passes(swapped: Sequence[tuple[str, str]]) -> str:
    return few([f"{below} passes {above}" for above, below in swapped], _ALIKE)


def terminal(board: Leaderboard, console: Console) -> None:
    """Prints the leaderboard."""
    lines = [Text(text, style="dim") for text in (legend(board), endings(board)) if text]
    lines += [Text(text) for text in [order_holds(board)] if text]
    lines += [Text(note, style="yellow") for note in board.notes]
    lines += [Text(line, style="yellow") for line in problems(board.problems)]
    titles, rows = headings(board), cells(board)
    main = _table(
        f"Leaderboard, rules {board.rules.name}",
        titles[:_FIRST],
        [row[:_FIRST] for row in rows],
        1,
    )
    # Two tables, since one would be cut off in a narrow terminal.
    rest = _table(
        "Speed, and what the times rest on",
        [titles[1], *titles[_FIRST:]],
        [[row[1], *row[_FIRST:]] for row in rows],
    )
    by_workload = _table(f"Time-to-result [{UNIT[board.axis]}]", *times(board))
    console.print(Group(main, rest, by_workload, *lines))


def problems(found: Sequence[Problem]) -> Iterator[str]:
    """A line a problem; of many alike one line, with how many there are."""
    alike: dict[tuple[str, str], list[str]] = {}
    for problem in found:
        alike.setdefault((problem.problem, problem.action), []).append(problem.path)
    for (what, action), paths in alike.items():
        if len(paths) <= _ALIKE:
            yield from (f"Problem: {path}: {what}; {action}." for path in paths)
        else:
            yield f"Problem in {len(paths)} places, as in {paths[0]}: {what}; {action}."


def _table(title: str, heading: list[str], rows: list[list[str]], named: int = 0) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for place, text in enumerate(heading):
        # Where there is too little room a long name takes two lines, and no number is cut.
        table.add_column(
            text,
            justify="left" if place == named else "right",
            overflow="fold",
            no_wrap=place != named and len(heading) <= _FIRST,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def markdown(board: Leaderboard) -> str:
    """The leaderboard as a Markdown document."""
    lines = [f"# Leaderboard, rules {board.rules.name}", "", *pipes(headings(board), cells(board))]
    lines += ["", f"## Time-to-result [{UNIT[board.axis]}]", ""]
    lines += pipes(*times(board))
    for text in (legend(board), endings(board), order_holds(board), *board.notes):
        lines += ["", text] if text else []
    if board.problems:
        rows = [[p.path, p.problem, p.action] for p in board.problems]
        lines += ["", "## Problems", "", *pipes(["where", "problem", "what was done"], rows)]
    return "\n".join(lines) + "\n"


def pipes(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (heading, ["---"] * len(heading), *rows)
    ]
