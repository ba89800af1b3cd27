"""One trial to its row: its evaluations, and when they first meet the targets."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algoperf import disk, records
from algoperf.records import MANIFEST
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.spec import Status, Target
from scoring.intervals import Floats
from scoring.leaderboard.cache import Cache
from scoring.leaderboard.find import Place
from scoring.leaderboard.gathered import Told
from scoring.leaderboard.measurements import AXES, FIELDS, Fault, Parsed

Report = Callable[[str, str, str], None]
"""(where, what is wrong, what was done about it)."""

_MOST_BYTES = 10**9
"""Of a log: a million evaluations and more."""

TOGETHER = 500
_TOGETHER_BYTES = 64_000_000
"""So many logs are parsed together, or so much: few tables, and not too much memory."""

_SECONDS, _VALIDATION, _TEST = map(FIELDS.index, ("seconds", "validation", "test"))


@dataclass(frozen=True)
class Asked:
    """What a trial's time is.

    Attributes:
        ruleset: What the trial was run under.
        fixed: Its targets and budget.
        budget_checked: Whether a target that is met past the budget does not count.
        axis: What time is measured in: a key of `AXES`.
    """

    ruleset: Ruleset
    fixed: WorkloadRules
    budget_checked: bool
    axis: str

    @functools.cached_property
    def recorded(self) -> Mapping[str, Any]:
        """What is fixed, as a manifest holds it."""
        return records.recorded_form(self.fixed)


Trial = tuple[Place, Told | None, Asked]


def evaluations(trials: Iterable[Trial], cache: Cache) -> Iterator[Parsed]:
    """The trials' evaluations, and what is wrong with their files, in their order."""
    batch: list[tuple[bytes | list[Fault], str]] = []
    size = 0
    for place, told, asked in trials:
        raw = _raw(place, told)
        batch.append((raw, asked.fixed.validation.metric))
        size += len(raw)
        if len(batch) >= TOGETHER or size >= _TOGETHER_BYTES:
            yield from _parsed(batch, cache)
            batch, size = [], 0
    yield from _parsed(batch, cache)


def _parsed(batch: Sequence[tuple[bytes | list[Fault], str]], cache: Cache) -> Iterator[Parsed]:
    parsed = iter(cache.parse([(raw, name) for raw, name in batch if isinstance(raw, bytes)]))
    for raw, _ in batch:
        yield next(parsed) if isinstance(raw, bytes) else (np.empty((0, len(FIELDS))), raw)


def _raw(place: Place, told: Told | None) -> bytes | list[Fault]:
    """The file; or what is wrong where there is nothing to parse."""
    # A trial that ended before its first evaluation has no measurements.
    by_right = told is not None and told.status in (Status.FAILED, Status.BUDGET_EXHAUSTED)
    try:
        raw = disk.read_small(place.measurements, _MOST_BYTES)
    except FileNotFoundError:
        return [] if by_right else [("is missing", "counted as not reached")]
    except OSError as error:
        return [(f"cannot be read: {error.strerror}", "counted as not reached")]
    return raw if raw or not by_right else []


def row(
    place: Place, told: Told | None, asked: Asked, parsed: Parsed, report: Report
) -> dict[str, Any]:
    """A row of `Logs.trials`, but for what needs other trials."""
    path = Path(place.path)
    unreadable = told is None and (path / MANIFEST).exists()
    if unreadable:
        action = "done without, and took its machine to be that of the others"
        report(str(path / MANIFEST), "is not a readable manifest", action)
    if told is not None and told.fixed != asked.recorded:
        what = "was run with other targets or another budget"
        report(place.path, what, "scored by those of the rules given")
    if told is not None and told.status == Status.FAILED:
        report(place.path, f"failed: {told.failure}", "took the evaluations before that")
    evaluations, faults = parsed
    for what, action in faults:
        report(place.measurements, what, action)
    hit, time = _first(evaluations, asked, place, told, report)
    return {
        "submission": place.submission,
        "study": place.study,
        "workload": place.workload,
        "framework": place.framework,
        "trial": place.trial,
        "repeats": place.repeats,
        "path": path,  # no text: its name may be in no encoding
        "ruleset": asked.ruleset,
        "status": "" if told is None else str(told.status),
        "machine": None if unreadable else "" if told is None else told.pace.machine,
        "verified": "" if told is None else records.read_verdict(place.path),
        "reached": hit >= 0,
        "evaluation": hit,
        "time": time,
        "test_time": _test_time(evaluations, asked),
    }


def _first(
    evaluations: Floats, asked: Asked, place: Place, told: Told | None, report: Report
) -> tuple[int, float]:
    """Which evaluation first meets the validation target, and when; (-1, inf) if none does."""
    budget_s = asked.fixed.budget_s
    met = _met(evaluations[:, _VALIDATION], asked.fixed.validation)
    in_time = evaluations[:, _SECONDS] <= budget_s
    times = evaluations[:, FIELDS.index(asked.axis)]
    counts = met & in_time if asked.budget_checked else met
    known = counts & np.isfinite(times)
    if asked.budget_checked and (late := int(np.count_nonzero(~in_time))):
        what = f"{late} evaluations lie past the budget of {budget_s:g} s"
        report(place.measurements, what, "not counted")
    if known.any():
        hit = int(known.argmax())
        if not in_time[hit]:
            what = f"the target is met past the budget of {budget_s:g} s"
            report(place.measurements, what, "counted, as the published scores do")
        return hit, float(times[hit])
    if counts.any():
        why = told.unknown.get(asked.axis) if told is not None else None
        what = f"the target is met, but {AXES[asked.axis]} is not known{f': {why}' if why else ''}"
        report(place.measurements, what, "counted as not reached")
    return -1, math.inf


def _test_time(evaluations: Floats, asked: Asked) -> float:
    """When the test target is first met; inf if it never is."""
    met = _met(evaluations[:, _TEST], asked.fixed.test)
    if asked.budget_checked:
        met &= evaluations[:, _SECONDS] <= asked.fixed.budget_s
    if not met.any():
        return math.inf
    time = float(evaluations[met.argmax(), FIELDS.index(asked.axis)])
    return time if math.isfinite(time) else math.inf


def _met(values: Floats, target: Target) -> NDArray[np.bool_]:
    beyond = values >= target.value if target.higher_is_better else values <= target.value
    return beyond & np.isfinite(values)
