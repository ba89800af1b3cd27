"""The diagnosis as one self-contained HTML page, in the form of the leaderboard's report."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from scoring.diagnostics import sections
from scoring.diagnostics.diagnosis import Diagnosis
from scoring.report import page
from scoring.report.page import Cell

MOST_ROWS = 500
"""Rows of a table on the page; the CSV files have all."""


def html(found: Diagnosis) -> str:
    """The whole page."""
    parts = [
        page.Section(section.title, list(_blocks(section))) for section in sections.sections(found)
    ]
    parts.append(page.Section("Problems and notes", list(_problems(found))))
    return page.render("Diagnosis of multiple-choice metrics", f"Of {_subject(found)}.", parts)


def _subject(found: Diagnosis) -> str:
    """The families, or what else is diagnosed."""
    audit = found.tables["alignment"]
    named = list(dict.fromkeys(map(str, audit["family"]))) if len(audit) else []
    other = {"min_k": "token log-probabilities", "frequency": "concept frequencies"}
    named += [what for name, what in other.items() if not found.tables[name].empty]
    return ", ".join(named)


def _blocks(section: sections.Section) -> Iterator[page.Block]:
    yield section.text
    if section.figure is not None:
        yield page.picture(section.figure, section.name, section.title, section.alternative)
    if not section.table.empty:
        yield _table(section.table, section.title)


def _table(table: pd.DataFrame, caption: str) -> page.Table:
    rows = [
        [_cell(value) for value in row] for row in table.head(MOST_ROWS).itertuples(index=False)
    ]
    if len(table) > MOST_ROWS:
        caption += f": the first {MOST_ROWS} of {len(table)} rows, the CSV file has all"
    return page.Table([name.replace("_", " ") for name in table.columns], rows, caption)


def _cell(value: Any) -> Cell:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell("" if value is None else str(value))
    if isinstance(value, float) and not math.isfinite(value):
        return page.number(math.nan)
    return page.number(float(value))


def _problems(found: Diagnosis) -> Iterator[page.Block]:
    yield from found.notes
    if not found.problems:
        yield "Nothing is wrong with the files."
        return
    rows = [[Cell(p.path), Cell(p.problem), Cell(p.action)] for p in found.problems]
    yield page.Table(["where", "problem", "what was done"], rows, f"{len(rows)} problems")
