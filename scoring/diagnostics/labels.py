"""Wrong labels: how many there may be, and how many it would take for two models to change places.

Northcutt, Jiang & Chuang 2021, arXiv:1911.00068 (confident learning); Northcutt, Athalye & Mueller
2021, arXiv:2103.14749 (benchmarks under label noise).
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scoring.diagnostics import chain, resample
from scoring.diagnostics.table import CORRECTED, Block, Booleans, Integers
from scoring.intervals import Floats

RESAMPLES = 200
SEED = 0
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Confident:
    """What confident learning finds.

    Attributes:
        joint: Estimated joint distribution of given and true label, shape (choices, choices).
        error_rate: Its mass off the diagonal.
        suggested: The label that each sample is confidently counted under, -1 if under none.
    """

    joint: Floats
    error_rate: float
    suggested: Integers

    def off_diagonal(self, given: Integers) -> Booleans:
        """Samples confidently counted under another label than the given one."""
        return (self.suggested >= 0) & (self.suggested != given)


def confident(p: Floats, given: Integers) -> Confident:
    """Confident learning. Northcutt et al. 2021, arXiv:1911.00068, equations 1 and 2.

    The threshold of a label is its mean probability where it is given. A sample counts under the
    likeliest label whose threshold it reaches; counts are calibrated to how often each is given.

    Args:
        p: Probability of each label, shape (choices, samples).
        given: The given label, shape (samples,).
    """
    size = len(p)
    counts = np.bincount(given, minlength=size).astype(float)
    thresholds = np.array([p[k, given == k].mean() if counts[k] else np.inf for k in range(size)])
    passing = np.where(p >= thresholds[:, None] - TOLERANCE, p, -1.0)
    suggested = np.where(passing.max(axis=0) >= 0, passing.argmax(axis=0), -1)
    table = np.zeros((size, size))
    counted = suggested >= 0
    np.add.at(table, (given[counted], suggested[counted]), 1)
    total = table.sum(axis=1, keepdims=True)
    # A given label of which no sample is counted keeps its own samples.
    table = np.where(total > 0, table / np.maximum(total, 1), np.eye(size)) * counts[:, None]
    joint = table / table.sum()
    return Confident(joint, float(1 - np.trace(joint)), suggested)


def estimates(block: Block) -> pd.DataFrame:
    """Error rate by each model and by their mean p_choices (`consensus`).

    Only where all samples have the same number of choices. Where choices are no classes (their
    order is chance), the thresholds are those of positions.
    """
    if not block.present.all() or len(block.loglik) < 2:
        return pd.DataFrame()
    p = np.exp(chain.log_p_choices(block.loglik))
    judges = {model: p[:, k] for k, model in enumerate(block.models)}
    if len(block.models) > 1:
        judges["consensus"] = p.mean(axis=1)
    rows = []
    for judge, own in judges.items():
        known = ~np.isnan(own).any(axis=0)
        if not known.any():
            continue
        found = confident(own[:, known], block.gold[known])
        rows.append(
            {
                "family": block.family, "task": block.task, "judge": judge,
                "error_rate": found.error_rate,
                "n_off_diagonal": int(found.off_diagonal(block.gold[known]).sum()),
                "n_samples": int(known.sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


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


def crossings(block: Block) -> pd.DataFrame:
    """The noise level at which each pair of models changes places, with bootstrap intervals.

    Corrected labels come from the column `is_gold_corrected` where there is one; else they are
    confident learning's, by the models' mean p_choices (`source` says which).
    """
    labels, source = _corrected(block)
    if labels is None or len(block.models) < 2:
        return pd.DataFrame()
    wrong = labels != block.gold
    hits = (chain.accuracy(block.loglik, labels) == 1).astype(float)
    columns = np.stack([wrong, ~wrong, *(hits * wrong), *(hits * ~wrong)], axis=1).astype(float)
    point = columns.sum(axis=0)[None]
    drawn = resample.sums(columns, block.cluster, RESAMPLES, SEED)
    rows = []
    for a, b in itertools.combinations(range(len(block.models)), 2):
        draws = _crossing(drawn, a, b)
        crossed = draws[~np.isnan(draws)]
        low, high = np.quantile(crossed, [0.025, 0.975]) if len(crossed) else (math.nan, math.nan)
        rows.append(
            {
                "family": block.family, "task": block.task, "first": block.models[a],
                "second": block.models[b], "source": source, "noise": float(wrong.mean()),
                "n_corrected": int(wrong.sum()), "n_samples": len(labels),
                "noise_at_crossing": float(_crossing(point, a, b)[0]),
                "low": float(low), "high": float(high),
                "share_of_draws_crossing": len(crossed) / RESAMPLES,
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


def _corrected(block: Block) -> tuple[Integers | None, str]:
    if CORRECTED in block.extra:
        column = np.nan_to_num(block.extra[CORRECTED][:, 0])
        if (column.sum(axis=0) == 1).all():
            return column.argmax(axis=0), "given"
    if not block.present.all() or len(block.loglik) < 2:
        return None, ""
    p = np.exp(chain.log_p_choices(block.loglik)).mean(axis=1)
    if np.isnan(p).any():
        return None, ""
    found = confident(p, block.gold)
    wrong = found.off_diagonal(block.gold)
    return np.where(wrong, found.suggested, block.gold), "confident learning"
