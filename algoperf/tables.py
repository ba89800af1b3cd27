"""The CSV tables of a trial while they grow, and whether anybody else wrote to them. No jax."""

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from algoperf.disk import file_sha256, recording
from algoperf.errors import UserError


class Tables:
    """What was added to each table. All methods raise `CannotRecord`.

    Args:
        folder: The trial's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._columns: dict[str, list[str]] = {}
        self._digests: dict[str, Any] = {}

    @property
    def files(self) -> list[str]:
        """Names of those that were added to."""
        return list(self._columns)

    def add(self, file: str, columns: list[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows; the columns are those of the first call for this file."""
        path = self._folder / file
        lines = [] if file in self._columns else [columns]
        columns = self._columns.setdefault(file, columns)
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([*lines, *([row[column] for column in columns] for row in rows)])
        written = text.getvalue().encode()
        self._digests.setdefault(file, hashlib.sha256()).update(written)
        with recording(path), path.open("ab") as opened:
            # In one piece for each evaluation: a reader never sees half a row.
            opened.write(written)

    def go_on_from(self, files: Iterable[str]) -> None:
        """Takes these, as they are, for what was added until now."""
        paths = {file: self._folder / file for file in files}
        with recording(self._folder):
            self._columns = {file: _columns(path) for file, path in paths.items()}
            self._digests = {f: hashlib.sha256(p.read_bytes()) for f, p in paths.items()}

    def check(self) -> None:
        """Makes sure that the tables hold what was added to them.

        Raises:
            UserError: If somebody else wrote there.
        """
        for file, digest in self._digests.items():
            with recording(self._folder):
                found = file_sha256(self._folder / file)
            if found != digest.hexdigest():
                raise UserError(
                    f"{file} does not hold what was written: the submission changed the trial's "
                    "record, which the rules forbid (docs/rules.md)."
                )


def _columns(table: Path) -> list[str]:
    with table.open(newline="") as file:
        return next(csv.reader(file))
