"""Trials and what they tell of themselves, before anything is known of the rules."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from algoperf import records, slowed
from algoperf.rules import Ruleset
from algoperf.slowed import Pace
from algoperf.spec import Status
from scoring.leaderboard.find import Place, find_trials
from scoring.leaderboard.measurements import AXES
from scoring.problems import Problem
from scoring.progress import Tell, quiet

_EVERY = 500
"""Manifests from one word about them to the next."""


class Told(NamedTuple):
    """What counts of a trial's manifest. Of very many trials the whole would fill the memory.

    Attributes:
        rules: Name of the rules under which it was run.
        ruleset: External or self-tuning.
        fixed: Its targets, budget and step hint, as recorded.
        status: How it ended.
        failure: Why it failed; "" if it did not.
        pace: How fast its machine was.
        unknown: By axis, why a trial's time on it is not known.
    """

    rules: str
    ruleset: Ruleset
    fixed: Mapping[str, Any]
    status: Status
    failure: str
    pace: Pace
    unknown: Mapping[str, str]


@dataclass(frozen=True)
class Gathered:
    """What lies in some folders.

    Attributes:
        told: Every trial by its place, sorted, with what it tells; None without a manifest that
            can be read.
        problems: What lies where nothing should.
    """

    told: Mapping[Place, Told | None]
    problems: Sequence[Problem]

    @property
    def rules(self) -> set[str]:
        """Names of the rules under which the trials were run, as far as they are recorded."""
        return {told.rules for told in self.told.values() if told is not None}


def gather(folders: Sequence[Path], tell: Tell = quiet) -> Gathered:
    """All trials below the folders: results folders or log trees.

    Raises:
        UserError: If a folder does not exist, or there is no trial below any.
    """
    tell("looking for trials")
    places, problems = find_trials(folders)
    alike: dict[str, Mapping[str, Any]] = {}
    told: dict[Place, Told | None] = {}
    for number, place in enumerate(places):
        if number % _EVERY == 0:
            tell(f"reading manifests: {number:,} of {len(places):,}")
        told[place] = _told(place.path, alike)
    return Gathered(told, problems)


def _told(trial: str, alike: dict[str, Mapping[str, Any]]) -> Told | None:
    """What the trial's manifest tells; what is fixed, by its JSON, is taken from `alike`."""
    manifest = records.read_manifest(trial)
    if manifest is None:
        return None
    ending, fixed = manifest["ending"], manifest["workload"]["fixed"]
    status = Status(ending["status"])
    unknown = {axis: str(why) for axis in AXES if (why := manifest.get(f"{axis}_unknown"))}
    return Told(
        rules=sys.intern(manifest["rules"]),
        ruleset=Ruleset(manifest["ruleset"]),
        fixed=alike.setdefault(json.dumps(fixed), fixed),
        status=status,
        failure=ending["reason"] if status == Status.FAILED else "",
        pace=slowed.pace(manifest),
        unknown=unknown,
    )
