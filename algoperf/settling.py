"""From target-setting runs to targets and budgets. Dahl et al. 2023, arXiv:2306.07179."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from algoperf import records
from algoperf.errors import UserError
from algoperf.records import TrialSpec
from algoperf.spec import Target


@dataclass(frozen=True)
class Protocol:
    """How targets are set.

    Attributes:
        submissions: The target-setting algorithms.
        points: Points tried with each.
        seeds: Repetitions of the best.
        horizon: Share of the step hint that a run takes.
        budget_factor: Budget as a multiple of the slowest algorithm's time for the step hint.
        search_variants: Whether a variant has a search of its own, or takes its base's best point.
        horizons: Base workload to another share than `horizon`, for it and its variants.
    """

    submissions: tuple[str, ...]
    points: int
    seeds: int
    horizon: float
    budget_factor: float
    search_variants: bool = True
    horizons: Mapping[str, float] = field(default_factory=dict)


def outcome(spec: TrialSpec, results: Path) -> dict[str, Any]:
    """What one run came to: its best validation value, and the test value at that evaluation."""
    target = spec.fixed.validation
    found: dict[str, Any] = {
        "submission": spec.submission,
        "point": spec.point,
        "seed": spec.seed,
        "best_validation": None,
    }
    try:
        rows = records.read_measurements(spec.folder(results))
    except FileNotFoundError:  # it ended before its first evaluation
        return found
    measured = rows[np.isfinite(rows[f"validation/{target.metric}"])]
    if len(measured):
        ordered = measured.sort_values(f"validation/{target.metric}", kind="stable")
        row = ordered.iloc[-1 if target.higher_is_better else 0]
        last = rows.iloc[-1]
        found |= {
            "best_validation": float(row[f"validation/{target.metric}"]),
            "test": float(row[f"test/{target.metric}"]),
            "step": int(row["global_step"]),
            "step_s": float(last["accumulated_submission_time"] / last["global_step"]),
        }
    return found


def best_of(specs: Sequence[TrialSpec], results: Path) -> TrialSpec:
    """The trial with the best validation value."""
    best = best_place(specs[0].fixed.validation, [outcome(spec, results) for spec in specs])
    if best is None:
        raise UserError(f"No target-setting run on {specs[0].workload} measured a finite value.")
    return specs[best]


def best_place(target: Target, outcomes: Sequence[Mapping[str, Any]]) -> int | None:
    """Where the outcome with the best validation value stands; None if none measured one."""
    best, best_value = None, math.nan
    for place, found in enumerate(outcomes):
        value = found["best_validation"]
        if value is not None and target.better(value, best_value):
            best, best_value = place, value
    return best


def settle(
    target: Target,
    how: Protocol,
    repeats: list[dict[str, Any]],
    search: Sequence[dict[str, Any]] = (),
    *,
    step_hint: int = 0,
    budget_s: float | None = None,
) -> dict[str, Any]:
    """Target, test target and budget from the runs, with all of them as provenance.

    Args:
        target: Metric and direction; its value does not matter.
        how: The protocol.
        repeats: Outcomes of the best point's repetitions.
        search: Outcomes of the search; empty for a variant that had none.
        step_hint: Of the workload; needed where there was a search.
        budget_s: The base's budget [s], for a variant that had no search.
    """
    # A run that never measured a number counts as the worst.
    worst = -math.inf if target.higher_is_better else math.inf
    values = [worst if r["best_validation"] is None else r["best_validation"] for r in repeats]
    value = statistics.median(values)
    if not math.isfinite(value):
        raise UserError("More than half of the repeated runs measured nothing; widen the search.")
    hit = replace(target, value=value)
    tests = [r["test"] for r, v in zip(repeats, values, strict=True) if hit.met(v)]
    if budget_s is None:
        by_algorithm = [
            [run["step_s"] for run in search if run["submission"] == name and "step_s" in run]
            for name in how.submissions
        ]
        # The fastest run of each: whatever else ran on the machine only ever made one slower.
        step_s = max(min(times) for times in by_algorithm if times)
        budget_s = float(math.ceil(how.budget_factor * step_s * step_hint))
    return {
        "validation_target": value,
        "test_target": min(tests) if target.higher_is_better else max(tests),
        "budget_s": budget_s,
        "repeats": repeats,
        "search": list(search),
    }
