"""Files of other tools to the long choice table. A reader is chosen by what a file holds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics import frequency, mink
from scoring.diagnostics.readers import jsonl, lm_eval, olmes, tidy, trials
from scoring.diagnostics.readers.samples import printable
from scoring.diagnostics.table import Rows, concat
from scoring.problems import Problem

TABLES = (".csv", ".tsv", ".parquet")
RECORDS = (".jsonl", ".json")
KNOWN = (
    "samples of lm-evaluation-harness and predictions of OLMES (.jsonl), tidy tables (.csv, .tsv, "
    ".parquet), and folders of those samples, predictions, or trials of this benchmark"
)


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

    Of a folder every `.jsonl` below it is read, and of every trial the last evaluation; what no
    reader knows is told there, while a file that was named has to be known.

    Raises:
        UserError: If a file is of another tool, or there is nothing to diagnose.
    """
    found = Found(None, [], [], [])
    problems: list[Problem] = []
    frames = []
    for source in _sources(paths, problems):
        path = source.path
        table = path.suffix.lower() == ".csv" and source.named
        columns = set(tidy.columns_of(path)) if table else set()
        if columns.issuperset(mink.REQUIRED):
            found.tokens.append(mink.read(path))
            continue
        if columns.issuperset(frequency.REQUIRED):
            found.frequencies.append(frequency.read(path))
            continue
        reader = source.reader or _reader(path)
        if reader is None:
            what = _unknown(path)
            if source.named:
                raise UserError(f"{path} {what}. Known are {KNOWN}.")
            problems.append(Problem(str(path), what, "left it out"))
            continue
        rows = reader(path)
        problems += rows.problems
        if not rows.frame.empty:
            frames.append(rows.frame)
    if not frames and (problems or not (found.tokens or found.frequencies)):
        faults = [f"{p.path}: {p.problem}" for p in problems]
        raise UserError.of_many("There are no multiple-choice samples to diagnose:", faults)
    if len({"loglik_sum" in frame for frame in frames}) > 1:
        raise UserError(
            "Tables of choices and tables of scores alone cannot be diagnosed together."
        )
    problems = [Problem(*map(printable, (p.path, p.problem, p.action))) for p in problems]
    rows = Rows(concat(frames), problems) if frames else None
    return replace(found, rows=rows, problems=[] if rows else problems)


@dataclass(frozen=True)
class _Source:
    """A file to read: whether it was named itself, and by what, where that is known."""

    path: Path
    named: bool
    reader: Callable[[Path], Rows] | None = None


def _sources(paths: Sequence[Path], problems: list[Problem]) -> Iterator[_Source]:
    """Every file once."""
    seen = set()
    for path in paths:
        for source in _of_folder(path, problems) if path.is_dir() else [_Source(path, named=True)]:
            if (resolved := source.path.resolve()) not in seen:
                seen.add(resolved)
                yield source


def _of_folder(folder: Path, problems: list[Problem]) -> list[_Source]:
    if (own := trials.of_one(folder)) is not None:
        return [_Source(own, named=True)]
    told = len(problems)
    found = [_Source(file, named=False) for file in sorted(folder.rglob("*.jsonl"))]
    found += [_Source(table, False, trials.read) for table in trials.below(folder, problems)]
    if not found and len(problems) == told:
        tables = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in TABLES)
        there = f"; name its tables one by one ({_some(tables)})" if tables else f". Known: {KNOWN}"
        what = f"is a folder without a .jsonl file and without trials{there}"
        problems.append(Problem(str(folder), what, "left it out"))
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _reader(path: Path) -> Callable[[Path], Rows] | None:
    kind = path.suffix.lower()
    if kind in TABLES:
        return tidy.read
    if kind not in RECORDS:
        told = f"is a {kind} file" if kind else "has no ending that tells what it is"
        raise UserError(f"{path} {told}, which is not read. Known are {KNOWN}.")
    record = jsonl.first(path)
    for tool in (lm_eval, olmes):
        if tool.knows(record):
            return tool.read
    return None


def _unknown(path: Path) -> str:
    """Why no reader knows a file of records."""
    faults: list[Problem] = []
    if any(True for _ in jsonl.records(path, faults)):
        return "is of another tool"
    return f"holds no record: {faults[0].problem}" if faults else "is empty"
