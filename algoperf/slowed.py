"""Trials during which the machine was slow: which they are, and repeating them. No jax.

A repeat has the same seed and the same point as the trial. Whichever of the two records was slowed
less is the trial's from then on, whatever the results are; the other is kept beside it.
"""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from algoperf import granted, machine, records, registry, study
from algoperf.records import TrialSpec
from algoperf.rules import Rules, Ruleset


class Pace(NamedTuple):
    """How fast the machine was during a trial. Of very many trials this is kept, not the manifests.

    Attributes:
        machine: Its id; "" if that is not recorded.
        means: Mean seconds of each piece of work, before and after; empty if not measured.
        least: The least seconds of each piece that the trial saw or knew of.
    """

    machine: str
    means: tuple[tuple[str, float], ...]
    least: tuple[tuple[str, float], ...]


Best = Mapping[str, Mapping[str, float]]
"""By machine, the least seconds of each piece of work."""


def pace(manifest: Mapping[str, Any]) -> Pace:
    """What a manifest tells of its machine's pace."""
    moments = list((manifest.get("calibration") or {}).values())
    least = dict(manifest.get("calibration_best") or {})
    means = {}
    for name in moments[0] if moments else ():
        took = [moment[name] for moment in moments]
        means[name] = sum(took) / len(took)
        least[name] = min(*took, least.get(name, math.inf))
    return Pace(sys.intern(manifest.get("machine_id") or ""), _pairs(means), _pairs(least))


def _pairs(seconds: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple((sys.intern(name), value) for name, value in seconds.items())


def best(paces: Iterable[Pace | None]) -> Best:
    """By machine, the least time of each piece of work that any of its trials saw or knew of."""
    found: dict[str, dict[str, float]] = {}
    for own in filter(None, paces):
        known = found.setdefault(own.machine, {})
        for name, seconds in own.least:
            known[name] = min(seconds, known.get(name, math.inf))
    return found


def slowdown(own: Pace | None, known: Best) -> float:
    """How much slower than its best the machine was, as a ratio; NaN if that was not measured.

    Args:
        own: The trial's.
        known: Of a collection of paces that the trial's is one of.

    Returns:
        Of the pieces' means over before and after, the worst ratio to its best: 1 is the best.
    """
    if own is None or not own.means:
        return math.nan
    least = known[own.machine]
    return max(seconds / least[name] for name, seconds in own.means)


def less(repeat: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> bool:
    """Whether the repeat ran on a like machine that was slowed less, so that it counts instead.

    Args:
        repeat: The repeat's manifest.
        before: That of the record that counted until then.
    """
    if repeat is None or before is None or repeat.get("machine_id") != before.get("machine_id"):
        return False
    now, then = pace(repeat), pace(before)
    known = best([now, then])
    return slowdown(now, known) < slowdown(then, known)


@dataclass(frozen=True)
class Slowed:
    """A recorded trial that is to be repeated.

    Attributes:
        spec: The repeat.
        slowdown: How much slower than its best the machine was, as a ratio.
    """

    spec: TrialSpec
    slowdown: float


def find(
    submissions: Sequence[str],
    workloads: Sequence[str],
    rules: Rules,
    results: Path,
    studies: int | None = None,
) -> list[Slowed]:
    """The recorded trials to repeat, in the order in which they are run.

    Args:
        submissions: Names or paths; what is recorded of them is of these files and rules.
        workloads: On which.
        rules: The rules.
        results: The results folder. What a machine's best is, all trials in it tell.
        studies: Only the first so many; None for all.
    """
    paces = {
        trial: pace(manifest)
        for trial in records.every(results)
        if (manifest := records.read_manifest(trial)) is not None
    }
    known = best(paces.values())
    found = []
    for path in dict.fromkeys(map(registry.submission_path, submissions)):
        name, sha256 = registry.submission_name(path), registry.source_hash(path)
        own = map(records.read_manifest, records.finished(results, name))
        ruleset = next((Ruleset(manifest["ruleset"]) for manifest in own if manifest), None)
        if ruleset is None:
            continue
        places = granted.places(results, name, workloads, rules.tuning[ruleset], studies)
        for (number, workload, trial), folder in places.items():
            slow = slowdown(paces.get(folder), known)
            if not slow >= machine.SLOWED:
                continue
            manifest = records.read_manifest(folder)
            if manifest is None:  # taken away meanwhile
                continue
            spec = TrialSpec(
                submission=name,
                path=path,
                sha256=sha256,
                workload=workload,
                study=number,
                trial=trial,
                seed=granted.seed_of(rules.seed, number, workload, trial),
                point=manifest.get("point"),
                ruleset=ruleset,
                rules=rules.name,
                fixed=rules.fixed(workload, ruleset),
                repeat=_next(Path(folder)),
            )
            found.append(Slowed(spec, slow))
    return study.in_order(found, workloads, lambda slow: slow.spec)


def _next(trial: Path) -> int:
    """The number of the trial's next repeat."""
    number = 1
    while records.aside(trial, number).exists():
        number += 1
    return number
