"""All diagnostics of a choice table: from the files to every number that is shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from algoperf.registry import unknown
from scoring.diagnostics import align, chain, readers, scale
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


_APART = ("correlations", "ccdf")
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
    """
    for name in normalisations or ():
        if name not in chain.NORMALISATIONS:
            raise unknown("normalisation", name, chain.NORMALISATIONS, "docs/diagnostics.md")
    readers.check_there([*files, *([models] if models else [])])
    given = models_reader.read(models) if models else None
    rows, known = models_reader.join(readers.read(files), given)
    aligned = align.align(rows, known)
    del rows
    problems = list(aligned.problems)
    tables = {"alignment": aligned.audit}
    tables |= _scale(aligned, normalisations, problems)
    return Diagnosis(tables, problems)


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
        "ccdf": pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(),
        "levels": pd.concat(levels, ignore_index=True) if levels else pd.DataFrame(),
    }
