"""Files of other tools to the long choice table. A reader is chosen by what a file holds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics import frequency, mink
from scoring.diagnostics.readers import jsonl, lm_eval, olmes, tidy
from scoring.diagnostics.table import Rows, concat
from scoring.leaderboard.logs import Problem

TABLES = (".csv", ".tsv", ".parquet")
KNOWN = "samples of lm-evaluation-harness, predictions of OLMES, or a tidy CSV or Parquet table"


def check_there(paths: Sequence[Path]) -> None:
    """All that are missing in one error."""
    if absent := [str(path) for path in paths if not path.exists()]:
        raise UserError(f"There is no file or folder {', '.join(map(repr, absent))}.")


@dataclass(frozen=True)
class Found:
    """What the files hold.

    Attributes:
        rows: The choice table; None if there is none.
        tokens: Tables of token log-probabilities.
        frequencies: Tables of concept frequencies.
        problems: What was wrong with files that hold none of these.
    """

    rows: Rows | None
    tokens: list[pd.DataFrame]
    frequencies: list[pd.DataFrame]
    problems: list[Problem]


def read(paths: Sequence[Path]) -> Found:
    """Reads files and folders, those of one kind into one table.

    Of a folder every `.jsonl` below it is read; what no reader knows is told there, while a file
    that was named has to be known.

    Raises:
        UserError: If a file is of another tool, or there is nothing to diagnose.
    """
    found = Found(None, [], [], [])
    problems: list[Problem] = []
    frames = []
    for path, named in _files(paths):
        columns = set(tidy.columns_of(path)) if path.suffix == ".csv" else set()
        if columns.issuperset(mink.REQUIRED):
            found.tokens.append(mink.read(path))
            continue
        if columns.issuperset(frequency.REQUIRED):
            found.frequencies.append(frequency.read(path))
            continue
        reader = _reader(path)
        if reader is None and named:
            raise UserError(f"{path} is of another tool. Known are {KNOWN}.")
        if reader is None:
            problems.append(Problem(str(path), "is of another tool", "left it out"))
            continue
        rows = reader(path)
        problems += rows.problems
        if not rows.frame.empty:
            frames.append(rows.frame)
    if not frames and (problems or not (found.tokens or found.frequencies)):
        faults = [f"{p.path}: {p.problem}" for p in problems] or [f"there is no file ({KNOWN})"]
        raise UserError.of_many("There are no multiple-choice samples to diagnose:", faults)
    if len({"loglik_sum" in frame for frame in frames}) > 1:
        raise UserError(
            "Tables of choices and tables of scores alone cannot be diagnosed together."
        )
    rows = Rows(concat(frames), problems) if frames else None
    return replace(found, rows=rows, problems=[] if rows else problems)


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Every file once, and whether it was named itself."""
    seen = set()
    for path in paths:
        for file in sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, not path.is_dir()


def _reader(path: Path) -> Callable[[Path], Rows] | None:
    if path.suffix in TABLES:
        return tidy.read
    record = jsonl.first(path)
    for tool in (lm_eval, olmes):
        if tool.knows(record):
            return tool.read
    return None
