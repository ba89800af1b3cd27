import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algoperf.data import BatchStream
from algoperf.errors import TrainingComplete
from algoperf.spec import Progress, TrainState
from algoperf.submission import _optax_step, from_optax
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from algoperf.workload import init_model
from tests import tiny

NOW = Progress(0, 0.0, 1.0, ())


def trained(algorithm, point, steps: int = 3, view: WorkloadView | None = None) -> TrainState:
    view = view or WorkloadView(tiny.workload, 10.0)
    keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
    train = initial_state(algorithm, view, tiny.workload, point, **keys)
    batches: BatchStream = tiny.dataset.training(4, seed=0)
    for step in range(steps):
        train = algorithm.update(view, train, next(batches), jax.random.key(step), NOW)
        jax.block_until_ready(train)
    return train


def test_from_optax_is_the_gradient_step_written_out():
    """One step of SGD by hand: params - rate * gradient of the mean loss."""
    view = WorkloadView(tiny.workload, 10.0)
    params, model_state = init_model(tiny.workload, jax.random.key(0))
    batch = next(tiny.dataset.training(4, seed=0))
    gradient = jax.grad(lambda p: view.loss(p, model_state, batch, jax.random.key(0))[0])(params)
    by_hand = jax.tree.map(lambda p, g: p - 0.25 * g, params, gradient)
    stepped = trained(from_optax(lambda hp, w: optax.sgd(hp.rate)), {"rate": 0.25}, steps=1)
    for a, b in zip(jax.tree.leaves(by_hand), jax.tree.leaves(stepped.params), strict=True):
        assert jnp.allclose(a, b, atol=1e-6)


def test_points_that_differ_in_numbers_share_one_compilation():
    def transformation(hp, workload):
        return optax.adamw(hp.rate, b1=1 - hp.one_minus_beta1, nesterov=hp.nesterov)

    algorithm = from_optax(transformation)
    view = WorkloadView(tiny.workload, 10.0)
    before = _optax_step._cache_size()
    one = trained(algorithm, {"rate": 0.1, "one_minus_beta1": 0.1, "nesterov": True}, view=view)
    two = trained(algorithm, {"rate": 0.2, "one_minus_beta1": 0.2, "nesterov": True}, view=view)
    assert _optax_step._cache_size() == before + 1
    assert not jnp.allclose(*(jax.tree.leaves(t.params)[0] for t in (one, two)))
    trained(algorithm, {"rate": 0.1, "one_minus_beta1": 0.1, "nesterov": False}, view=view)
    assert _optax_step._cache_size() == before + 2  # a choice is not a number


def test_a_transformation_that_needs_python_numbers_gets_them():
    seen = []

    def transformation(hp, workload):
        seen.append(int(hp.warmup * workload.step_hint))
        return optax.sgd(hp.rate)

    trained(from_optax(transformation), {"rate": 0.1, "warmup": 0.5})
    assert set(seen) == {tiny.workload.step_hint // 2}


@pytest.mark.parametrize(
    "read", [lambda rate: f"{rate:.4f}", lambda rate: {0.25: 1}[rate], lambda rate: [] * (rate > 1)]
)
def test_however_python_refuses_a_traced_value_it_gets_the_number(read):
    def transformation(hp, workload):
        read(hp.rate)
        return optax.sgd(hp.rate)

    written = trained(from_optax(transformation), {"rate": 0.25}, steps=1)
    traced = trained(from_optax(lambda hp, w: optax.sgd(hp.rate)), {"rate": 0.25}, steps=1)
    jax.tree.map(np.testing.assert_array_equal, written.params, traced.params)


def test_what_is_wrong_with_numbers_too_is_told():
    with pytest.raises(AttributeError, match="'Hyperparameters' object has no attribute 'speed'"):
        trained(from_optax(lambda hp, w: optax.sgd(hp.speed)), {"rate": 0.25})


@pytest.mark.slow
def test_a_line_search_gets_the_loss():
    trained(from_optax(lambda hp, w: optax.polyak_sgd(1.0)), None)
    state = trained(from_optax(lambda hp, w: optax.lbfgs(0.1)), None)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_from_optax_is_complete_after_its_steps():
    algorithm = from_optax(lambda hp, w: optax.sgd(0.1), steps=lambda w: 0)
    with pytest.raises(TrainingComplete):
        trained(algorithm, None)
