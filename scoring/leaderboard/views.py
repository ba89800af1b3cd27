"""More than one number: time to the test target, what tuning did, where the time went."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from algoperf import machine
from algoperf.records import HYPERPARAMETERS
from scoring.leaderboard.logs import Logs
from scoring.leaderboard.times import STUDY, medians, study_array

_FEWEST_POINTS = 4
"""With fewer distinct values a rank correlation says nothing."""


def test_times(trials: pd.DataFrame, submissions: list[str], workloads: list[str]) -> np.ndarray:
    """Median over studies of the fastest trial's time to the test target: time to its first hit.

    Returns:
        Shape (submissions, workloads); inf if never, NaN where nothing was run.
    """
    fastest = trials.groupby(STUDY)["test_time"].min().reset_index()
    return medians(study_array(fastest, submissions, workloads, "test_time"))


def resting_on(chosen: pd.DataFrame) -> pd.DataFrame:
    """How far each submission's times can be relied on.

    Args:
        chosen: `times.chosen_trials`.

    Returns:
        Indexed by submission: `studies` (that reached a target), and of those `slowed` (their
        trial ran on a slowed-down machine), `verified` and `mismatched`.
    """
    reached = chosen[chosen["reached"]]
    marks = pd.DataFrame(
        {
            "submission": reached["submission"],
            "studies": 1,
            "slowed": reached["slowdown"] >= machine.SLOWED,
            "verified": reached["verified"] == "match",
            "mismatched": reached["verified"] == "mismatch",
        }
    )
    found = marks.groupby("submission").sum().astype(int)
    return found.reindex(chosen["submission"].unique(), fill_value=0)


def shares(logs: Logs) -> pd.DataFrame:
    """Where the time went, a row a submission.

    Returns:
        Columns `submission`, `evaluation` (share of a trial's whole time), `compile` and `data`
        (seconds over the submission's own time): of all trials together, NaN where not recorded.
    """
    last = logs.evaluations.groupby("row").last()
    named = last.join(logs.trials["submission"])
    sums = named.groupby("submission").sum(min_count=1)
    known = named.groupby("submission").count()
    whole = {
        "evaluation": ("evaluation_s", "total_s"),
        "compile": ("compile_s", "seconds"),
        "data": ("data_s", "seconds"),
    }
    found = {
        name: (sums[part] / sums[of]).where(known[part] == known[of])
        for name, (part, of) in whole.items()
    }
    return pd.DataFrame(found).rename_axis("submission").reset_index()


def points(trials: pd.DataFrame) -> list[Mapping[str, Any]]:
    """The hyperparameter point of each trial; empty where none is recorded."""
    return [_point(path / HYPERPARAMETERS) for path in trials["path"]]


def _point(file: Path) -> Mapping[str, Any]:
    try:
        point = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return point if isinstance(point, dict) else {}


def tuning(trials: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Which point won where, and what the others did.

    Returns:
        One row a study that reached its target: `submission`, `workload`, `study`, `trial` (the
        winner), `time`, `point` (JSON), `reached` and `trials` (how many of the study's trials
        did, of how many) and `next` (ratio of the fastest other trial's time, inf if none).
    """
    others = trials.drop(index=chosen.index).groupby(STUDY)["time"].min()
    counts = trials.groupby(STUDY)["reached"].agg(reached="sum", trials="size")
    won = chosen.loc[chosen["reached"], [*STUDY, "trial", "time", "path"]]
    found = won.join(counts, on=STUDY).join(others.rename("others"), on=STUDY)
    found["next"] = found["others"].fillna(np.inf) / found["time"]
    found["point"] = [json.dumps(point) for point in points(won)]
    columns = [*STUDY, "trial", "time", "point", "reached", "trials", "next"]
    return found[columns].reset_index(drop=True)


def hyperparameters(trials: pd.DataFrame) -> pd.DataFrame:
    """How the time to the target goes with each hyperparameter, over all trials on a workload.

    Returns:
        One row a submission, workload and numeric hyperparameter with four distinct values or
        more: `submission`, `workload`, `hyperparameter`, `trials`, `spearman`: the rank
        correlation of value and time, a target never reached as the longest time. NaN if all
        trials are alike.
    """
    from scipy import stats  # half a second that only the report needs

    frame = pd.DataFrame(points(trials), index=trials.index)
    numeric = frame.apply(pd.to_numeric, errors="coerce")
    rows = []
    for (submission, workload), own in trials.groupby(["submission", "workload"]):
        for name in numeric.columns:
            values = numeric.loc[own.index, name].dropna()
            if values.nunique() < _FEWEST_POINTS:
                continue
            ranks = own.loc[values.index, "time"].rank()
            alike = len(set(ranks)) == 1
            rows.append(
                {
                    "submission": submission,
                    "workload": workload,
                    "hyperparameter": name,
                    "trials": len(values),
                    "spearman": np.nan if alike else stats.spearmanr(values, ranks).statistic,
                }
            )
    columns = ["submission", "workload", "hyperparameter", "trials", "spearman"]
    return pd.DataFrame(rows, columns=columns)
