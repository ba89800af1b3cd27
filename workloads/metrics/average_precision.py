"""Mean average precision over many binary tasks with unknown labels."""

import math

import jax
import numpy as np
from sklearn.metrics import average_precision_score

from algoperf.metric import Metric, gathered, unreduced
from algoperf.spec import Batch


def _labelled(logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    known = batch["target_weights"]
    if "weights" in batch:
        known = known * batch["weights"][:, None]
    return {"scores": logits, "targets": batch["targets"], "known": known}


def mean_over_tasks(labelled: dict[str, np.ndarray]) -> float:
    """Mean of the average precision of every task that has known labels of both classes.

    Args:
        labelled: `scores`, `targets` and `known` (0 for unknown labels), all (examples, tasks).

    Returns:
        NaN if there is no such task, or if a score that counts is not finite.
    """
    found = []
    columns = (labelled[name].T for name in ("scores", "targets", "known"))
    for scores, targets, known in zip(*columns, strict=True):
        rows = known > 0
        if len(np.unique(targets[rows])) == 2:
            if not np.isfinite(scores[rows]).all():
                return math.nan
            found.append(average_precision_score(targets[rows] > 0, scores[rows]))
    return float(np.mean(found)) if found else math.nan


mean_average_precision = Metric(
    _labelled, reduce=unreduced, combine=gathered, finish=mean_over_tasks
)
