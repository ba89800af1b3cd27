"""Time-to-result of a trial, a study, a workload.

Dahl et al. 2023, arXiv:2306.07179, and AlgoPerf's rules: a study's time is that of its fastest
trial, a submission's time on a workload is the median over its studies.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from algoperf.rules import TrialChoice
from scoring.intervals import Floats

STUDY = ["submission", "workload", "study"]


def chosen_trials(trials: pd.DataFrame, choice: TrialChoice = TrialChoice.FASTEST) -> pd.DataFrame:
    """The trial that each study's time is that of.

    Args:
        trials: `Logs.trials`.
        choice: The fastest by time, as the rules say, or the one that needed the fewest
            evaluations, as MLCommons' scorer takes. Of equals the one with the lowest number;
            so too where none reached the target.

    Returns:
        One row a study, with the columns of `trials`, and the index of `trials`.
    """
    order = trials.assign(evaluation=trials["evaluation"].where(trials["reached"], np.inf))
    first = "time" if choice is TrialChoice.FASTEST else "evaluation"
    order = order.sort_values([*STUDY, first, "trial"], kind="stable")
    return trials.loc[order.drop_duplicates(STUDY).index]


def machines(trials: pd.DataFrame) -> pd.Series:
    """Machine ("" if not recorded) to the submissions with a time from it.

    Trials without a result do not matter, nor those whose manifest cannot be read.
    """
    timed = trials[trials["reached"] & trials["machine"].notna()]
    return timed.groupby("machine")["submission"].unique()


def study_array(
    studies: pd.DataFrame, submissions: Sequence[str], workloads: Sequence[str], column: str
) -> Floats:
    """A column of the chosen trials as an array, for medians and for resampling.

    Returns:
        Shape (submissions, workloads, studies), padded with NaN where a study is missing. Studies
        stand in the order of their numbers: the same place is the same study for every submission
        that has all of them.
    """
    known = studies[
        studies["submission"].isin(submissions) & studies["workload"].isin(workloads)
    ].sort_values(STUDY)
    place = known.groupby(["submission", "workload"]).cumcount()
    array = np.full((len(submissions), len(workloads), int(place.max()) + 1), np.nan)
    rows = pd.Index(submissions).get_indexer(pd.Index(known["submission"]))
    columns = pd.Index(workloads).get_indexer(pd.Index(known["workload"]))
    array[rows, columns, place] = known[column]
    return array


def medians(array: Floats) -> Floats:
    """The median over studies; of an even number the mean of the middle two, inf if one is.

    Args:
        array: Shape (..., studies), NaN where there is no study.

    Returns:
        Shape (...); NaN where there is no study at all.
    """
    counts = (~np.isnan(array)).sum(axis=-1)
    ordered = np.sort(array, axis=-1)  # NaN goes last
    most = np.maximum(counts, 1)
    middle = [
        np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
        for place in ((most - 1) // 2, most // 2)
    ]
    return (middle[0] + middle[1]) / 2
