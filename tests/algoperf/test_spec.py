import math

import pytest

from algoperf.spec import Target


@pytest.mark.parametrize(
    ("higher", "value", "met"),
    [
        (True, 0.5, True),
        (True, 0.49, False),
        (True, math.inf, True),
        (False, 0.5, True),
        (False, 0.51, False),
        (False, -math.inf, True),
        # NaN never meets a target, whichever way it points.
        (True, math.nan, False),
        (False, math.nan, False),
    ],
)
def test_a_target_is_met_at_its_value_and_beyond(higher, value, met):
    assert Target("metric", 0.5, higher).met(value) is met


def test_nothing_meets_a_target_that_is_not_set():
    assert not Target("metric", math.nan, True).met(1.0)
    assert not Target("metric", math.nan, False).met(-1.0)


def test_anything_is_better_than_nan_and_nothing_than_itself():
    loss = Target("loss", 0.0, higher_is_better=False)
    assert loss.better(1.0, 2.0)
    assert not loss.better(2.0, 1.0)
    assert loss.better(1e9, math.nan)
    assert not loss.better(math.nan, 1e9)
    assert not loss.better(1.0, 1.0)
