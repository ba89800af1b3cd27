"""The published form of the rules against a scorer written from the description of MLCommons'.

It reads the same files, column `score` for time, and does step by step, in plain Python, what the
reference does: no code is shared with ours.
"""

import csv
import json
import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algoperf import rulesets
from algoperf.rules import Rules
from scoring.leaderboard import board
from tests.scoring import trees


def reference_scores(root: Path, rules: Rules) -> dict[str, float]:
    columns = [*rules.base_workloads, *rules.held_out]
    table = {}
    for submission in sorted(path.name for path in root.iterdir()):
        table[submission] = {
            workload: _workload_time(root / submission, workload, rules) for workload in columns
        }
    inf = math.inf
    for held_out in rules.held_out:
        base = max(filter(held_out.startswith, rules.base_workloads), key=len)
        for row in table.values():
            row[held_out] = inf if row[base] == inf else row[held_out]
    for workload in columns:
        limit = 4 * min(row[workload] for row in table.values())
        for row in table.values():
            row[workload] = inf if row[workload] > limit else row[workload]
    for held_out in rules.held_out:
        base = max(filter(held_out.startswith, rules.base_workloads), key=len)
        for row in table.values():
            row[base] = inf if row[held_out] == inf else row[base]
    tau = np.linspace(1, 4, 100)
    scores = {}
    for submission, row in table.items():
        rho = np.zeros(100)
        for workload in rules.base_workloads:
            best = min(other[workload] for other in table.values())
            if row[workload] < inf:
                rho += row[workload] / best <= tau
        scores[submission] = float(np.trapezoid(rho / len(rules.base_workloads), tau) / 3)
    return scores


def _workload_time(submission: Path, workload: str, rules: Rules) -> float:
    studies = []
    for study in sorted(submission.glob("study_*")):
        folders = [
            path
            for path in study.iterdir()
            if re.fullmatch(rf"{workload}_(jax|pytorch)", path.name)
        ]
        found = [_first_hit(t, workload, rules) for f in folders for t in sorted(f.glob("trial_*"))]
        if folders:
            # The fewest evaluations, and of equals the first.
            studies.append(min(found, key=lambda hit: hit[0], default=(math.inf, math.inf))[1])
    return statistics.median(studies) if studies else math.inf


def _first_hit(trial: Path, workload: str, rules: Rules) -> tuple[float, float]:
    target = rules.workloads[workload].validation
    with (trial / "eval_measurements.csv").open() as file:
        for index, row in enumerate(csv.DictReader(file)):
            value = float(row[f"validation/{target.metric}"])
            if value >= target.value if target.higher_is_better else value <= target.value:
                return index, float(row["score"])
    return math.inf, math.inf


COLUMNS = "accumulated_submission_time,score,global_step,validation/accuracy"
VALUES = np.array([0.1, 0.5, 0.9, 0.95, math.nan])


def curve(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Up to five evaluations; a third of them meets the target of 0.9, some are no number."""
    count = int(rng.integers(1, 6))
    seconds = np.cumsum(rng.integers(1, 31, count)) / 2
    values = rng.choice(VALUES, count)
    return [(time, time, 1, value) for time, value in zip(seconds, values, strict=True)]


@given(seed=st.integers(0, 2**32 - 1), with_variant=st.booleans())
@settings(max_examples=12, deadline=None)
def test_published_scores_come_out(tmp_path_factory, seed, with_variant):
    folder, rng = tmp_path_factory.mktemp("published"), np.random.default_rng(seed)
    trees.rules(folder)
    held_out = ["a_x"] if with_variant else []
    published = {
        "extends": "rules.json",
        "choice": "earliest_evaluation",
        "profile_points": 100,
        "held_out": held_out,
        "workloads": {"a_x": trees.WORKLOAD},
    }
    (folder / "published.json").write_text(json.dumps(published))
    rules = rulesets.load(folder / "published.json")
    for submission in ("ada", "bob", "eve"):
        for workload in ("a", "b", *held_out):
            for study in (1, 2):
                for trial in (1, 2):
                    place = folder / "logs" / submission / f"study_{study}" / f"{workload}_jax"
                    trees.write(place / f"trial_{trial}", curve(rng), COLUMNS)
    expected = reference_scores(folder / "logs", rules)
    found = board.score([folder / "logs"], rules, board.Options(resamples=1)).scores
    assert dict(zip(found["submission"], found["score"], strict=True)) == pytest.approx(expected)
