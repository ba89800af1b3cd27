"""The leaderboard's files: what other programs and other people read."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from algoperf import records
from algoperf.errors import UserError
from scoring.leaderboard.board import Leaderboard
from scoring.report import table

_KEY = ".report"
"""Holds what the report in this folder was made of: if that is the same, it is not drawn again."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What cannot be written is the user's mistake."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from error


def write_json(board: Leaderboard, path: Path) -> None:
    """Every number that the table shows, and more."""
    write_text(path, _json(board))


def write_text(path: Path, text: str) -> None:
    """Writes a file and the folders above it.

    Raises:
        UserError: If it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _json(board: Leaderboard) -> str:
    return json.dumps(board.as_json(), indent=2, allow_nan=False) + "\n"


def write_report(board: Leaderboard, folder: Path) -> list[Path]:
    """`leaderboard.{csv,md,json}`, `report.html`, and the plots as PNG and SVG.

    A report that was made of the same numbers is left as it is.

    Returns:
        The files of the report.
    """
    names = [*(f"leaderboard.{kind}" for kind in ("csv", "md", "json")), "report.html"]
    names += [f"{plot}.{kind}" for plot in _plots(board) for kind in ("png", "svg")]
    paths = [folder / name for name in names]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = _json(board)
        key = _key(board, text)
        if not _is_current(folder, paths, key):
            (folder / _KEY).unlink(missing_ok=True)
            _write(board, folder, text)
            (folder / _KEY).write_text(key)
    return paths


def _plots(board: Leaderboard) -> list[str]:
    return ["profile", "ranks"] if board.has_intervals else ["profile"]


def _key(board: Leaderboard, text: str) -> str:
    """Of all that the report shows: the numbers, the curves, and the code that draws them."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    digest.update(board.logs.evaluations.to_numpy().tobytes())
    digest.update(repr(board.rules).encode())
    # Points and provenance are read for the report alone: that they changed is seen from outside.
    for path in board.logs.trials["path"]:
        for name in (records.HYPERPARAMETERS, records.MANIFEST):
            digest.update(repr(_seen_from_outside(path / name)).encode())
    for source in sorted(Path(__file__).parent.glob("*.*")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _seen_from_outside(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _is_current(folder: Path, paths: list[Path], key: str) -> bool:
    try:
        return (folder / _KEY).read_text() == key and all(path.is_file() for path in paths)
    except OSError:
        return False


def _write(board: Leaderboard, folder: Path, text: str) -> None:
    from scoring.report import board_page, page, plots  # half a second that --json does not need

    wide = board.times.pivot_table(index="submission", columns="workload", values="time")
    wide = wide.reindex(columns=list(board.rules.base_workloads)).add_prefix("time/")
    board.scores.merge(wide.reset_index(), on="submission").to_csv(
        folder / "leaderboard.csv", index=False
    )
    (folder / "leaderboard.md").write_text(table.markdown(board))
    (folder / "leaderboard.json").write_text(text)
    (folder / "report.html").write_text(board_page.html(board))
    draw = {"profile": plots.performance_profile, "ranks": plots.ranks}
    for name in _plots(board):
        page.save(draw[name](board), folder / name)
