"""Tidy choice tables, CSV and Parquet: one row a choice, or one row a sample with its score."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from algoperf.errors import UserError
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
from scoring.leaderboard.logs import Problem

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


def read(path: Path) -> Rows:
    """Reads a tidy table.

    Args:
        path: `.csv`, `.tsv` or `.parquet`, with the columns `CHOICES` or `SCORES`.

    Raises:
        UserError: If it is none, lacks a column, or holds what is no number.
    """
    parquet = path.suffix == ".parquet"
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
        if unnamed := int((frame[name].isna() | (frame[name] == "")).sum()):
            raise UserError(f"{path}: {unnamed} of {len(frame)} rows have no {name}.")
    if "score" in frame:
        frame["score"] = _scores(path, frame["score"])
    if frame.empty:
        raise UserError(f"{path} has a header and no rows.")
    if "choice_idx" in frame:
        _check_places(path, frame)
        if frame["is_gold"].isna().any():
            raise UserError(
                f"{path}: is_gold is empty in {int(frame['is_gold'].isna().sum())} rows."
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
            f"{path}: choice_idx is {place[wrong][0]:g} in row {int(np.argmax(wrong)) + 1}; it "
            "counts the choices of a sample from 0."
        )
    frame["choice_idx"] = place.astype(np.intp)


def columns_of(path: Path) -> list[str]:
    """The table's columns.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return pq.read_schema(path).names
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return next(csv.reader(lines, delimiter=_delimiter(path)), [])
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise UserError(f"Cannot read {path}: {error}") from error


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix == ".tsv" else ","


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
            f"it has {', '.join(found[:20]) or 'none'}."
        )
    unused = set() if required is CHOICES else {*NUMBERS, *EXTRA_NUMBERS, "is_gold", CORRECTED}
    return [name for name in found if name in _TYPES and name not in unused]


def _csv(path: Path) -> pa.Table:
    wanted = _wanted(path)
    try:
        return _read_csv(path, wanted, threads=True)
    except pa.ArrowInvalid:
        try:  # again on one thread, which can tell the row
            return _read_csv(path, wanted, threads=False)
        except pa.ArrowInvalid as error:
            raise UserError(f"Cannot read {path}: {error}") from error


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
    table = pq.read_table(path, columns=_wanted(path))
    try:
        return pa.table({name: _cast(table[name], _TYPES[name]) for name in table.column_names})
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f"Cannot read {path}: {error}") from error


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(kind):
        return column.cast(kind)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()).dictionary_encode()


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
