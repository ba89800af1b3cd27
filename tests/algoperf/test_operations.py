"""An update's operations: counted without leaving anything behind in the submission."""

import math
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer

from algoperf import operations, trial
from algoperf.errors import TrainingComplete
from algoperf.loading import load
from algoperf.spec import Progress, TrainState
from algoperf.submission import Algorithm
from algoperf.view import WorkloadView
from tests import tiny

FORM = """
    import functools
    import jax, jax.numpy as jnp
    RATES, TABLE, LIST = None, {{}}, []
    def init(workload, params, hyperparameters, key): return jnp.zeros((), jnp.int32)
    def update(workload, train, batch, key, progress):
        global RATES
        {body}
        move = lambda p: p - rate * p
        return train._replace(params=jax.tree.map(move, train.params))
"""
CACHES = [
    "RATES = jnp.linspace(0.1, 0.0, 9) if RATES is None else RATES; rate = RATES[progress.step]",
    "rate = TABLE.setdefault(progress.step // 9, jnp.linspace(0.1, 0.0, 9))[progress.step]",
    "LIST.append(jnp.ones(())); rate = 0.1 * sum(LIST)",
    # What it makes at the second step is not there yet when operations are counted.
    "RATES = jnp.ones(9) if progress.step in (0, 2) else RATES; rate = RATES[progress.step]",
]


@pytest.fixture
def submission(tmp_path):
    def write(body):
        path = tmp_path / "mine.py"
        path.write_text(textwrap.dedent(FORM.format(body=body)))
        return load(path)

    return write


def steps(submission, count_after):
    """The state after three steps, and what was counted after one of them."""
    view, counted = WorkloadView(tiny.workload, 1.0), []
    train = trial.initial_state(
        submission.algorithm,
        view,
        tiny.workload,
        None,
        model_key=jax.random.key(0),
        init_key=jax.random.key(1),
    )
    batch = next(tiny.dataset.training(4, seed=0))
    for step in range(3):
        progress = Progress(step, 0.0, 1.0, ())
        train = submission.algorithm.update(view, train, batch, jax.random.key(step), progress)
        if step == count_after:
            found = operations.of_update(
                submission.algorithm, view, train, batch, submission.modules
            )
            counted.append(found)
    return train, counted


@pytest.mark.parametrize("body", CACHES)
def test_what_a_submission_keeps_is_as_if_nothing_had_been_counted(submission, body):
    counted, [found] = steps(submission(body), 0)
    assert found.unknown is None
    plain, _ = steps(submission(body), None)
    jax.tree.map(np.testing.assert_array_equal, counted, plain)


def test_python_may_decide_by_a_number_in_the_state(submission):
    """The linear model has 6 x 2 weights and 2 biases: one multiplication and one subtraction."""
    train, [found] = steps(submission("rate = 0.5 if train.optimizer_state > 0 else 0.1"), 0)
    assert found == (2 * 14, None)
    assert isinstance(train, TrainState)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "rate = 0.1 if train.params['Dense_0']['kernel'].sum() > 0 else 0.2",
            "`update` cannot be traced: TracerBoolConversionError: Attempted boolean conversion",
        ),
        (
            "rate = jax.lax.while_loop(lambda x: x > 0.1, lambda x: x / 2, jnp.ones(()))",
            "`update` has a loop whose length is decided while it runs",
        ),
    ],
)
def test_why_operations_are_unknown_is_said(submission, body, said):
    _, [found] = steps(submission(body), 0)
    assert math.isnan(found.flops)
    assert found.unknown.startswith(said)


def test_a_trial_counts_after_its_first_step_and_records_why_it_cannot(run):
    """The first update sees arrays, the second stand-ins, the third arrays again."""
    seen = []

    def update(workload, train, batch, key, progress):
        seen.append(isinstance(train.params["Dense_0"]["bias"], Tracer))
        if jnp.isnan(batch["inputs"]).any() or progress.step == 5:
            raise TrainingComplete
        return train

    algorithm = Algorithm(lambda *_: (), update)
    _, rows, facts = run(algorithm, tiny.unreachable_for(5))
    assert seen[:3] == [False, True, False]
    assert math.isnan(facts["flops_per_step"])
    assert "TracerBoolConversionError" in facts["flops_unknown"]
    assert rows["flops"].isna().all()
