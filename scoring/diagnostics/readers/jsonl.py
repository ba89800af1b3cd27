"""JSON files of samples, line by line, so that memory does not grow with the prompts."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from algoperf.errors import UserError
from scoring.problems import Problem

MOST_LINES_TOLD = 5
"""Faulty lines of one file that are told one by one; beyond, their number."""


def records(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, object) of every line; what is no object is told and left out.

    Also reads the files of lm-evaluation-harness before 0.4.3, named `.jsonl` and in truth one
    indented JSON array, whose objects are numbered as lines.

    Raises:
        UserError: If the file cannot be read.
    """
    faults: list[tuple[int, str]] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            is_array = lines.read(1) == "["
            lines.seek(0)
            for number, found in _array(path, lines.read()) if is_array else _lines(lines):
                if isinstance(found, dict):
                    yield number, found
                else:
                    fault = str(found) if isinstance(found, ValueError) else "not an object"
                    faults.append((number, fault))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    kind = "object" if is_array else "line"
    for number, fault in faults[:MOST_LINES_TOLD]:
        what = f"{kind} {number} is truncated or no JSON ({fault})"
        problems.append(Problem(str(path), what, f"left the {kind} out"))
    if (more := len(faults) - MOST_LINES_TOLD) > 0:
        problems.append(Problem(str(path), f"{more} more {kind}s are no JSON", "left them out"))


def _lines(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Each line's number, and what it holds or the error of its being no JSON."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError as error:
                found = error
            except RecursionError:
                found = ValueError("nested too deeply")
            yield number, found


def _array(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is a JSON array that is cut off or faulty: {error}.") from error
    yield from enumerate(found, 1)


def first(path: Path) -> Mapping[str, Any]:
    """The first object of a file, empty if there is none."""
    return next((record for _, record in records(path, [])), {})


def document(path: Path) -> Mapping[str, Any]:
    """A JSON file that holds one object; empty if it is absent or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
