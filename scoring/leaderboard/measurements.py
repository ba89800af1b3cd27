"""The evaluations of one trial: `eval_measurements.csv` as numbers, and what is wrong with it."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from scoring.intervals import Floats

AXES = {
    "seconds": "accumulated_submission_time",
    "steps": "global_step",
    "examples": "examples",
    "flops": "flops",
}
"""What time can be measured in, and the column that holds it."""

_SHARES = {
    "evaluation_s": "accumulated_eval_time",
    "data_s": "accumulated_data_time",
    "compile_s": "accumulated_compile_time",
    "total_s": "total_duration",
}

FIELDS = (*AXES, *_SHARES, "validation", "test")
"""What is read of each evaluation; NaN where the log does not have it."""

_CUT = 3
"""A last cell so much shorter than those above it is taken as cut off. Fewer digits do no harm."""

_CUT_EXPONENT = re.compile(r"[eE][-+]?\d?$")
"""Python and NumPy write at least two digits."""

Fault = tuple[str, str]
"""What is wrong, and what was done about it."""

Parsed = tuple[Floats, list[Fault]]
"""Shape (evaluations, len(FIELDS)), and the faults found."""

_CLOSER_LOOK = b'"( \t\r\v\f\0\x1c\x1d\x1e'
"""Where one of these is, Arrow and Python may read different numbers, or see different lines."""


def parse(raws: Sequence[bytes], metric: str) -> list[Parsed]:
    """The evaluations in each file, in order, and what is wrong with the file.

    A line that is not an evaluation is a fault and left out. Files whose headers are alike are read
    as one table: a file alone takes several times as long.

    Args:
        raws: The files.
        metric: The target's metric; its columns are `validation/<metric>` and `test/<metric>`.
    """
    alike: dict[bytes, dict[int, bytes]] = {}
    for place, raw in enumerate(raws):
        if _is_plain(raw):
            header, _, body = raw.partition(b"\n")
            alike.setdefault(header, {})[place] = body
    arrays: dict[int, Floats] = {}
    for header, bodies in alike.items():
        found = _tables(header.decode().split(","), list(bodies.values()), metric)
        arrays |= {
            place: array for place, array in zip(bodies, found, strict=True) if array is not None
        }
    return [
        (arrays[place], list(_faults_of(arrays[place], metric)))
        if place in arrays
        else line_by_line(raw, metric)
        for place, raw in enumerate(raws)
    ]


def _tables(header: list[str], bodies: Sequence[bytes], metric: str) -> Sequence[Floats | None]:
    """The evaluations below like headers; None for those to be looked at line by line.

    One such file is found by halving, so that it costs the others little.
    """
    found = _as_one_table(header, bodies, metric)
    if found is not None:
        return found
    if len(bodies) == 1:
        return [None]
    half = len(bodies) // 2
    return [
        *_tables(header, bodies[:half], metric),
        *_tables(header, bodies[half:], metric),
    ]


def _columns(metric: str) -> list[str]:
    """What the log calls the `FIELDS`."""
    return [*AXES.values(), *_SHARES.values(), f"validation/{metric}", f"test/{metric}"]


def _needed(metric: str) -> set[str]:
    """Columns without which a log says nothing."""
    return {AXES["seconds"], f"validation/{metric}"}


def _is_plain(raw: bytes) -> bool:
    """Whether it ends with a line, and its lines and numbers are the same for Arrow and Python."""
    plain = raw.isascii() and raw.endswith(b"\n")
    return plain and len(raw.translate(None, _CLOSER_LOOK)) == len(raw)


def _as_one_table(
    header: list[str], bodies: Sequence[bytes], metric: str
) -> Sequence[Floats] | None:
    """The same, if all of them are nothing but evaluations; None otherwise."""
    names = _columns(metric)
    there = [name for name in names if name in header]
    if not _needed(metric) <= {*there} or any(header.count(name) > 1 for name in there):
        return None
    columns = [str(header.index(name)) for name in there]
    try:
        table = pacsv.read_csv(
            pa.BufferReader(b"".join(bodies)),
            pacsv.ReadOptions(column_names=[str(place) for place in range(len(header))]),
            pacsv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.float64()),
                include_columns=columns,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid:
        return None
    array = np.full((len(table), len(FIELDS)), math.nan)
    for name, column in zip(there, columns, strict=True):
        array[:, names.index(name)] = table[column].to_numpy()
    seconds = array[:, FIELDS.index("seconds")]
    if not (np.isfinite(seconds) & (seconds >= 0)).all():
        return None
    ends = np.cumsum([body.count(b"\n") for body in bodies])
    return np.split(array, ends[:-1]) if ends[-1] == len(array) else None


def line_by_line(raw: bytes, metric: str) -> Parsed:
    """`parse` of one file, whatever may be in it."""
    names = _columns(metric)
    text = raw.decode("utf-8-sig", errors="replace")
    lines = text.splitlines()
    rows, faults = [], []
    header: list[str] = []
    pick = itemgetter(0)  # until the header tells where the columns are
    if not any(map(str.strip, lines)):
        return _array([]), [("is empty", "counted as not reached")]
    for number, cells in _cells(lines, faults):
        if not header:
            header = cells
            if absent := sorted(_needed(metric) - set(header)):
                what = f"has no column {', '.join(absent)}"
                return _array([]), [*faults, (what, "counted as not reached")]
            if twice := sorted({name for name in names if header.count(name) > 1}):
                faults.append((f"has {', '.join(twice)} twice", "took the first of them"))
            # A column that is not there reads from an empty cell behind the last.
            places = [header.index(n) if n in header else len(header) for n in names]
            pick = itemgetter(*places)
        elif cells == header:
            faults.append((f"line {number} is the header again", "left the line out"))
        elif len(cells) != len(header):
            what = f"line {number} has {len(cells)} of {len(header)} cells"
            faults.append((what, "left the line out"))
        else:
            row = _numbers(pick((*cells, "")))
            if row is None or not (math.isfinite(row[0]) and row[0] >= 0):
                faults.append((f"line {number} is not an evaluation", "left the line out"))
            else:
                rows.append((number, row, cells[-1]))
    if rows and not text.endswith(("\n", "\r")) and rows[-1][0] == len(lines):
        shortest = min((len(last) for _, _, last in rows[:-1]), default=0)
        if len(rows[-1][2]) < shortest - _CUT or _CUT_EXPONENT.search(rows[-1][2]):
            faults.append((f"line {len(lines)} is cut off", "left the line out"))
            rows.pop()
    array = _array([row for _, row, _ in rows])
    return array, [*faults, *_faults_of(array, metric)]


def _cells(lines: list[str], faults: list[Fault]) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of the lines that are not blank; no cell goes over a line's end."""
    for number, line in enumerate(lines, 1):
        if '"' in line:
            try:
                yield number, next(csv.reader([line], strict=True))
            except csv.Error as error:
                faults.append((f"line {number} is no CSV: {error}", "left the line out"))
        elif line.strip():
            yield number, line.split(",")


def _numbers(cells: tuple[str, ...]) -> list[float] | None:
    try:
        values = [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        return None
    # Python reads 1_0 as ten, nobody else does.
    return None if any("_" in cell for cell in cells) else values


def _array(rows: list[list[float]]) -> Floats:
    return np.array(rows, np.float64).reshape(len(rows), len(FIELDS))


def _faults_of(array: Floats, metric: str) -> Iterator[Fault]:
    if not len(array):
        yield "has no evaluation", "counted as not reached"
        return
    values, seconds = array[:, FIELDS.index("validation")], array[:, FIELDS.index("seconds")]
    if odd := int((~np.isfinite(values)).sum()):
        what = f"validation/{metric} is not a number in {odd} of {len(values)} evaluations"
        yield what, "such an evaluation never meets the target"
    if back := int((np.diff(seconds) < 0).sum()):
        yield f"time goes back {back} times", "took the first evaluation that meets the target"
