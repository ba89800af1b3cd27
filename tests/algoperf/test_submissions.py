"""The training algorithms that are there, each on numbers small enough to work out by hand."""

import dataclasses
import re
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algoperf import registry, tuning, warmup_cosine
from algoperf.loading import load
from algoperf.rules import Ruleset
from algoperf.spec import ParameterType, Progress, TrainState
from algoperf.submission import from_optax
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from submissions import muon, rewarm, sam, shampoo, soap
from tests import tiny
from workloads.models.layers import dense

DOCUMENT = Path(__file__).parents[2] / "docs/submissions.md"


class TwoLayers(nn.Module):
    @nn.compact
    def __call__(self, batch, train):
        x = nn.relu(dense(32)(batch["inputs"]))
        return dense(2, output=True)(x)


two_layers = dataclasses.replace(tiny.workload, model=TwoLayers(), step_hint=10)


def trained(algorithm, point, steps, workload=two_layers) -> list[TrainState]:
    """The states at the start and after each step."""
    view = WorkloadView(workload, 10.0)
    keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
    train = initial_state(algorithm, view, workload, point, **keys)
    batches = workload.dataset.training(4, seed=0)
    states = [jax.device_get(train)]
    for step in range(steps):
        now = Progress(step, 0.0, 1.0, ())
        train = algorithm.update(view, train, next(batches), jax.random.key(step), now)
        states.append(jax.device_get(train))
    return states


def centre(submission) -> tuning.Point:
    return {name: choice.at(0.5) for name, choice in submission.search_space.dimensions.items()}


def run(transformation: optax.GradientTransformation, gradients: jax.Array) -> list[np.ndarray]:
    """What the transformation makes of one parameter's gradients, step after step."""

    def step(state, gradient):
        change, state = transformation.update(gradient, state)
        return state, change

    state = transformation.init(jnp.zeros_like(gradients[0]))
    with jax.numpy_dtype_promotion("standard"):  # as `from_optax` has it
        return list(np.asarray(jax.jit(jax.lax.scan, static_argnums=0)(step, state, gradients)[1]))


def test_a_first_step_of_shampoo_worked_by_hand():
    """With one gradient, L^(-1/4) G R^(-1/4) is U V^T of G = U S V^T.

    G = [[4, 0], [3, 5]]: G^T G = [[25, 15], [15, 25]] has eigenvalues 40 along (1, 1) and 10 along
    (1, -1), so the columns of U are (4, 8) / sqrt(80) and (4, -2) / sqrt(20), and
    U V^T = [[3, -1], [1, 3]] / sqrt(10), of norm sqrt(2). Adam's first step is the sign of G,
    of norm sqrt(3).
    """
    (change,) = run(shampoo.shampoo(0.9, axes=1), jnp.array([[[4.0, 0.0], [3.0, 5.0]]]))
    by_hand = np.sqrt(3 / 2) * np.array([[3, -1], [1, 3]]) / np.sqrt(10)
    np.testing.assert_allclose(change, by_hand, atol=1e-4)


def turns(seed: int) -> np.ndarray:
    """An orthogonal 3 x 3 matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0].astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1])
def test_soap_does_not_care_for_the_axes(seed):
    """Adam sees coordinates; SOAP sees U G V^T as it sees G, and the change turns with it."""
    gradients = np.random.default_rng(seed).normal(size=(12, 3, 3)).astype(np.float32)
    left, right = turns(seed + 10), turns(seed + 20)
    plain = run(soap.soap(0.9, axes=1), jnp.asarray(gradients))
    turned = run(soap.soap(0.9, axes=1), jnp.asarray(left @ gradients @ right.T))
    for one, other in zip(plain, turned, strict=True):
        np.testing.assert_allclose(left @ one @ right.T, other, atol=0.02)


def test_soap_is_adam_where_the_eigenbasis_is_the_coordinates():
    """Diagonal gradients have diagonal G G^T; the first of them only makes the basis."""
    rows = np.random.default_rng(0).uniform(0.5, 2.0, (25, 3)).astype(np.float32)
    gradients = jax.vmap(jnp.diag)(jnp.asarray(rows))
    first, *others = run(soap.soap(0.9, axes=1), gradients)
    assert not first.any()
    adam = run(optax.scale_by_adam(0.9, soap.BETA2), gradients[1:])
    np.testing.assert_allclose(others, adam, atol=1e-5)


def test_muon_orthogonalises_hidden_matrices_and_leaves_the_rest_to_adamw():
    """A first step of rate r: hidden matrices move by 0.2 r sqrt(32) times an orthogonal one.

    Newton-Schulz leaves singular values between 0.7 and 1.2. NAdam's first step is the sign of the
    gradient times r (b m / (1 - b^2) + 1) with b = 0.9 and m = 0.1: r (0.09 / 0.19 + 1).
    """
    point = {"learning_rate": 0.5, "momentum": 0.95, "weight_decay": 0.0, "warmup": 0.1}
    before, after = trained(muon.submission, point, steps=1)
    change = jax.tree.map(lambda a, b: a - b, before.params, after.params)
    hidden = change["Dense_0"]["kernel"]
    spectrum = np.linalg.svd(hidden, compute_uv=False) / (0.2 * 0.5 * np.sqrt(32))
    assert spectrum.shape == (6,)
    # The batch has four examples in two classes: the gradient's rank is below 6.
    large = spectrum[spectrum > 0.5]
    assert 1 <= len(large) <= 4
    assert (large < 1.25).all()
    for leaf in (change["Dense_1"]["kernel"], change["Dense_1"]["bias"]):
        still = leaf == 0  # weights of units that no example of the batch wakes
        assert still.mean() < 0.5
        np.testing.assert_allclose(np.abs(leaf[~still]), 0.5 * (0.09 / 0.19 + 1), rtol=1e-3)


def test_muon_takes_attention_for_matrices_and_embeddings_and_heads_for_none():
    view = WorkloadView(registry.workload("digits_vit"), 1.0)
    hp = tuning.hyperparameters(centre(load("muon")))
    state = jax.eval_shape(muon.transformation(hp, view).init, view.parameter_shapes)
    momenta = state.inner_states["muon"].inner_state[0].mu
    is_muon = jax.tree.map(
        lambda kind, mu: (kind, not isinstance(mu, optax.MaskedNode)),
        view.parameter_types,
        momenta,
        is_leaf=lambda node: isinstance(node, (ParameterType, optax.MaskedNode)),
    )
    pairs = jax.tree.leaves(is_muon, is_leaf=lambda node: isinstance(node, tuple))
    heads = [kind for kind, taken in pairs if kind == ParameterType.WEIGHT and not taken]
    assert len(heads) == 1
    assert {kind for kind, taken in pairs if taken} == {
        ParameterType.WEIGHT,
        ParameterType.CONV_WEIGHT,
        ParameterType.ATTENTION_Q,
        ParameterType.ATTENTION_K,
        ParameterType.ATTENTION_V,
        ParameterType.ATTENTION_OUT,
    }


def test_sam_takes_the_gradient_uphill():
    """The loss is w^2 / 2, its gradient w: at 2 + 0.5 it is 2.5, whose tenth Adam's mean takes."""
    point = {"learning_rate": 0.1, "radius": 0.5, "weight_decay": 0.0, "warmup": 0.1}
    sharpness_aware = sam.transformation(tuning.hyperparameters(point), two_layers)
    params = jnp.array([2.0])
    with jax.numpy_dtype_promotion("standard"):
        _, state = sharpness_aware.update(
            params, sharpness_aware.init(params), params, value_fn=lambda w: (w**2).sum() / 2
        )
    assert optax.tree.get(state.opt_state, "mu").tolist() == pytest.approx([0.25])


def test_what_is_evaluated_is_what_the_submission_says():
    """A first step of schedule-free SGD: the average is the step itself, params - rate * gradient.

    The parameters trained are then the same point, and a step later they are not.
    """
    free = partial(optax.contrib.schedule_free_sgd, 0.5, b1=0.9)
    evaluate = optax.contrib.schedule_free_eval_params
    averaged = from_optax(lambda hp, workload: free(), evaluate=evaluate)
    plain = from_optax(lambda hp, workload: optax.sgd(0.5))
    view = WorkloadView(two_layers, 1.0)
    now = Progress(1, 0.0, 1.0, ())
    by_sgd = trained(plain, None, steps=1)[1].params
    _, once, twice = trained(averaged, None, steps=2)
    evaluated, _ = averaged.params_for_evaluation(view, once, now)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), evaluated, by_sgd)
    evaluated, _ = averaged.params_for_evaluation(view, twice, now)
    assert not np.allclose(evaluated["Dense_0"]["kernel"], twice.params["Dense_0"]["kernel"])


def test_the_rate_warms_up_again_when_the_data_change():
    """The bias of a model with one layer moves by the rate, to within Adam's epsilon.

    The change is after 25,600 examples, so after 400 batches of 64.
    """
    view = WorkloadView(registry.workload("digits_continued"), 1.0)
    assert (view.data_changes, view.batch_size, view.step_hint) == ((25_600,), 64, 1200)
    point = {"learning_rate": 0.01, "one_minus_beta1": 0.1, "weight_decay": 0.0, "warmup": 0.1}
    transformation = rewarm.transformation(tuning.hyperparameters(point), view)
    params = jnp.zeros(())

    def step(state, _):
        change, state = transformation.update(jnp.ones(()), state, params)
        return state, -change

    with jax.numpy_dtype_promotion("standard"):
        rates = np.asarray(jax.lax.scan(step, transformation.init(params), length=1200)[1])
    before = [warmup_cosine(0.01, 1200, 0.1)(step) for step in range(400)]
    after = [warmup_cosine(0.01, 800, 0.1)(step) for step in range(800)]
    np.testing.assert_allclose(rates, [*before, *after], atol=1e-5)


def test_weights_are_sparse_first_and_dense_at_the_end():
    """Ten steps, the last 3 of them dense; a mask holds about half of 6 * 32 weights at zero."""
    point = {"learning_rate": 1e-2, "weight_decay": 0.0, "sparsity": 0.5, "dense_share": 0.3}
    states = trained(load("spdf").algorithm, point, steps=10)
    hidden = [state.params["Dense_0"]["kernel"] == 0 for state in states]
    assert not hidden[0].any()
    assert 0.35 < hidden[1].mean() < 0.65  # four standard deviations
    for sparse in hidden[2:8]:
        assert np.array_equal(sparse, hidden[1])
    assert hidden[8].mean() < hidden[7].mean() / 2  # a dead unit's weights have no gradient
    for state in states:
        assert (state.params["Dense_1"]["kernel"] != 0).all()
        assert state.optimizer_state["masks"]["Dense_0"]["bias"].all()


@pytest.mark.table
@pytest.mark.parametrize("name", registry.submission_names())
def test_every_submission_lowers_the_loss_at_the_centre_of_its_space(name):
    loaded = load(name)
    point = None if loaded.ruleset == Ruleset.SELF_TUNING else centre(loaded)
    workload = dataclasses.replace(two_layers, step_hint=200)
    algorithm = loaded.algorithm
    view = WorkloadView(workload, 10.0)
    states = trained(algorithm, point, 200, workload)
    batch = next(workload.dataset.training(10, seed=1))

    def loss(train):
        now = Progress(200, 0.0, 10.0, ())
        params, model_state = algorithm.params_for_evaluation(view, train, now)
        return float(view.loss(params, model_state, batch, jax.random.key(0))[0])

    assert loss(states[-1]) < 0.9 * loss(states[0])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_documents_submissions_train(tmp_path, place):
    """The short form and two of the long one; selection has a test of its own."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 4
    path = tmp_path / "mine.py"
    path.write_text(blocks[place])
    loaded = load(path)
    assert loaded.ruleset == Ruleset.EXTERNAL
    (point,) = tuning.draw(loaded.search_space, 1, seed=0)
    last = trained(loaded.algorithm, point, steps=2)[-1]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(last.params))
