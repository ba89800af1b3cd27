"""Time-to-result of a trial, a study, a workload.

Dahl et al. 2023, arXiv:2306.07179, and AlgoPerf's rules: a study's time is that of its fastest
trial, a submission's time on a workload is the median over its studies.
"""

import numpy as np
import pandas as pd


def study_times(trials: pd.DataFrame) -> pd.DataFrame:
    """The time of each study: that of its fastest trial, inf if none reached the target.

    Args:
        trials: `Logs.trials`.

    Returns:
        Columns `submission`, `workload`, `study`, `time`.
    """
    keys = ["submission", "workload", "study"]
    return trials.groupby(keys)["time"].min().reset_index()


def workload_times(studies: pd.DataFrame) -> pd.DataFrame:
    """The median over studies, submissions as rows and workloads as columns; NaN if none ran.

    The median of an even number of studies is the mean of the middle two: if one of those is
    inf, so is the median.
    """
    table = studies.pivot_table(
        index="submission", columns="workload", values="time", aggfunc=_median, sort=True
    )
    return table.rename_axis(index="submission", columns="workload")


def _median(times: pd.Series) -> float:
    return float(np.median(times.to_numpy()))


def study_array(studies: pd.DataFrame, submissions: list[str], workloads: list[str]) -> np.ndarray:
    """The same as an array, for resampling.

    Returns:
        Shape (submissions, workloads, studies), padded with NaN where a study is missing.
    """
    most = int(studies.groupby(["submission", "workload"]).size().max())
    array = np.full((len(submissions), len(workloads), most), np.nan)
    for (submission, workload), own in studies.groupby(["submission", "workload"]):
        if submission in submissions and workload in workloads:
            place = submissions.index(str(submission)), workloads.index(str(workload))
            array[place][: len(own)] = own["time"].to_numpy()
    return array
