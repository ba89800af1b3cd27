"""Where trials lie: `<submission>/study_<n>/<workload>_<framework>/trial_<k>/`, at any depth."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from algoperf.errors import UserError
from algoperf.records import MEASUREMENTS

_STUDY = re.compile(r"study_(\d+)")
_WORKLOAD = re.compile(r"(.+)_(jax|pytorch)")
_TRIAL = re.compile(r"trial_(\d+)")


@dataclass(frozen=True)
class Problem:
    """Something wrong with the logs.

    Attributes:
        path: Where.
        problem: What.
        action: What was done about it.
    """

    path: str
    problem: str
    action: str


@dataclass(frozen=True, order=True)
class Place:
    """A trial, as its place in the tree names it."""

    submission: str
    study: int
    workload: str
    framework: str
    trial: int
    path: str

    @property
    def measurements(self) -> str:
        return os.path.join(self.path, MEASUREMENTS)  # noqa: PTH118 - thousands of them


def find_trials(folders: Sequence[Path]) -> tuple[list[Place], list[Problem]]:
    """Every trial by its place, sorted; and what lies where nothing should.

    Raises:
        UserError: If a folder does not exist, or there is no trial below any.
    """
    found: set[Place] = set()
    problems: dict[str, Problem] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"There is no results folder {str(folder)!r}.")
        for path, names, files in os.walk(folder.resolve(), onerror=_unreadable):
            # What begins with a dot is a trial that is still being written, or a cache.
            names[:] = sorted(name for name in names if not name.startswith("."))
            if (place := _place(path)) is not None:
                found.add(place)
            elif (what := _stray(path, files)) is not None:
                problems[path] = Problem(path, what, "left out")
    if not found:
        places = ", ".join(str(folder) for folder in folders)
        raise UserError(
            f"There is no trial in {places}. A trial lies at "
            "<submission>/study_<n>/<workload>_<jax or pytorch>/trial_<k>/. "
            "'algoperf run SUBMISSION' makes some."
        )
    return sorted(found), [problem for _, problem in sorted(problems.items())]


def _place(path: str) -> Place | None:
    names = path.rsplit(os.sep, 4)[1:]
    if len(names) < 4:
        return None
    study, workload, trial = (
        pattern.fullmatch(name)
        for pattern, name in zip((_STUDY, _WORKLOAD, _TRIAL), names[1:], strict=True)
    )
    if study is None or workload is None or trial is None:
        return None
    return Place(names[0], int(study[1]), workload[1], workload[2], int(trial[1]), path)


def _stray(path: str, files: Sequence[str]) -> str | None:
    """What is wrong with a folder that is no trial; None if nothing."""
    above = Path(path).parts
    if MEASUREMENTS in files:
        inside = any(_place(str(parent)) for parent in Path(path).parents)
        return (
            "holds measurements inside another trial"
            if inside
            else (
                "holds measurements, but does not lie where a trial does "
                "(<submission>/study_<n>/<workload>_<jax or pytorch>/trial_<k>)"
            )
        )
    if _STUDY.fullmatch(above[-2]) and not _WORKLOAD.fullmatch(above[-1]):
        return "is not named <workload>_<jax or pytorch>"
    if len(above) > 2 and _STUDY.fullmatch(above[-3]) and _WORKLOAD.fullmatch(above[-2]):
        return "is not named trial_<k>"
    return None


def _unreadable(error: OSError) -> None:
    raise UserError(f"Cannot read {error.filename}: {error.strerror}.")
