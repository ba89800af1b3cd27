"""The leaderboard's files: what other programs and other people read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from algoperf.errors import UserError
from scoring.leaderboard.board import Leaderboard
from scoring.report import plots, table


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What cannot be written is the user's mistake."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from error


def write_json(board: Leaderboard, path: Path) -> None:
    """Every number that the table shows, and more."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(board.as_json(), indent=2, allow_nan=False) + "\n")


def write_report(board: Leaderboard, folder: Path) -> list[Path]:
    """`leaderboard.{csv,md,json}` and the performance profile as PNG and SVG.

    Returns:
        The files written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return _write(board, folder)


def _write(board: Leaderboard, folder: Path) -> list[Path]:
    written = [folder / f"leaderboard.{kind}" for kind in ("csv", "md", "json")]
    wide = board.times.pivot_table(index="submission", columns="workload", values="time")
    wide = wide.reindex(columns=board.rules.base_workloads).add_prefix("time/")
    board.scores.merge(wide.reset_index(), on="submission").to_csv(written[0], index=False)
    written[1].write_text(table.markdown(board))
    write_json(board, written[2])
    return [*written, *plots.save(plots.performance_profile(board), folder / "profile")]
