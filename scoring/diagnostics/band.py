"""What the CCDF of correlations would be if the order of the models meant nothing.

All samples see the same few models, so chance moves the whole curve at once: the band is as wide
as that makes it, not as narrow as the number of samples would have it.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from scoring.diagnostics import permutations, scale
from scoring.diagnostics.correlations import TOLERANCE, unit_vectors
from scoring.diagnostics.forms import Form
from scoring.diagnostics.table import Block, Integers, ScoreBlock, evenly
from scoring.intervals import Floats

METHOD = "spearman"
"""The correlation whose curves are drawn."""
STEPS = ("log_p_vocab_correct", "p_choices_correct", "brier", "accuracy", "score")
"""The scores whose curves are drawn; the last one is of tables of scores alone."""
SAMPLES = 2_000
"""Evenly spaced samples that stand for all of a task, where it has more."""
ORDERS = 500
"""Drawn orders of the models, where there are more."""
STEPS_A_UNIT = 40
GRID: Floats = np.arange(-STEPS_A_UNIT, STEPS_A_UNIT + 1) / STEPS_A_UNIT
"""Where the band is given."""
TAIL = 0.025


def of_scores(block: Block | ScoreBlock, scores: Mapping[str, Form]) -> pd.DataFrame:
    """The band of each drawn score's CCDF: the models permuted for all samples at once.

    Every sample keeps its values with their ties, and the models their computes. Taken over all
    orders of up to five models and `ORDERS` seeded ones beyond, on at most `SAMPLES` samples: a
    band of 12,000 samples by 8 models would else cost more than all correlations.

    Args:
        block: Whose compute.
        scores: Raw scores of its models with compute.

    Returns:
        One row a score and point of `GRID` (`correlation`): `low` and `high`, between which the
        share of samples above it is in at least 95 % of the orders, pointwise, and its `mean`.
        Empty where there are no correlations.
    """
    places, why = scale.usable(block)
    if why:
        return pd.DataFrame()
    x = np.log10(block.compute[places])
    chosen = evenly(len(block.samples), SAMPLES)
    orders = permutations.some_orders(len(x), ORDERS)
    tables = []
    for name in STEPS:
        if name not in scores:
            continue
        drawn = shares(x, scores[name].of(METHOD)[:, chosen], orders)
        if not len(drawn):
            continue
        # Of few orders the ends are ones that occur, so that the band holds no fewer than it says.
        low = np.quantile(drawn, TAIL, axis=0, method="lower")
        high = np.quantile(drawn, 1 - TAIL, axis=0, method="higher")
        base = {"family": block.family, "task": block.task, "normalisation": "raw"}
        columns = {"correlation": GRID, "low": low, "mean": drawn.mean(axis=0), "high": high}
        tables.append(pd.DataFrame(base | {"score": name, "method": METHOD} | columns))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def shares(x: Floats, values: Floats, orders: Integers) -> Floats:
    """The CCDF under each order of the models, over the samples that have a correlation.

    Args:
        x: Log compute, shape (models,).
        values: A score, shape (models, samples).
        orders: Shape (orders, models).

    Returns:
        The share of samples above each point of `GRID`, shape (orders, points); no order if no
        sample has a correlation.
    """
    unit = unit_vectors(values, METHOD)
    unit = unit[:, (unit != 0).any(axis=0)]
    if not unit.shape[1]:
        return np.zeros((0, len(GRID)))
    found = unit_vectors(x[orders].T, METHOD).T @ unit
    # The first point at or above a correlation; it is above all points before.
    place = np.ceil((found + (1 - TOLERANCE)) * STEPS_A_UNIT).astype(np.intp)
    np.clip(place, 0, len(GRID) - 1, out=place)
    place += np.arange(len(orders))[:, None] * len(GRID)
    counts = np.bincount(place.ravel(), minlength=len(orders) * len(GRID))
    return 1 - counts.reshape(len(orders), -1).cumsum(axis=1) / unit.shape[1]
