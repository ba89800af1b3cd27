"""What a reader of a leaderboard has to know about its numbers."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from algoperf import machine
from algoperf.errors import few
from scoring.intervals import Floats

ENOUGH_STUDIES = 5
"""With fewer studies an interval is too short: measured in benchmarks/coverage.py."""
FEW = 6
"""A note lists no more submissions than that."""


def of(
    submissions: list[str],
    fewest: NDArray[np.int64],
    by_study: Floats,
    scores: pd.DataFrame,
    trials: pd.DataFrame,
) -> list[str]:
    """The notes of a leaderboard of S submissions on B base workloads.

    Args:
        submissions: Names.
        fewest: Shape (S,): studies on the workload of which each has fewest.
        by_study: Shape (S, B, studies): times; NaN for no study, infinite for not reached.
        scores: As in `Leaderboard`.
        trials: As read.
    """
    notes = []
    if single := [name for name, few in zip(submissions, fewest, strict=True) if few == 1]:
        notes.append(
            f"Of one study nobody can say how sure it is: {few(single, FEW)}. Ranks are then the "
            f"order of the scores; {ENOUGH_STUDIES} studies are the least for an interval."
        )
    if len(several := fewest[fewest > 1]) and several.min() < ENOUGH_STUDIES:
        notes.append(
            f"With {several.min()} studies an interval shows how far these runs differ, and is too "
            f"short: it takes about {ENOUGH_STUDIES} to hold the truth as often as it says."
        )
    if (partly := _partly(by_study)) and len(several):
        notes.append(
            f"In {partly} cases a target was reached in some studies and not in others: there "
            "intervals are too short, and orders less certain than they seem, with few studies."
        )
    slowed = scores[scores["slowed"] > 0]
    if len(slowed):
        parts = [f"{r.submission} {r.slowed} of {r.studies}" for r in slowed.itertuples()]
        notes.append(
            "Studies whose time rests on a trial during which the machine was slowed down by "
            f"{machine.SLOWED - 1:.0%} or more: {few(parts, FEW)}."
        )
    if repeated := int((trials["repeats"] > 0).sum()):
        notes.append(
            f"{repeated} of {len(trials)} trials were repeated since the machine was slow while "
            "they ran; of each, the record that was slowed least counts, the others lie beside it."
        )
    if scores["mismatched"].any():
        names = ", ".join(scores.loc[scores["mismatched"] > 0, "submission"])
        notes.append(f"Verification found results that do not repeat: {names}.")
    return notes


def _partly(by_study: Floats) -> int:
    """On how many base workloads a submission reached the target in some studies, not in all."""
    return int((np.isfinite(by_study).any(axis=-1) & np.isinf(by_study).any(axis=-1)).sum())
