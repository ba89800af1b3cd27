"""All diagnostics of a choice table: from the files to every number that is shown."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from algoperf.registry import unknown
from scoring.diagnostics import (
    align,
    calibration,
    chain,
    flips,
    frequency,
    labels,
    mass,
    mink,
    readers,
    scale,
)
from scoring.diagnostics.readers import models as models_reader
from scoring.diagnostics.table import Block
from scoring.leaderboard.logs import Problem


@dataclass(frozen=True)
class Diagnosis:
    """Everything that is shown.

    Attributes:
        tables: By name, what the CSV files hold; docs/diagnostics.md says what each column is.
        problems: What was wrong with the files, and what could not be computed.
        notes: What a reader has to know about the numbers.
    """

    tables: dict[str, pd.DataFrame]
    problems: list[Problem]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The form that other programs read; `null` is what is not defined."""
        return {
            "correlations": [_nested(row) for row in _records(self.tables["correlations"])],
            **{name: _records(t) for name, t in self.tables.items() if name not in _APART},
            "problems": [vars(problem) for problem in self.problems],
            "notes": self.notes,
        }


_APART = ("correlations", "ccdf", "reliability")
"""Tables that do not stand in the JSON as they are."""


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """What belongs to the null in an object of its own."""
    null = {key.removeprefix("null_"): row[key] for key in row if key.startswith("null_")}
    return {key: value for key, value in row.items() if not key.startswith("null_")} | {
        "null": null
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """A value that JSON knows."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@threadpool_limits.wrap(limits=1, user_api="blas")
def diagnose(
    files: Sequence[Path],
    models: Path | None = None,
    normalisations: Sequence[str] | None = None,
) -> Diagnosis:
    """Reads files and runs every diagnostic that they allow.

    Args:
        files: Files or folders.
        models: A table of models: family, parameters, tokens, compute.
        normalisations: Of `chain.NORMALISATIONS`; all that the files allow if None.

    Raises:
        UserError: If a file cannot be read, or what it says would make a result wrong.

    The matrices are flat: threads of the linear algebra library wait for each other more than
    they work, on a busy machine twenty times as long as one thread takes.
    """
    for name in normalisations or ():
        if name not in chain.NORMALISATIONS:
            raise unknown("normalisation", name, chain.NORMALISATIONS, "docs/diagnostics.md")
    readers.check_there([*files, *([models] if models else [])])
    given = models_reader.read(models) if models else None
    found = readers.read(files)
    problems = list(found.problems)
    tables: dict[str, pd.DataFrame] = {}
    if found.rows is None:
        aligned = align.Aligned([], [], pd.DataFrame(), [])
    else:
        aligned = align.align(*models_reader.join(found.rows, given))
    problems += aligned.problems
    tables["alignment"] = aligned.audit
    tables |= _scale(aligned, normalisations, problems)
    tables |= {name: _each(aligned.blocks, of) for name, of in _OF_BLOCK.items()}
    tables["flips"] = _joined([tables["flips"], *map(flips.of_scores, aligned.scores)])
    tables |= _calibration(aligned.blocks)
    tables["min_k"] = mink.diagnose(found.tokens)
    tables["frequency"] = frequency.diagnose(found.frequencies)
    return Diagnosis(tables, problems)


_OF_BLOCK: dict[str, Callable[[Block], pd.DataFrame]] = {
    "mass": mass.joint,
    "trends": mass.trends,
    "rank_stability": mass.stability,
    "attribution": mass.attribution,
    "flips": flips.of_block,
    "label_errors": labels.estimates,
    "noise_crossings": labels.crossings,
}


def _each(blocks: Sequence[Block], of: Callable[[Block], pd.DataFrame]) -> pd.DataFrame:
    return _joined([of(block) for block in blocks])


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    some = [table for table in tables if not table.empty]
    return pd.concat(some, ignore_index=True) if some else pd.DataFrame()


def _calibration(blocks: Sequence[Block]) -> dict[str, pd.DataFrame]:
    both = [calibration.of_block(block) for block in blocks]
    return {
        "calibration": _joined([rows for rows, _ in both]),
        "reliability": _joined([diagram for _, diagram in both]),
    }


def _chosen(block: Block, asked: Sequence[str] | None, problems: list[Problem]) -> list[str]:
    there = chain.available(block)
    for name in asked or ():
        if name not in there:
            what = f"{name} needs {chain.NORMALISATIONS[name][0]} of every choice"
            problems.append(Problem(block.where, what, "did without it"))
    return [name for name in there if asked is None or name in asked]


def _scale(
    aligned: align.Aligned, asked: Sequence[str] | None, problems: list[Problem]
) -> dict[str, pd.DataFrame]:
    rows, pairs, curves, levels = [], [], [], []
    for block in aligned.blocks:
        for name in _chosen(block, asked, problems):
            scores = scale.scores_of(block, name)
            levels.append(scale.levels(block, scores, name))
            for into, found in zip(
                (rows, pairs, curves), scale.correlate(block, scores, name, problems), strict=True
            ):
                into.extend(found)
    for block in aligned.scores:
        binary = np.isin(block.score, (0.0, 1.0)).all()
        name = "accuracy" if binary else "score"
        found = scale.correlate(block, {name: block.score}, "raw", problems)
        rows.extend(found[0])
        curves.extend(found[2])
    comparisons = pd.DataFrame(pairs)
    return {
        "correlations": pd.DataFrame(rows),
        "comparisons": comparisons,
        "orderings": scale.orderings(comparisons),
        "ccdf": _joined(curves),
        "levels": _joined(levels),
    }
