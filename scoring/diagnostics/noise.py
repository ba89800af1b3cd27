"""How many wrong labels it would take for two models to change places.

Northcutt, Athalye & Mueller 2021, arXiv:2103.14749 (benchmarks under label noise).
"""

import itertools
import math

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics import chain, resample
from scoring.diagnostics.auditing import named
from scoring.diagnostics.table import CORRECTED, Block, Booleans, Integers
from scoring.intervals import Floats
from scoring.problems import Problem

RESAMPLES = 200
SEED = 0


def noise_at_crossing(
    difference_on_corrected: Floats, difference_on_benign: Floats, corrected: Floats, benign: Floats
) -> Floats:
    """The label-noise prevalence at which two models have equal accuracy.

    With a share x of the benign samples taken away, accuracy is

        A(x) = (A_C |C| + (1 - x) A_B |B|) / (|C| + (1 - x) |B|)

    over the corrected samples C (judged by their corrected labels) and the benign ones B; the
    prevalence is |C| / (|C| + (1 - x) |B|). Northcutt et al. 2021, arXiv:2103.14749, section 5.

    Args:
        difference_on_corrected: The first model's accuracy on C less the second's.
        difference_on_benign: The same on B.
        corrected: |C|.
        benign: |B|.

    Returns:
        The prevalence, between that of all samples and 1; NaN if they do not change places there.
    """
    on_c, on_b = difference_on_corrected * corrected, difference_on_benign * benign
    left = np.divide(-on_c, on_b, out=np.full_like(on_b, np.nan), where=on_b != 0)  # 1 - x
    crosses = (left >= 0) & (left <= 1) & (corrected > 0)  # NaN is neither
    size = corrected + np.where(crosses, left, 0.0) * benign
    return np.divide(corrected, size, out=np.full_like(size, np.nan), where=crosses)


def crossings(
    block: Block, labels: Integers, known: Booleans, source: str, problems: list[Problem]
) -> pd.DataFrame:
    """The noise level at which each pair of models changes places, with bootstrap intervals.

    Args:
        block: One family and task.
        labels: Corrected labels, shape (samples,).
        known: Where they are known.
        source: Whose they are.
        problems: Where samples that are left out are told.

    Returns:
        One row a pair. `low` and `high` are over the resamples in which they change places, and
        NaN where they do not in all samples.
    """
    if len(block.models) < 2:
        return pd.DataFrame()
    hits = chain.accuracy(block.loglik, labels)
    undefined: Booleans = np.logical_or.reduce(np.isnan(hits), axis=0)
    if undefined.any():
        told = f"accuracy of {int(undefined.sum())} samples is not defined{named(block, undefined)}"
        problems.append(Problem(block.where, told, "left them out of noise crossings"))
    used = known & ~undefined
    if not used.any():
        return pd.DataFrame()
    wrong, hits = (labels != block.gold)[used], hits[:, used]
    columns = np.stack([wrong, ~wrong, *(hits * wrong), *(hits * ~wrong)], axis=1).astype(float)
    cluster = block.cluster
    if cluster is not None:
        cluster = np.unique(cluster[used], return_inverse=True)[1]
    point = columns.sum(axis=0)[None]
    drawn = resample.sums(columns, cluster, RESAMPLES, SEED)
    rows = []
    for a, b in itertools.combinations(range(len(block.models)), 2):
        at, draws = float(_crossing(point, a, b)[0]), _crossing(drawn, a, b)
        crossed = draws[~np.isnan(draws)]
        low, high = math.nan, math.nan
        if len(crossed) and not math.isnan(at):
            low, high = np.quantile(crossed, [0.025, 0.975])
        rows.append(
            {
                "family": block.family, "task": block.task, "first": block.models[a],
                "second": block.models[b], "source": source, "noise": float(wrong.mean()),
                "n_corrected": int(wrong.sum()), "n_samples": len(wrong),
                "noise_at_crossing": at, "low": float(low), "high": float(high),
                "n_draws_crossing": len(crossed), "n_draws": RESAMPLES,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _crossing(sums: Floats, a: int, b: int) -> Floats:
    """From sums over samples (corrected, benign, hits on each by model), shape (draws, ...)."""
    models = (sums.shape[1] - 2) // 2
    corrected, benign = sums[:, 0], sums[:, 1]
    on_c, on_b = sums[:, 2 : 2 + models], sums[:, 2 + models :]

    def difference(hits: Floats, size: Floats) -> Floats:
        apart = hits[:, a] - hits[:, b]
        return np.divide(apart, size, out=np.zeros_like(apart), where=size > 0)

    return noise_at_crossing(
        difference(on_c, corrected), difference(on_b, benign), corrected, benign
    )


def given(block: Block, problems: list[Problem]) -> tuple[Integers, Booleans] | None:
    """Corrected labels of the file and where they are known, shape (samples,); None if nowhere.

    Samples without exactly one corrected gold choice under any model are told.

    Raises:
        UserError: If models disagree about one.
    """
    if CORRECTED not in block.extra:
        return None
    marked = np.nan_to_num(block.extra[CORRECTED])
    count = marked.sum(axis=0)  # (models, samples)
    told = count == 1
    labels = marked.argmax(axis=0)
    highest = np.where(told, labels, -1).max(axis=0)
    lowest = np.where(told, labels, len(marked)).min(axis=0)
    known: Booleans = told.any(axis=0)
    several: Booleans = (count > 1).any(axis=0)
    if (unlike := known & ((highest != lowest) | several)).any():
        first = int(np.argmax(unlike))
        by_model = ", ".join(
            f"{model}: {' and '.join(map(str, np.flatnonzero(marked[:, k, first])))}"
            for k, model in enumerate(block.models)
            if count[k, first]
        )
        raise UserError(
            f"{block.where}: {CORRECTED} of {int(unlike.sum())} samples is not the same for all "
            f"models, the first is {block.samples[first]!r} (corrected gold choice of {by_model}). "
            "Results of different versions of a task cannot be compared."
        )
    if not known.all():
        what = f"{int((~known).sum())} samples do not have exactly one corrected gold choice"
        action = "left them out of noise crossings" if known.any() else "did without the column"
        problems.append(Problem(block.where, what + named(block, ~known), action))
    return (highest, known) if known.any() else None
