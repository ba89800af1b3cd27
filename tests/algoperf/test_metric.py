import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algoperf.metric import Metric, SumCount, gathered, unreduced
from algoperf.spec import Split
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, init_model
from tests import tiny


def measured(**metrics: Metric) -> dict[str, float]:
    """On the 12 validation examples of the tiny workload, in batches of 8."""
    workload = dataclasses.replace(tiny.workload, metrics=metrics)
    params, state = init_model(workload, jax.random.key(0))
    return Evaluator(workload)(params, state, Split.VALIDATION)


def one_each(outputs, batch):
    return SumCount(batch["weights"] * 3, batch["weights"])


def test_a_mean_is_over_all_batches_without_their_padding():
    assert measured(three=Metric(one_each)) == {"three": 3.0}


def test_what_is_gathered_is_every_example_in_order():
    def rows(outputs, batch):
        return {"first": batch["inputs"][:, 0], "weights": batch["weights"]}

    seen = {}

    def finish(whole):
        seen.update(whole)
        return float(len(whole["first"]))

    metric = Metric(rows, reduce=unreduced, combine=gathered, finish=finish)
    # Two batches of 8, the second with 4 rows of padding.
    assert measured(count=metric) == {"count": 16.0}
    expected = tiny.load()[Split.VALIDATION]["inputs"][:, 0]
    assert seen["first"][seen["weights"] > 0].tolist() == expected.tolist()
    assert isinstance(seen["first"], np.ndarray)


def test_a_prediction_is_made_once_for_all_metrics_that_share_it():
    traced = []

    def twos(model, variables, batch):
        traced.append(1)
        return 2 * jnp.ones(len(batch["inputs"]))

    def value(outputs, batch):
        return SumCount(outputs * batch["weights"], batch["weights"])

    found = measured(
        one=Metric(value, predict=twos), other=Metric(value, predict=twos), own=Metric(one_each)
    )
    assert found == {"one": 2.0, "other": 2.0, "own": 3.0}
    assert len(traced) == 1


def test_a_submission_may_set_the_dropout_rate_of_a_call():
    view = WorkloadView(tiny.workload, 1.0)
    params, state = init_model(tiny.workload, jax.random.key(0))
    batch = {k: a[:4] for k, a in tiny.load()[Split.TRAIN].items()}

    def outputs(*, train, **rate):
        return np.asarray(
            view.apply(params, state, batch, jax.random.key(1), train=train, **rate)[0]
        )

    plain = outputs(train=False)
    assert (outputs(train=False, dropout_rate=0.9) == plain).all()
    np.testing.assert_allclose(outputs(train=True, dropout_rate=0.0), plain, rtol=1e-6)
    # Everything dropped: the bias is left, which starts at 0.
    assert not outputs(train=True, dropout_rate=1.0).any()
    assert (outputs(train=True, dropout_rate=0.5) == outputs(train=True)).all()
    losses = [
        float(view.loss(params, state, batch, jax.random.key(1), dropout_rate=rate)[0])
        for rate in (0.0, 1.0)
    ]
    assert losses[1] == pytest.approx(np.log(2))
    assert losses[0] != losses[1]
