"""Criteo 1TB click logs: 24 days of advertisements shown, and which were clicked on.

Source: Criteo AI Lab, Terabyte click logs, 2013. Days 0 to 22 are for training; of day 23 the first
95,000,000 rows are the test split and the others validation, as in AlgoPerf (Dahl et al. 2023,
arXiv:2306.07179), where they are the 36 pieces of 5,000,000 rows, the first 19 of them for test.

A row is a label, 13 counts and 26 categories. Counts become log(max(x, 0) + 1); a missing one is -1
and so becomes 0. A category is hashed together with its column into one table for all columns.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from algoperf.errors import UserError
from algoperf.inputs.batches import Arrays, blocks_of
from algoperf.inputs.conversion import Converted, Job, Kept, Preparation, Tell, files_of
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.extra import require
from algoperf.inputs.stores import PreparedStore
from algoperf.spec import Split

COUNTS, CATEGORIES = 13, 26
TABLE = 4_194_304
"""Rows of the table of all categories; its indices are exact in float32."""
BLOCK = 1024
"""Rows in a record: neighbours in the file, that are drawn together."""
LAST_DAY = 23
TEST_PIECES = 19

_COLUMNS = [f"column {place}" for place in range(1 + COUNTS + CATEGORIES)]


def hashed(values: np.ndarray) -> np.ndarray:
    """Indices into the table, int32, of categories uint64 (rows, 26); the finaliser of MurmurHash3.

    Source: A. Appleby, MurmurHash3, 2011, `fmix64`.
    """
    mixed = values + (np.arange(1, CATEGORIES + 1, dtype=np.uint64) << np.uint64(33))
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(multiplier)
    mixed ^= mixed >> np.uint64(33)
    return (mixed % np.uint64(TABLE)).astype(np.int32)


_MISSING = np.uint64(1 << 32)
"""Stands for an empty category; the others have 32 bits."""


_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGITS[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


def _from_hex(column: Any, path: Path) -> np.ndarray:
    """Categories uint64 of a pyarrow string column of hexadecimal numbers."""
    compute = require("pyarrow.compute")
    empty = np.asarray(compute.is_null(column))
    text = compute.utf8_lpad(compute.fill_null(column, ""), 8, padding="0")
    # What is too long is replaced, so that all have eight letters; the wrong letters tell.
    text = compute.if_else(compute.equal(compute.binary_length(text), 8), text, "too long")
    letters = np.frombuffer(text.buffers()[2], np.uint8, 8 * len(text)).reshape(-1, 8)
    digits = _DIGITS[letters]
    bad = (digits == 255).any(axis=1)
    if bad.any():
        value = column[int(bad.argmax())].as_py()
        raise UserError(f"{path}: the category {value!r} is not a hexadecimal number of 32 bits.")
    # Pairs of digits are bytes, most significant first.
    values = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2]).view(">u4")[:, 0]
    return np.where(empty, _MISSING, values.astype(np.uint64))


def _tables(path: Path) -> Iterator[np.ndarray]:
    """The rows of a file, some at a time, int32 (rows, 40): label, counts, hashed categories."""
    arrow, csv = require("pyarrow"), require("pyarrow.csv")
    kinds = [arrow.int32()] * (1 + COUNTS) + [arrow.string()] * CATEGORIES
    try:
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(column_names=_COLUMNS, block_size=1 << 24),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=dict(zip(_COLUMNS, kinds, strict=True)),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for table in reader:
            columns = table.columns
            categories = np.stack([_from_hex(c, path) for c in columns[1 + COUNTS :]], axis=1)
            numbers = [np.asarray(c.fill_null(-1)) for c in columns[: 1 + COUNTS]]
            labels = numbers[0]
            if ((labels < 0) | (labels > 1)).any():
                raise UserError(f"{path}: a label is {labels.max()} or missing; it must be 0 or 1.")
            yield np.column_stack([*numbers, hashed(categories)]).astype(np.int32)
    except (arrow.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is not a file of Criteo's logs, or truncated: {error}. Copy it anew."
        ) from error


def _blocks(path: Path, start: int = 0, stop: int | None = None) -> Converted:
    """Records of `BLOCK` rows each, of the rows from `start` to `stop`; the last may be shorter."""
    left = np.zeros((0, 1 + COUNTS + CATEGORIES), np.int32)
    row = 0
    for table in _tables(path):
        first, row = row, row + len(table)
        wanted = table[max(start - first, 0) : None if stop is None else max(stop - first, 0)]
        left = np.concatenate([left, wanted])
        whole = len(left) // BLOCK * BLOCK
        yield from (_kept(left[place : place + BLOCK]) for place in range(0, whole, BLOCK))
        left = left[whole:]
        if stop is not None and row >= stop:
            break
    if len(left):
        yield _kept(left)


def _kept(rows: np.ndarray) -> Kept:
    return Kept(rows.astype("<i4").tobytes(), size=(len(rows),), examples=len(rows))


def plan(root: Path, test_rows: int) -> list[Job]:
    """A shard for each file; the last day is divided by its pieces, or by rows if it is whole."""
    jobs = []
    folder = root / "criteo1tb"
    days: dict[int, list[Path]] = {}
    for path in files_of(folder, "day_*", "file of Criteo's click logs"):
        if match := re.fullmatch(r"day_(\d+)(_\d+)?(\.gz)?", path.name):
            days.setdefault(int(match[1]), []).append(path)
    if lacking := sorted(set(range(LAST_DAY + 1)) - days.keys()):
        names = ", ".join(map(str, lacking))
        raise UserError(f"{folder} lacks the days {names}: files day_D or day_D_SS.")
    for day in range(LAST_DAY):
        jobs += [_job(path, "train") for path in days[day]]
    if len(days[LAST_DAY]) == 1:
        (path,) = days[LAST_DAY]
        return [*jobs, _job(path, "test", 0, test_rows), _job(path, "validation", test_rows)]
    for path in days[LAST_DAY]:
        piece = int(path.name.removesuffix(".gz").rsplit("_", 1)[1])
        jobs.append(_job(path, "test" if piece < TEST_PIECES else "validation"))
    return jobs


def _job(path: Path, part: str, start: int = 0, stop: int | None = None) -> Job:
    return Job(f"{part}-{path.name}", part, [path], partial(_blocks, path, start, stop))


def _parse(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, "<i4").reshape(-1, 1 + COUNTS + CATEGORIES)


def _batch(rows: np.ndarray) -> Arrays:
    counts = np.log1p(np.maximum(rows[:, 1 : 1 + COUNTS], 0).astype(np.float32))
    categories = rows[:, 1 + COUNTS :].astype(np.float32)
    return {
        "inputs": np.concatenate([counts, categories], axis=1),
        "targets": rows[:, 0].astype(np.float32),
    }


def _spec(batch_size: int) -> Any:
    return {
        "inputs": ((batch_size, COUNTS + CATEGORIES), np.float32),
        "targets": ((batch_size,), np.float32),
    }


_STORE = PreparedStore("criteo1tb", _parse)
_PUBLISHED = {
    Split.TRAIN: 4_195_197_692,
    Split.VALIDATION: 83_274_637,
    Split.TEST: 95_000_000,
}


def _plan(root: Path, _: Path, __: Tell) -> list[Job]:
    return plan(root, _PUBLISHED[Split.TEST])


criteo = RecordDataset(
    name="criteo",
    published=_PUBLISHED,
    parts={split: Part(_STORE, str(split)) for split in _PUBLISHED},
    batching=blocks_of(_batch),
    spec=_spec,
    packages=("grain", "array_record", "pyarrow"),
    instructions=(
        "criteo1tb/day_0 ... day_23, each whole or in pieces day_D_SS, as they are or gzipped\n"
        "(day_23 in pieces: 36 of 5,000,000 rows, day_23_00 to day_23_35), from Criteo AI Lab:\n"
        "https://ailab.criteo.com/download-criteo-1tb-click-logs-dataset/"
    ),
    preparation=Preparation(_STORE, _plan, {str(part): n for part, n in _PUBLISHED.items()}),
)
"""Inputs float32 (batch, 39): 13 counts, 26 indices below `TABLE`; targets float32 (batch,)."""
