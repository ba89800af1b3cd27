"""Small CSV tables as text, read strictly: whatever is amiss is told with its row."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from algoperf.errors import UserError


def row(number: int) -> str:
    """Where that row of a file is, in words; a table that was read has the number as its index."""
    return f"row {number} (the header is row 1)"


def read(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Every cell as it stands, without spaces around it; the index is the row's number in the file.

    Args:
        path: A CSV file with a header, in UTF-8.
        required: Columns that it must have.

    Raises:
        UserError: If it is none, is empty, lacks a column, has one twice, or has a row of another
            length.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = [
                (number, [cell.strip() for cell in cells])
                for number, cells in enumerate(csv.reader(lines, strict=True), 1)
                if cells
            ]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8; save it as that.") from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file, or is cut off: {error}.") from error
    header = rows[0][1] if rows else []
    if absent := [name for name in required if name not in header]:
        told = f"it has {', '.join(header)}" if header else "it is empty"
        if len(header) == 1 and ";" in header[0]:
            told += ", which are to be separated by ','"
        raise UserError(f"{path} has no column {', '.join(absent)}; {told}.")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UserError(f"{path} has the column {', '.join(twice)} twice.")
    for number, cells in rows[1:]:
        if len(cells) != len(header):
            raise UserError(
                f"{path}: {row(number)} has {len(cells)} columns and the header {len(header)}."
            )
    if len(rows) == 1:
        raise UserError(f"{path} has a header and no rows.")
    numbers, cells = zip(*rows[1:], strict=True)
    return pd.DataFrame(cells, index=pd.Index(numbers), columns=header, dtype=str)
