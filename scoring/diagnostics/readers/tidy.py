"""Tidy choice tables, CSV and Parquet: one row a choice, or one row a sample with its score."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from algoperf.errors import UserError
from scoring.diagnostics import plain
from scoring.diagnostics.table import (
    CORRECTED,
    EXTRA_NAMES,
    EXTRA_NUMBERS,
    FACTS,
    NAMES,
    NUMBERS,
    UNNAMED,
    Rows,
)
from scoring.problems import Problem

CHOICES = ("model", "task", "sample_id", *NUMBERS, "is_gold")
"""What a table of choices must have."""
SCORES = ("model", "task", "sample_id", "score")
"""What a table of scores must have."""

_STRING = pa.dictionary(pa.int32(), pa.string())
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(NAMES + EXTRA_NAMES, _STRING),
    **dict.fromkeys((*NUMBERS, *EXTRA_NUMBERS, *FACTS), pa.float64()),
    "score": _STRING,
    "is_gold": pa.bool_(),
    CORRECTED: pa.bool_(),
}
_TRUE = ["1", "1.0", "True", "TRUE", "true"]
_FALSE = ["0", "0.0", "False", "FALSE", "false"]
_NUMBER = "a number, `-inf`, or `nan` or nothing where it is not known"
_TRUTH = "1 or 0, True or False"
_PLACE = "a number that counts the choices of a sample from 0"
_CONVERSION = re.compile(
    r"In CSV column #(?P<column>\d+): (?:Row #(?P<row>\d+): )?"
    r"CSV conversion error to (?P<kind>\w+): (?:invalid value '(?P<value>.*)')?",
    re.DOTALL,
)
_WIDTH = re.compile(r"(?:Row #(?P<row>\d+): )?Expected (?P<wanted>\d+) columns, got (?P<found>\d+)")
"""How pyarrow words what it cannot read."""


def read(path: Path) -> Rows:
    """Reads a tidy table.

    Args:
        path: `.csv`, `.tsv` or `.parquet`, with the columns `CHOICES` or `SCORES`.

    Raises:
        UserError: If it is none, lacks a column, or holds what is no number.
    """
    parquet = path.suffix.lower() == ".parquet"
    table = _parquet(path) if parquet else _csv(path)
    frame = pd.DataFrame({name: _column(table[name], name) for name in table.column_names})
    problems: list[Problem] = []
    if "family" not in frame:
        frame["family"] = pd.Categorical([UNNAMED]).take(np.zeros(len(frame), int))
    elif blank := int((frame["family"].isna() | (frame["family"] == "")).sum()):
        named = frame["family"].cat.rename_categories({"": UNNAMED}).cat
        frame["family"] = named.set_categories(named.categories.union([UNNAMED])).fillna(UNNAMED)
        what = f"{blank} of {len(frame)} rows have no family"
        problems.append(Problem(str(path), what, f"called it {UNNAMED!r}"))
    for name in CHOICES[:3]:
        unnamed = (frame[name].isna() | (frame[name] == "")).to_numpy()
        if unnamed.any():
            where = _row(path, int(np.argmax(unnamed)))
            raise UserError(
                f"{path}: {unnamed.sum()} of {len(frame)} rows have no {name}, the first is "
                f"{where}."
            )
    for name in EXTRA_NAMES:
        if name in frame and "" in (known := frame[name].cat).categories:
            frame[name] = known.remove_categories([""])
    if "score" in frame:
        frame["score"] = _scores(path, frame["score"])
    if frame.empty:
        raise UserError(f"{path} has a header and no rows.")
    if "choice_idx" in frame:
        _check_places(path, frame)
        if (empty := frame["is_gold"].isna().to_numpy()).any():
            where = _row(path, int(np.argmax(empty)))
            raise UserError(
                f"{path}: is_gold is empty in {empty.sum()} rows, the first is {where}; it must be "
                f"{_TRUTH}."
            )
    return Rows(frame, problems)


def _scores(path: Path, column: pd.Series) -> pd.Series:
    """Scores, which may be truths."""
    names = pd.Series(column.cat.categories, dtype=str)
    truths = names.str.lower().map({"true": "1", "false": "0"})
    values = pd.to_numeric(truths.where(truths.notna(), names), errors="coerce")
    wrong = values.isna() & ~names.str.lower().isin(["", "nan", "na", "none"])
    if wrong.any():
        raise UserError(f"{path}: a score is {names[wrong].iloc[0]!r}, which is no number.")
    known = np.append(values.to_numpy(float), np.nan)
    return pd.Series(known[column.cat.codes.to_numpy()], index=column.index)


def _check_places(path: Path, frame: pd.DataFrame) -> None:
    place = frame["choice_idx"].to_numpy()
    wrong = ~((place >= 0) & (place == np.floor(place)) & (place < 2**15))
    if wrong.any():
        raise UserError(
            f"{path}: choice_idx is {place[wrong][0]:g} in {_row(path, int(np.argmax(wrong)))}; it "
            "counts the choices of a sample from 0."
        )
    frame["choice_idx"] = place.astype(np.intp)


def _row(path: Path, place: int) -> str:
    """Where a reader finds the row of that place, as `_fault` counts."""
    if path.suffix.lower() == ".parquet":
        return f"row {place + 1}"
    return plain.row(place + 2)


def _allowed(name: str) -> str:
    """What a column may hold."""
    if name == "choice_idx":
        return _PLACE
    return _TRUTH if _TYPES[name] == pa.bool_() else _NUMBER


def columns_of(path: Path) -> list[str]:
    """The table's columns.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_schema(path).names
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return next(csv.reader(lines, delimiter=_delimiter(path)), [])
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8; save it as that.") from error
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is no Parquet file, or is cut off: {error}") from error
    except (OSError, csv.Error) as error:
        raise UserError(f"Cannot read {path}: {error}") from error


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _wanted(path: Path) -> list[str]:
    """The columns to read."""
    found = columns_of(path)
    if twice := sorted({name for name in found if found.count(name) > 1 and name in _TYPES}):
        raise UserError(f"{path} has the column {', '.join(twice)} twice.")
    required = SCORES if "score" in found and "loglik_sum" not in found else CHOICES
    if absent := [name for name in required if name not in found]:
        raise UserError(
            f"{path} is no tidy choice table: it lacks {', '.join(absent)}. Needed are "
            f"{', '.join(CHOICES)} (or {', '.join(SCORES)}); "
            f"it has {', '.join(found[:20]) or 'none'}{_hint(path, found)}."
        )
    unused = set() if required is CHOICES else {*NUMBERS, *EXTRA_NUMBERS, "is_gold", CORRECTED}
    return [name for name in found if name in _TYPES and name not in unused]


def _hint(path: Path, found: Sequence[str]) -> str:
    """What may be the matter with a header."""
    if len(found) == 1 and ";" in found[0]:
        return f"; columns of a {path.suffix} file are separated by {_delimiter(path)!r}"
    if {name.strip() for name in found} >= {*SCORES[:3]}:
        return "; a name has no spaces around it"
    return ""


def _csv(path: Path) -> pa.Table:
    wanted = _wanted(path)
    try:
        return _read_csv(path, wanted, threads=True)
    except pa.ArrowInvalid:
        try:  # again on one thread, which can tell the row
            return _read_csv(path, wanted, threads=False)
        except pa.ArrowInvalid as error:
            raise UserError(f"{path}: {_fault(path, str(error))}") from error


def _fault(path: Path, told: str) -> str:
    """What is wrong with a CSV file, from pyarrow's words; as they are where they are others."""
    if found := _CONVERSION.search(told):
        name = columns_of(path)[int(found["column"])]
        where = f" in {plain.row(int(found['row']))}" if found["row"] else ""
        if found["value"] is None:  # not a value, but what it is written in
            return f"{name}{where} is not text in UTF-8; save the file as that."
        return f"{name} is {found['value']!r}{where}; it must be {_allowed(name)}."
    if found := _WIDTH.search(told):
        where = plain.row(int(found["row"])) if found["row"] else "a row"
        return (
            f"{where} has {found['found']} columns and the header {found['wanted']}. Is the file "
            "cut off, or does a name hold a comma or a quotation mark without quotes around it?"
        )
    return f"it cannot be read: {told}"


def _read_csv(path: Path, wanted: Sequence[str], *, threads: bool) -> pa.Table:
    return pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(use_threads=threads, block_size=8 << 20),
        parse_options=pacsv.ParseOptions(delimiter=_delimiter(path)),
        convert_options=pacsv.ConvertOptions(
            include_columns=wanted,
            column_types={name: _TYPES[name] for name in wanted},
            true_values=_TRUE,
            false_values=_FALSE,
        ),
    )


def _parquet(path: Path) -> pa.Table:
    wanted = _wanted(path)
    try:
        table = pq.read_table(path, columns=wanted)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} is no Parquet file, or is cut off: {error}") from error
    return pa.table({name: _cast(path, name, table[name]) for name in table.column_names})


def _cast(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as its type.

    Raises:
        UserError: If it holds what is not of that type.
    """
    kind = _TYPES[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        raise UserError(f"{path}: the column {name} is of type {column.type}, not of plain values.")
    if pa.types.is_dictionary(kind):
        return column.cast(pa.string()).dictionary_encode()
    plain = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    if column.type == kind or (kind == pa.float64() and any(is_of(column.type) for is_of in plain)):
        return column.cast(kind)
    values = column.to_pandas().astype(str).where(lambda _: column.is_valid().to_pandas(), "")
    if kind == pa.bool_():
        parsed = values.map({**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)})
    else:
        parsed = pd.to_numeric(values, errors="coerce")
    if (wrong := parsed.isna() & ~values.str.lower().isin(["", "nan", "na", "none"])).any():
        first = int(np.argmax(wrong))
        raise UserError(
            f"{path}: {name} is {values.iloc[first]!r} in {_row(path, first)}; it must be "
            f"{_allowed(name)}."
        )
    return pa.chunked_array([pa.array(parsed, kind, from_pandas=True)])


def _column(column: pa.ChunkedArray, name: str) -> pd.Categorical | np.ndarray | pd.Series:
    if name not in (*NAMES, *EXTRA_NAMES, "score"):
        return column.to_numpy() if column.null_count == 0 else column.to_pandas()
    (joined,) = pa.table({name: column}).unify_dictionaries().combine_chunks()[name].chunks or [
        pa.array([], _STRING)
    ]
    codes = joined.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pd.Categorical.from_codes(
        codes, categories=pd.Index(joined.dictionary.to_pylist(), dtype=str)
    )
