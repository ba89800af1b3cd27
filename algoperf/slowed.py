"""Trials during which the machine was slow: which they are, and repeating them. No jax.

A repeat has the same seed and the same point as the trial. Whichever of the two records was slowed
less is the trial's from then on, whatever the results are; the other is kept beside it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from algoperf import granted, machine, records, registry, study
from algoperf.records import TrialSpec
from algoperf.rules import Rules, Ruleset

Manifest = Mapping[str, Any]

Best = Mapping[str, Mapping[str, float]]
"""By machine, the least seconds of each piece of work."""


def best(manifests: Iterable[Manifest | None]) -> Best:
    """By machine, the least time of each piece of work that any of its trials saw or knew of."""
    found: dict[str, dict[str, float]] = {}
    for manifest in filter(None, manifests):
        own = found.setdefault(manifest.get("machine_id") or "", {})
        known = manifest.get("calibration_best") or {}
        for measured in (known, *(manifest.get("calibration") or {}).values()):
            for name, seconds in measured.items():
                own[name] = min(seconds, own.get(name, math.inf))
    return found


def slowdown(manifest: Manifest | None, known: Best) -> float:
    """How much slower than its best the machine was; NaN if that was not measured.

    Args:
        manifest: The trial's.
        known: Of a collection of manifests that the trial's is one of.
    """
    if manifest is None or not manifest.get("calibration"):
        return math.nan
    return machine.slowdown(manifest["calibration"], known[manifest.get("machine_id") or ""])


def less(repeat: Manifest | None, before: Manifest | None) -> bool:
    """Whether the repeat ran on a like machine that was slowed less, so that it counts instead."""
    if repeat is None or before is None or repeat.get("machine_id") != before.get("machine_id"):
        return False
    known = best([repeat, before])
    return slowdown(repeat, known) < slowdown(before, known)


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
    manifests = {trial: records.read_manifest(trial) for trial in records.every(results)}
    known = best(manifests.values())
    found = []
    for path in dict.fromkeys(map(registry.submission_path, submissions)):
        name, sha256 = registry.submission_name(path), registry.source_hash(path)
        own = map(manifests.get, records.finished(results, name))
        ruleset = next((Ruleset(manifest["ruleset"]) for manifest in own if manifest), None)
        if ruleset is None:
            continue
        places = granted.places(results, name, workloads, rules.tuning[ruleset], studies)
        for (number, workload, trial), folder in places.items():
            manifest = manifests.get(folder)
            slow = slowdown(manifest, known)
            if manifest is None or not slow >= machine.SLOWED:
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
