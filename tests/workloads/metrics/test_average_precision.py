import math

import numpy as np
import pytest

from workloads.metrics.average_precision import mean_average_precision


def measure(*batches):
    parts = [
        mean_average_precision.reduce(mean_average_precision.per_example(scores, batch))
        for scores, batch in batches
    ]
    return mean_average_precision.finish(mean_average_precision.combine(parts))


def columns(*tasks):
    return np.array(tasks, np.float32).T


def test_it_is_a_mean_over_tasks_that_have_both_classes():
    # Task 0, by falling score: 1, 0, 1: precision at the hits 1/1 and 2/3, so AP = 5/6.
    # Task 1: the second example is unknown; of the others, by score: 0, 1, so AP = 1/2.
    # Task 2 has positives only, task 3 nothing known: neither counts. Mean: 2/3.
    scores = columns([3, 2, 1], [2, 9, 1], [1, 2, 3], [1, 2, 3])
    targets = columns([1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 1, 0])
    known = columns([1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0])
    whole = {"targets": targets, "target_weights": known}
    assert measure((scores, whole)) == pytest.approx(2 / 3)
    # The same cut into two batches, the second with a padded row that would spoil both tasks.
    first = {"targets": targets[:2], "target_weights": known[:2], "weights": np.ones(2, "f4")}
    again = [2, 0]
    second = {
        "targets": 1 - targets[again],
        "target_weights": np.ones_like(known[again]),
        "weights": np.array([1, 0], np.float32),
    }
    second["targets"][0] = targets[2]
    second["target_weights"][0] = known[2]
    cut = [(scores[:2], first), (scores[again] * np.array([[1], [9]], np.float32), second)]
    assert measure(*cut) == pytest.approx(2 / 3)


def test_where_nothing_can_be_measured_it_is_nan():
    batch = {"targets": columns([1, 1]), "target_weights": columns([1, 1])}
    assert math.isnan(measure((columns([1, 2]), batch)))
    batch = {"targets": columns([1, 0]), "target_weights": columns([1, 1])}
    assert math.isnan(measure((columns([np.nan, 2]), batch)))
