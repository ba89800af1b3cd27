"""The leaderboard's HTML report: its sections, in the order in which a reader asks."""

import json
import math
from collections.abc import Iterator

from algoperf import records
from scoring.leaderboard import views
from scoring.leaderboard.board import Leaderboard
from scoring.report import page, plots, table
from scoring.report.page import Cell, Section, Table, number


def html(board: Leaderboard) -> str:
    """The whole page."""
    sections = [
        Section("Leaderboard", list(_leaderboard(board))),
        Section("Performance profiles", list(_profiles(board))),
        Section("Times", [_heat_map(board), _test_times(board)]),
        Section("How sure is the order", list(_order(board))),
        Section("Training curves", list(_curves(board))),
        Section("Tuning", list(_tuning(board))),
        Section("Where the time went", [_shares(board)]),
        Section("Problems", list(_problems(board))),
        Section("Rules and provenance", list(_rules(board))),
    ]
    trials = len(board.logs.trials)
    names = f"{len(board.submissions)} submissions, {len(board.rules.base_workloads)} workloads"
    return page.render(
        f"Leaderboard, rules {board.rules.name}",
        f"{names}, {trials} trials; time in {board.axis}.",
        sections,
    )


def _leaderboard(board: Leaderboard) -> Iterator[page.Block]:
    sort_by = ["rank", "", "score", "low", "above_next", "workloads_reached", "speedup"]
    headings = table.headings(board)
    keys = [*sort_by, *headings[len(sort_by) :]]  # the rest are called as their columns are
    rows = [
        [_sortable(text, row, key) for text, key in zip(texts, keys, strict=True)]
        for row, texts in zip(board.scores.to_dict("records"), table.cells(board), strict=True)
    ]
    yield Table(headings, rows, "Best first; a rank with = is shared.", names=1)
    for text in (table.legend(board), table.order_holds(board), *board.notes):
        if text:
            yield text


def _sortable(text: str, row: table.Row, key: str) -> Cell:
    if not key:
        return Cell(text)
    value = float(row[key])
    return Cell(text, value if math.isfinite(value) else -1.0)


def _profiles(board: Leaderboard) -> Iterator[page.Block]:
    yield (
        "For each tau, the share of workloads on which a submission needs at most tau times what "
        "the fastest needs. Higher is better; at the left edge stand the workloads on which it is "
        "the fastest. The bands are 95 % bootstrap intervals."
    )
    words = "; ".join(
        f"{row['submission']} encloses {row['score']:.3f} of the area, and reaches "
        f"{row['workloads_reached']} workloads"
        for row in board.scores.to_dict("records")
    )
    figure = plots.performance_profile(board)
    yield page.picture(figure, "profile", "Performance profiles", f"{words}.")


def _heat_map(board: Leaderboard) -> Table:
    cutoff = board.rules.scoring.cutoff
    cell = {(r["submission"], r["workload"]): r for r in board.times.to_dict("records")}
    rows = []
    for workload in board.rules.base_workloads:
        row = [Cell(workload)]
        for submission in board.submissions:
            found = cell[submission, workload]
            text = table.time_and_ratio(found["time"], found["ratio"])
            near = (cutoff - found["ratio"]) / (cutoff - 1) if cutoff > 1 else 1.0
            shade = 0.05 + 0.5 * max(0.0, near) if math.isfinite(found["ratio"]) else None
            row.append(Cell(text, min(found["time"], 1e300), shade))
        rows.append(row)
    unit = table.UNIT[board.axis]
    caption = f"Time to the validation target [{unit}]; the darker, the nearer to the fastest."
    return Table(["workload", *board.submissions], rows, caption)


def _test_times(board: Leaderboard) -> Table:
    time = {
        (r["submission"], r["workload"]): r["test_time"] for r in board.times.to_dict("records")
    }
    rows = [
        [Cell(workload), *(_duration(time[name, workload]) for name in board.submissions)]
        for workload in board.rules.base_workloads
    ]
    unit = table.UNIT[board.axis]
    caption = f"Time to the test target [{unit}]; reported, not scored"
    return Table(["workload", *board.submissions], rows, caption)


def _duration(time: float) -> Cell:
    return Cell(table.duration(time), min(time, 1e300))


def _order(board: Leaderboard) -> Iterator[page.Block]:
    if board.has_intervals and len(board.submissions) > 1:
        words = "; ".join(
            f"{name}: "
            + ", ".join(
                f"rank {rank + 1} in {table.share(part)}"
                for rank, part in enumerate(board.ranks[place])
                if part > 0
            )
            for place, name in enumerate(board.submissions)
        )
        yield page.picture(plots.ranks(board), "ranks", "Ranks over the resamples", f"{words}.")
        rows = [
            [
                Cell(name),
                *(
                    Cell("") if place == other else Cell(table.share(part), float(part))
                    for other, part in enumerate(board.above[place])
                ),
            ]
            for place, name in enumerate(board.submissions)
        ]
        caption = (
            "In which share of the resamples the row scores above the column; a tie counts half"
        )
        yield Table(["above", *board.submissions], rows, caption)
    rows = [
        [
            Cell(f"{change.kind}: {change.what}"),
            *(number(change.scores.get(name, math.nan), "{:.3f}") for name in board.submissions),
            Cell(", ".join(f"{below} passes {above}" for above, below in change.swapped) or "no"),
        ]
        for change in board.changes
    ]
    if rows:
        yield Table(
            ["change", *board.submissions, "does the order change?"],
            rows,
            "The scores with one thing changed; tau_max is changed together with the cut-off.",
        )


def _curves(board: Leaderboard) -> Iterator[page.Block]:
    whose = "each submission's"
    if len(board.submissions) > plots.FRONT:
        whose = f"the first {plots.FRONT} submissions'"
    yield (
        f"Grey: all trials. In front {whose} fastest trial, with a dot where it reaches "
        "the target (dotted line). The wild beginnings are cut off."
    )
    for place, (workload, figure, words) in enumerate(plots.curves(board)):
        yield page.picture(figure, f"curve{place}", f"Training curves on {workload}", words)


def _tuning(board: Leaderboard) -> Iterator[page.Block]:
    won = views.tuning(board.logs.trials, board.chosen)
    rows = [
        [
            Cell(row["submission"]),
            Cell(row["workload"]),
            number(row["study"], "{:d}"),
            number(row["trial"], "{:d}"),
            _duration(row["time"]),
            Cell(f"{row['reached']} of {row['trials']}", row["reached"]),
            number(row["next"], "{:.2f}x"),
            Cell(_point(row["point"])),
        ]
        for row in won.to_dict("records")
    ]
    titles = ["submission", "workload", "study", "trial", "time", "reached", "next best", "point"]
    yield Table(titles, rows, "Which point won: one row a study that reached its target")
    swayed = views.hyperparameters(board.logs.trials)
    rows = [
        [
            Cell(row["submission"]),
            Cell(row["workload"]),
            Cell(row["hyperparameter"]),
            number(row["trials"], "{:d}"),
            number(row["spearman"], "{:+.2f}"),
        ]
        for row in swayed.to_dict("records")
    ]
    if rows:
        yield Table(
            ["submission", "workload", "hyperparameter", "trials", "rank correlation"],
            rows,
            "How time goes with each hyperparameter: +1 the larger the slower, -1 the faster; "
            "a target never reached counts as slowest",
        )


def _point(text: str) -> str:
    point = json.loads(text)
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in point.items()
    )


def _shares(board: Leaderboard) -> Table:
    rows = [
        [
            Cell(row["submission"]),
            *(number(row[part], "{:.1%}") for part in ("evaluation", "compile", "data")),
        ]
        for row in views.shares(board.logs).to_dict("records")
    ]
    caption = (
        "Evaluation as a share of the whole time; compilation and waiting for data as seconds over "
        "submission time. A dash is not recorded."
    )
    return Table(["submission", "evaluation", "compilation", "waiting for data"], rows, caption)


def _problems(board: Leaderboard) -> Iterator[page.Block]:
    yield table.endings(board)
    if not board.problems:
        yield "Nothing is wrong with the logs."
        return
    rows = [[Cell(p.path), Cell(p.problem), Cell(p.action)] for p in board.problems]
    yield Table(["where", "problem", "what was done"], rows, f"{len(rows)} problems")


def _rules(board: Leaderboard) -> Iterator[page.Block]:
    rules, scoring = board.rules, board.rules.scoring
    area = (
        "exact"
        if scoring.profile_points is None
        else f"trapezoid rule over {scoring.profile_points} points"
    )
    yield (
        f"Area of the profile from tau {scoring.tau_min:g} to {scoring.tau_max:g} ({area}); "
        f"cut-off at {scoring.cutoff:g} times the fastest; a study's time is that of its "
        f"{str(scoring.choice).replace('_', ' ')} trial; held out: "
        f"{', '.join(rules.held_out) or 'nothing'}."
    )
    rows = []
    for name in (*rules.base_workloads, *rules.held_out):
        fixed = rules.workloads[name]
        sign = ">=" if fixed.validation.higher_is_better else "<="
        rows.append(
            [
                Cell(name),
                Cell(f"{fixed.validation.metric} {sign} {fixed.validation.value:g}"),
                number(fixed.test.value),
                _duration(fixed.budget_s),
                number(fixed.step_hint, "{:d}"),
            ]
        )
    titles = ["workload", "validation target", "test target", "budget [s]", "step hint"]
    yield Table(titles, rows, f"What the rules {rules.name} fix")
    yield Table(
        ["submission", "source", "machine", "versions"],
        list(_provenance(board)),
        "Which file was run, where and with what; a dash is not recorded",
    )


def _provenance(board: Leaderboard) -> Iterator[list[Cell]]:
    for submission in board.submissions:
        own = board.logs.trials[board.logs.trials["submission"] == submission]
        manifest = records.read_manifest(own["path"].iloc[0]) or {}
        source = str(manifest.get("submission", {}).get("sha256", ""))[:12]
        machine = manifest.get("machine", {})
        versions = manifest.get("versions", {})
        yield [
            Cell(submission),
            Cell(f"sha256 {source}" if source else "-"),
            Cell(", ".join(f"{machine[key]}" for key in ("cpu", "cores") if key in machine) or "-"),
            Cell(", ".join(f"{name} {version}" for name, version in versions.items()) or "-"),
        ]
