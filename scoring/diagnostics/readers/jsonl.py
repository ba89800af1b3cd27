"""JSON files of samples, one record at a time, so that memory does not grow with the prompts."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from algoperf.errors import UserError
from scoring.problems import Problem

MOST_LINES_TOLD = 5
"""Faulty lines of one file that are told one by one; beyond, their number."""
CHUNK = 1 << 16
"""Characters of a JSON array that are read at a time; more where one record is longer."""

_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_WORD = len("-Infinity")
"""Characters of a JSON value, other than a text, that tell nothing before the last of them."""


def records(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, object) of every line; what is no object is told and left out.

    Also reads the files of lm-evaluation-harness before 0.4.3, named `.jsonl` and in truth one
    indented JSON array, whose objects are numbered as lines.

    Raises:
        UserError: If the file cannot be read, or is an array that is cut off or faulty.
    """
    faults: list[tuple[int, str]] = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            is_array = lines.read(1) == "["
            lines.seek(0)
            for number, found in _array(path, lines) if is_array else _lines(lines):
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


def _array(path: Path, text: TextIO) -> Iterator[tuple[int, Any]]:
    """Each element of an array, numbered from 1.

    Raises:
        UserError: If it is cut off or faulty, since how much would be missing is not known.
    """
    number = 1
    try:
        for found in _elements(_Reading(text)):
            yield number, found
            number += 1
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(
            f"{path} is a JSON array that is cut off or faulty at object {number}: {what}. Write "
            "the file again, or end the array before that object."
        ) from error


def _elements(text: "_Reading") -> Iterator[Any]:
    text.mark()  # the bracket that opens the array
    mark = text.mark() if text.peek() == "]" else ","
    while mark == ",":
        yield text.value()
        mark = text.mark()
    if mark != "]":
        raise ValueError("there is no comma before it" if mark else "the file ends before it")
    if text.peek():
        raise ValueError("the array ends before it")


class _Reading:
    """Values of a JSON text, of which a piece is held at a time."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._held = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            if (space := _SPACE.match(self._held, self._at)) is not None:
                self._at = space.end()
            if self._at < len(self._held) or not self._more():
                return self._held[self._at : self._at + 1]

    def mark(self) -> str:
        """The same, and goes on behind it."""
        found = self.peek()
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value.

        Raises:
            ValueError: If it is none, or the text ends within it.
        """
        while self.peek():
            try:
                found, end = self._decoder.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                # What is cut off fails at its end, or in a text that has not ended.
                open_text = error.msg.startswith("Unterminated")
                if open_text or error.pos > len(self._held) - _LONGEST_WORD:
                    if self._more():
                        continue
                    if open_text or error.pos >= len(self._held.rstrip()):
                        raise ValueError("the file ends within it") from error
                raise ValueError(error.msg) from error
            # A number might go on: of 1e5, 1 is one.
            if end < len(self._held) - _LONGEST_WORD or not self._more():
                self._at = end
                return found
        raise ValueError("the file ends before it")

    def _more(self) -> bool:
        """Reads on, twice as much as is left: a long value is tried a few times only."""
        left = len(self._held) - self._at
        if not (piece := self._text.read(max(CHUNK, left))):
            return False
        self._held = self._held[self._at :] + piece
        self._at = 0
        return True


def first(path: Path) -> Mapping[str, Any]:
    """The first object of a file, empty if there is none."""
    return next((record for _, record in records(path, [])), {})


def document(path: Path) -> Mapping[str, Any]:
    """A JSON file that holds one object; empty if it is absent or holds something else."""
    try:
        return mapping(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError):
        return {}


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; empty if the value is something else."""
    return value if isinstance(value, dict) else {}
