"""Files of other tools to the long choice table. A reader is chosen by what a file holds."""

from collections.abc import Sequence
from pathlib import Path

from algoperf.errors import UserError
from scoring.diagnostics.readers import tidy
from scoring.diagnostics.table import Rows, concat

TABLES = (".csv", ".tsv", ".parquet")


def read(paths: Sequence[Path]) -> Rows:
    """Reads files and folders, all into one table.

    Raises:
        UserError: If a path does not exist, or is a file that no reader knows.
    """
    found = [tidy.read(path) for path in paths]
    return Rows(
        concat([rows.frame for rows in found]), [p for rows in found for p in rows.problems]
    )


def check_there(paths: Sequence[Path]) -> None:
    """All that are missing in one error."""
    if absent := [str(path) for path in paths if not path.exists()]:
        raise UserError(f"There is no file or folder {', '.join(map(repr, absent))}.")
