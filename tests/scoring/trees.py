"""Log trees that tests write."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from algoperf import rulesets
from algoperf.rules import Rules

COLUMNS = "accumulated_submission_time,global_step,validation/accuracy"

WORKLOAD = {
    "metric": "accuracy",
    "higher_is_better": True,
    "validation_target": 0.9,
    "test_target": None,
    "budget_s": 100.0,
    "step_hint": 10,
}


def rules(folder: Path) -> Rules:
    """Workloads a and b, accuracy 0.9 in 100 s, two studies of two trials."""
    raw = {
        "suite": "quick",
        "tuning": {
            "external": {"studies": 2, "trials": 2, "budget_factor": 1.0},
            "self_tuning": {"studies": 2, "trials": 1, "budget_factor": 1.5},
        },
        "base_workloads": ["a", "b"],
        "tau_max": 4.0,
        "workloads": {"a": WORKLOAD, "b": WORKLOAD},
    }
    path = folder / "rules.json"
    path.write_text(json.dumps(raw))
    return rulesets.load(path)


def write(place: Path, rows: Sequence[Sequence[float]], columns: str = COLUMNS) -> None:
    """A trial with these evaluations."""
    place.mkdir(parents=True)
    lines = [columns, *(",".join(map(str, row)) for row in rows)]
    (place / "eval_measurements.csv").write_text("\n".join(lines) + "\n")


def write_all(root: Path, trials: Mapping[tuple[str, int, str], Sequence[float | None]]) -> None:
    """Seconds to target of each trial, by submission, study and workload; None is never."""
    for (submission, study, workload), seconds in trials.items():
        for trial, time in enumerate(seconds, 1):
            place = root / submission / f"study_{study}" / f"{workload}_jax" / f"trial_{trial}"
            last = (time, time, 0.95) if time else (99, 99, 0.8)
            write(place, [(1, 1, 0.1), last])
