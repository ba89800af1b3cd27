"""Trials of this benchmark: `choices.csv`, which language models' workloads write.

A trial of a folder of trials is one model, as its last evaluation found it, and the family are the
submission's models of one base workload. A trial that was named itself is a family, of its
evaluations; its table says so, and is read as any tidy one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from algoperf.records import ASIDE, MANIFEST, read_manifest
from algoperf.spec import Status
from scoring.diagnostics.readers import tidy
from scoring.diagnostics.readers.samples import printable
from scoring.diagnostics.table import Rows
from scoring.problems import Problem

TABLE = "choices.csv"
_UNTRAINED = (Status.FAILED, Status.DIVERGED)
"""Endings after which the last evaluation is not of a trained model."""


def of_one(folder: Path) -> Path | None:
    """The table of a folder that is a trial's own, None if it is none."""
    table = folder / TABLE
    return table if table.is_file() and read_manifest(folder) else None


def below(folder: Path, problems: list[Problem]) -> list[Path]:
    """Tables of the finished trials below a folder; what is none is told.

    Args:
        folder: A results folder, or any folder in one.
        problems: Where it is told.
    """
    tables = []
    for table in _counted(folder, TABLE):
        manifest = read_manifest(table.parent)
        if manifest is None:
            ended = (table.parent / MANIFEST).exists()
            what = f"its {MANIFEST} cannot be read" if ended else "is of no trial that has ended"
            problems.append(Problem(str(table), what, "left it out"))
        elif manifest["ending"]["status"] in _UNTRAINED:
            what = f"its trial {manifest['ending']['status']}: {manifest['ending'].get('reason')}"
            problems.append(Problem(str(table), what, "left it out"))
        else:
            tables.append(table)
    every = [path.parent for path in _counted(folder, MANIFEST) if read_manifest(path.parent)]
    if without := [trial for trial in every if not (trial / TABLE).exists()]:
        what = f"{len(without)} of {len(every)} trials have no {TABLE}, the first is {without[0]}"
        problems.append(Problem(str(folder), what, "left them out"))
    return tables


def _counted(folder: Path, name: str) -> list[Path]:
    """Files of that name, but for those of records that lie aside."""
    return [path for path in sorted(folder.rglob(name)) if path.parent.suffix != ASIDE]


def read(table: Path) -> Rows:
    """The last evaluation of a finished trial.

    Raises:
        UserError: If it is no table of choices.
    """
    found = tidy.read(table)
    manifest = read_manifest(table.parent) or {}
    last = found.frame["model"].iloc[-1]  # evaluations are appended as they are made
    frame = found.frame[found.frame["model"] == last].reset_index(drop=True)
    problems = list(found.problems)
    family, model = _names(manifest)
    for name, value in (("family", family), ("model", model)):
        frame[name] = pd.Categorical([printable(value)]).take([0] * len(frame))
    if manifest["ending"]["status"] == Status.TARGET_REACHED:
        what = f"ended where it reached its target, at {last}, and not where its training would end"
        problems.append(Problem(f"{family}: {model}", what, "kept it"))
    return Rows(frame, problems)


def _names(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """(family, model)."""
    workload = manifest["workload"]
    base = workload.get("base") or workload["name"]
    family = f"{manifest['submission'].get('name')} on {base}"
    return (
        family,
        f"{workload['name']}, study {manifest.get('study')}, trial {manifest.get('trial')}",
    )
