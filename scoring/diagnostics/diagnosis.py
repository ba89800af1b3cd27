"""All diagnostics of a choice table: from the files to every number that is shown."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from algoperf import disk
from algoperf.errors import UserError
from algoperf.registry import unknown
from scoring.diagnostics import (
    align,
    band,
    calibration,
    chain,
    flips,
    forecast,
    forms,
    frequency,
    labels,
    mass,
    mink,
    readers,
    scale,
)
from scoring.diagnostics.readers import models as models_reader
from scoring.diagnostics.table import UNNAMED, Block, ScoreBlock
from scoring.problems import Problem
from scoring.progress import Tell, quiet


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
        correlations = self.tables["correlations"].to_dict("records")
        found = {
            "correlations": [_nested(row) for row in correlations],
            **{n: t.to_dict("records") for n, t in self.tables.items() if n not in _APART},
            "problems": [vars(problem) for problem in self.problems],
            "notes": self.notes,
        }
        return disk.plain(found)


_APART = ("correlations", "ccdf", "ccdf_null", "reliability", "mass_points", "choice_trends")
"""Tables that do not stand in the JSON as they are."""


def _nested(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """What belongs to the null in an object of its own."""
    named = {str(key): value for key, value in row.items()}
    null = {key.removeprefix("null_"): named[key] for key in named if key.startswith("null_")}
    return {key: value for key, value in named.items() if not key.startswith("null_")} | {
        "null": null
    }


@threadpool_limits.wrap(limits=1)
def diagnose(
    files: Sequence[Path],
    models: Path | None = None,
    normalisations: Sequence[str] | None = None,
    tell: Tell = quiet,
) -> Diagnosis:
    """Reads files and runs every diagnostic that they allow.

    Args:
        files: Files or folders.
        models: A table of models: family, parameters, tokens, compute.
        normalisations: Of `chain.NORMALISATIONS`; all that the files allow if None.
        tell: Is told what is being done.

    Raises:
        UserError: If a file cannot be read, or what it says would make a result wrong.

    The matrices are flat: threads of the numerical libraries wait for each other more than
    they work, on a busy machine twenty times as long as one thread takes.
    """
    for name in normalisations or ():
        if name not in chain.NORMALISATIONS:
            raise unknown("normalisation", name, chain.NORMALISATIONS, "docs/diagnostics.md")
    readers.check_there([*files, *([models] if models else [])])
    given = models_reader.read(models) if models else None
    tell("reading the files")
    found = readers.read(files)
    problems = list(found.problems)
    facts = pd.DataFrame()
    aligned = align.Aligned([], [], pd.DataFrame(), [])
    if found.rows is not None:
        tell("aligning")
        rows, known = models_reader.join(found.rows, given)
        aligned, facts = align.align(rows, known), known.table
        del rows
    problems += aligned.problems

    def of_block(block: Block) -> _Part:
        tell(f"diagnosing {block.task} of {block.family}")
        return _of_block(block, facts, normalisations)

    with ThreadPoolExecutor(WORKERS) as pool:
        of_blocks = list(pool.map(of_block, aligned.blocks))
    parts = of_blocks + [_of_scores(block) for block in aligned.scores]
    problems += [problem for part in parts for problem in part.problems]
    tables = {"models": facts.reset_index(), "alignment": aligned.audit}
    tables |= {name: _joined([part.tables.get(name) for part in parts]) for name in TABLES}
    tables["orderings"] = scale.orderings(tables["comparisons"])
    tables["backtests"] = forecast.backtests(tables["forecast"])
    tables["min_k"] = mink.diagnose(found.tokens)
    tables["frequency"] = frequency.diagnose(found.frequencies)
    return Diagnosis(tables, problems, _notes(tables))


WORKERS = 2
"""Blocks at a time; numpy lets go of the interpreter while it works."""

TABLES = (
    "correlations", "comparisons", "ccdf", "ccdf_null", "levels", "mass", "mass_points", "trends",
    "choice_trends", "rank_stability", "attribution", "flips", "calibration", "reliability",
    "label_errors", "noise_crossings", "forecast", "fits",
)  # fmt: skip
"""What is made block by block."""

_PLAIN: dict[str, Callable[[Block], pd.DataFrame]] = {
    "mass": mass.joint,
    "mass_points": mass.points,
    "rank_stability": mass.stability,
    "attribution": mass.attribution,
    "flips": flips.of_block,
}


@dataclass(frozen=True)
class _Part:
    """What one block says."""

    tables: dict[str, pd.DataFrame]
    problems: list[Problem]


def _of_block(block: Block, facts: pd.DataFrame, asked: Sequence[str] | None) -> _Part:
    problems: list[Problem] = []
    tables = _scale(block, asked, problems)
    tables |= {name: of(block) for name, of in _PLAIN.items()}
    tables["trends"], tables["choice_trends"] = mass.trends(block)
    tables["calibration"], tables["reliability"] = calibration.of_block(block)
    tables["label_errors"], tables["noise_crossings"] = labels.of_block(block, problems)
    tables["forecast"], tables["fits"] = forecast.of_block(block, facts, problems)
    return _Part(tables, problems)


def _of_scores(block: ScoreBlock) -> _Part:
    problems: list[Problem] = []
    binary = bool(np.isin(block.score, (0.0, 1.0)).all())
    name = "accuracy" if binary else "score"
    scores = {name: forms.plain(block.score[scale.usable(block)[0]])}
    rows, _, curves = scale.correlate(block, scores, "raw", problems)
    tables = {"correlations": pd.DataFrame(rows), "ccdf": _joined(curves)}
    tables["ccdf_null"] = band.of_scores(block, scores)
    if binary:
        tables["flips"] = flips.of_scores(block)
    return _Part(tables, problems)


def _joined(tables: Sequence[pd.DataFrame | None]) -> pd.DataFrame:
    some = [table for table in tables if table is not None and not table.empty]
    return pd.concat(some, ignore_index=True) if some else pd.DataFrame()


def _scale(
    block: Block, asked: Sequence[str] | None, problems: list[Problem]
) -> dict[str, pd.DataFrame]:
    rows, pairs, curves, levels = [], [], [], []
    bands = pd.DataFrame()
    for name in _chosen(block, asked, problems):
        levels.append(scale.levels(block, name))
        scores = forms.of_block(block, name)
        if name == "raw":
            bands = band.of_scores(block, scores)
        for into, found in zip(
            (rows, pairs, curves), scale.correlate(block, scores, name, problems), strict=True
        ):
            into.extend(found)
    return {
        "correlations": pd.DataFrame(rows),
        "comparisons": pd.DataFrame(pairs),
        "ccdf": _joined(curves),
        "ccdf_null": bands,
        "levels": _joined(levels),
    }


def _chosen(block: Block, asked: Sequence[str] | None, problems: list[Problem]) -> list[str]:
    there = chain.available(block)
    for name in asked or ():
        if name not in there:
            what = f"{name} needs {chain.NORMALISATIONS[name][0]} of every choice"
            problems.append(Problem(block.where, what, "did without it"))
    for name, (column, _) in chain.NORMALISATIONS.items():
        if asked is None and column in block.extra and name not in there:
            what = f"{column} is not known for every choice"
            problems.append(Problem(block.where, what, f"did without {name}"))
    chosen = [name for name in there if asked is None or name in asked]
    for name in chosen:
        column = chain.NORMALISATIONS[name][0]
        if column and name != "pmi" and (zero := chain.not_above_0(block, column)):
            what = f"{column} of a choice is not above 0 in {zero} samples"
            problems.append(Problem(block.where, what, f"left them out of {name}"))
    if not chosen:
        raise UserError(
            f"{block.where} allows no normalisation that was asked for ({', '.join(asked or ())}); "
            f"it allows {', '.join(there)}."
        )
    return chosen


def _notes(tables: dict[str, pd.DataFrame]) -> list[str]:
    """What a reader has to know about the numbers."""
    notes = []
    audit = tables["alignment"]
    if not audit.empty and (audit["family"] == UNNAMED).any():
        notes.append(
            f"Of models without a family the family is shown as {UNNAMED!r}: a column family in "
            "their file or in that of --models names it."
        )
    scaled = tables["correlations"]
    if not scaled.empty:
        if "brier" in set(scaled["score"]):
            notes.append("Brier is negated, so that up is better for every score.")
        notes.append(
            "The mean, the area under the CCDF (1 + mean) and the distance to -1 or 1 are one "
            "number."
        )
        few = int(scaled["n_models"].min())
        least = 1 / math.factorial(few)
        if least > FEWEST_P:
            notes.append(
                f"With {few} models no p can be below {least:.2g}, however many samples there are."
            )
    normalised = set(tables["levels"].get("normalisation", ())) - {"raw"}
    if normalised:
        notes.append(
            f"p_choices of {', '.join(sorted(normalised))} is a softmax over normalised scores, "
            "not a probability of a text."
        )
    return notes


FEWEST_P = 0.001
"""A note says so where p cannot get this small."""
