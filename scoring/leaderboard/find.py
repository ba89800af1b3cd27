"""Where trials lie: `<submission>/study_<n>/<workload>_<framework>/trial_<k>/`, at any depth."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from algoperf import records
from algoperf.errors import UserError
from algoperf.records import MEASUREMENTS
from scoring.problems import Problem

_STUDY = re.compile(r"study_(\d+)")
_WORKLOAD = re.compile(r"(.+)_(jax|pytorch)")
_TRIAL = re.compile(r"trial_(\d+)")
_ASIDE = re.compile(r"\.(trial_\d+)\.\d+\.aside")


def shown(name: str) -> str:
    """A path or a part of one as text that can be written: bytes that are no UTF-8 become marks."""
    return os.fsencode(name).decode("utf-8", errors="replace")


class Place(NamedTuple):
    """A trial, as its place in the tree names it; `repeats` records of it lie aside."""

    submission: str
    study: int
    workload: str
    framework: str
    trial: int
    path: str
    repeats: int = 0

    @property
    def measurements(self) -> str:
        return os.path.join(self.path, MEASUREMENTS)  # noqa: PTH118 - thousands of them

    @property
    def above(self) -> str:
        """The submission's folder."""
        return self.path.rsplit(os.sep, 3)[0]


@dataclass
class _Walk:
    """What a walk through the folders has found."""

    places: set[Place] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    repeats: Counter[str] = field(default_factory=Counter)
    """Of a trial's folder: how many records of it lie aside."""
    barren: set[str] = field(default_factory=set)
    """Folders that ought to hold trials; those that do are taken out."""


def find_trials(folders: Sequence[Path]) -> tuple[list[Place], list[Problem]]:
    """Every trial by its place, sorted; and what lies where nothing should.

    Raises:
        UserError: If a folder does not exist, or there is no trial below any.
    """
    walk = _Walk()
    for folder in folders:
        if not folder.is_dir():
            raise records.no_folder(folder)
        root = str(folder.resolve())
        above = len(_parts(root))
        for path, files in _folders(root, walk):
            _see(walk, above, path, files)
    if not walk.places:
        places = ", ".join(str(folder) for folder in folders)
        raise UserError(
            f"There is no trial in {places}. A trial lies at "
            "<submission>/study_<n>/<workload>_<jax or pytorch>/trial_<k>/. "
            "'algoperf run SUBMISSION' makes some."
        )
    walk.barren -= {place.path.rsplit(os.sep, up)[0] for place in walk.places for up in (1, 2)}
    walk.problems |= dict.fromkeys(walk.barren, "holds no trial")
    strays = [Problem(shown(path), what, "left out") for path, what in walk.problems.items()]
    problems = sorted([*strays, *_scattered(walk.places)], key=lambda problem: problem.path)
    return sorted(walk.places), problems


def _scattered(places: set[Place]) -> Iterator[Problem]:
    """Submissions whose trials lie in several folders: perhaps they are several."""
    found: dict[str, set[str]] = {}
    for place in places:
        found.setdefault(place.submission, set()).add(place.above)
    for name, folders in found.items():
        if len(folders) > 1:
            where = ", ".join(sorted(map(shown, folders)))
            what = f"the trials of {name!r} lie in several folders"
            yield Problem(where, what, "took them as one submission")


def _folders(root: str, walk: _Walk) -> Iterator[tuple[str, list[str]]]:
    """Every folder below `root`, links followed, with its files; each real folder once."""
    seen = {root}

    def unreadable(error: OSError) -> None:
        walk.problems[str(error.filename)] = f"cannot be read: {error.strerror}"

    for path, names, files in os.walk(root, onerror=unreadable, followlinks=True):
        kept = []
        for name in sorted(names):
            below = path + os.sep + name
            # What begins with a dot is a trial that is still being written, one that was repeated,
            # or a cache.
            if name.startswith("."):
                if (aside := _ASIDE.fullmatch(name)) is not None:
                    walk.repeats[path + os.sep + aside[1]] += 1
                continue
            if os.path.islink(below):  # noqa: PTH114 - thousands of them
                real = os.path.realpath(below)
                if real in seen or path.startswith(real):
                    walk.problems[below] = f"is a link to {shown(real)}, which is read already"
                    continue
                seen.add(real)
            kept.append(name)
        names[:] = kept
        yield path, files


def _parts(path: str) -> list[str]:
    """The names in a resolved path, from its root."""
    return path.rstrip(os.sep).split(os.sep)  # noqa: PTH206 - thousands of them


def _see(walk: _Walk, above: int, path: str, files: Sequence[str]) -> None:
    """Sorts one folder: a trial, something that should hold trials, a stray, or nothing.

    Args:
        walk: Takes what it is.
        above: How many of its path's names are not below the folder that was asked for.
        path: The folder.
        files: What lies in it.
    """
    names = _parts(path)
    inside = names[above:]
    place = _place(path, names, walk.repeats[path])
    if place is not None and _is_free(inside[:-3]):
        walk.places.add(place)
    elif place is not None or MEASUREMENTS in files:
        walk.problems[path] = (
            "holds measurements, but does not lie where a trial does "
            "(<submission>/study_<n>/<workload>_<jax or pytorch>/trial_<k>)"
            if _is_free(inside[:-1])
            else "lies inside another study or trial"
        )
    elif (wrong := _misnamed(inside)) is not None:
        walk.problems[path] = wrong
    elif _is_study(inside) or _is_study(inside[:-1]):
        walk.barren.add(path)


def _is_study(inside: Sequence[str]) -> bool:
    return bool(inside) and bool(_STUDY.fullmatch(inside[-1])) and _is_free(inside[:-1])


def _misnamed(inside: Sequence[str]) -> str | None:
    """What a folder ought to be named where it lies; None if it is, or may be anything."""
    if _is_study(inside[:-1]) and not _WORKLOAD.fullmatch(inside[-1]):
        return "is not named <workload>_<jax or pytorch>"
    if _is_study(inside[:-2]) and _WORKLOAD.fullmatch(inside[-2]):
        return "is not named trial_<k>"
    return None


def _is_free(above: Sequence[str]) -> bool:
    """Whether none of these folders is a study or a trial: a tree inside another is a copy."""
    return not any(_STUDY.fullmatch(name) or _TRIAL.fullmatch(name) for name in above)


def _place(path: str, names: Sequence[str], repeats: int) -> Place | None:
    if len(names) < 5:
        return None
    submission, *rest = names[-4:]
    study, workload, trial = (
        pattern.fullmatch(name)
        for pattern, name in zip((_STUDY, _WORKLOAD, _TRIAL), rest, strict=True)
    )
    if study is None or workload is None or trial is None:
        return None
    return Place(
        shown(submission), int(study[1]), workload[1], workload[2], int(trial[1]), path, repeats
    )
