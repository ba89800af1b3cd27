"""Whole steps of submissions in MLCommons' form, on a workload that compiles in a moment."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algoperf import contract, flops, registry, tuning
from algoperf.errors import UserError
from algoperf.loading import load
from algoperf.mlcommons.state import unpack
from algoperf.spec import Evaluation, Progress, Status, TrainState
from algoperf.submission import from_optax
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from tests import tiny
from tests.algoperf.mlcommons.conftest import SUBMISSIONS, WORKING

NOW = Progress(0, 0.0, 1.0, ())
POINT = {"learning_rate": 0.01, "one_minus_beta1": 0.1, "weight_decay": 0.1, "warmup": 0.1}
calm = replace(tiny.workload, model=tiny.Linear(dropout_rate=0.0))


def start(algorithm, view, workload, point):
    keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
    return initial_state(algorithm, view, workload, point, **keys)


def trained(algorithm, workload, point, steps, batch_size=4):
    """The state after some steps, and the view."""
    view = WorkloadView(workload, 10.0)
    train = start(algorithm, view, workload, point)
    batches = workload.dataset.training(batch_size, seed=0)
    for step in range(steps):
        progress, key = Progress(step, 0.0, 10.0, ()), jax.random.key(step)
        batch = algorithm.select_batch(view, batches, train, key, progress)
        train = algorithm.update(view, train, batch, key, progress)
        contract.check_state(train)
        contract.check_params("update", train.params, view.parameter_shapes)
    return train, view


def close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6), one, other)


@pytest.mark.parametrize(
    "name",
    ["tiny", *(pytest.param(n, marks=pytest.mark.slow) for n in ("digits_resnet", "molecules"))],
)
def test_their_adamw_is_our_adamw(name):
    """One algorithm in both forms: dropout too is drawn alike."""
    workload = tiny.workload if name == "tiny" else registry.workload(name)
    theirs, _ = trained(load(SUBMISSIONS / "jit_adamw").algorithm, workload, POINT, 6)
    ours, _ = trained(load("adamw").algorithm, workload, POINT, 6)
    close(theirs.params, ours.params)
    close(theirs.model_state, ours.model_state)


def test_pmap_on_two_devices_is_the_whole_batch_on_one():
    nesterov = from_optax(lambda hp, _: optax.sgd(0.1, momentum=0.9, nesterov=True))
    assert jax.local_device_count() == 2
    point = {"learning_rate": 0.1, "dropout_rate": 0.0}
    theirs, _ = trained(load(SUBMISSIONS / "pmap_nesterov").algorithm, calm, point, 4)
    ours, _ = trained(nesterov, calm, None, 4)
    close(theirs.params, ours.params)
    spread, _ = theirs.optimizer_state.spread
    assert {leaf.shape[0] for leaf in jax.tree.leaves(spread)} == {2}


def test_in_the_old_form_the_rate_of_dropout_is_a_hyperparameter():
    """Tiny's own rate is 0.5: with rate 0 two keys make no difference, with rate 0.5 they do."""
    algorithm = load(SUBMISSIONS / "pmap_nesterov").algorithm
    view = WorkloadView(tiny.workload, 10.0)
    batch = next(tiny.dataset.training(4, seed=0))
    for rate, same in ((0.0, True), (0.5, False)):
        point = {"learning_rate": 0.1, "dropout_rate": rate}
        after = []
        for seed in (1, 2):
            train = start(algorithm, view, tiny.workload, point)
            train = algorithm.update(view, train, batch, jax.random.key(seed), NOW)
            after.append(np.asarray(train.params["Dense_0"]["kernel"]))
        assert np.array_equal(*after) is same


def test_label_smoothing_clipping_and_dropout_do_what_they_say():
    """A step by hand, and Python's numbers in the state.

    One batch, no dropout, smoothing s over two classes: targets become 1 - s/2 and s/2. The
    gradient of the mean cross-entropy is x^T (softmax - targets) / 4; it is scaled to the norm
    that it may have, and the first step of momentum is the rate times it.
    """
    point = {"learning_rate": 0.5, "label_smoothing": 0.2, "grad_clip": 0.01, "dropout_rate": 0.0}
    algorithm = load(SUBMISSIONS / "jit_momentum").algorithm
    view = WorkloadView(tiny.workload, 10.0)
    train = start(algorithm, view, tiny.workload, point)
    batch = next(tiny.dataset.training(4, seed=0))
    kernel, bias = (np.asarray(train.params["Dense_0"][n], np.float64) for n in ("kernel", "bias"))
    x, y = np.asarray(batch["inputs"], np.float64), np.asarray(batch["targets"])
    odds = np.exp(x @ kernel + bias)
    difference = odds / odds.sum(1, keepdims=True) - (0.8 * np.eye(2)[y] + 0.1)
    gradient = x.T @ difference / 4
    norm = np.sqrt((gradient**2).sum() + ((difference.sum(0) / 4) ** 2).sum())
    after = algorithm.update(view, train, batch, jax.random.key(0), NOW)
    moved = np.asarray(after.params["Dense_0"]["kernel"]) - kernel
    np.testing.assert_allclose(moved, -0.5 * gradient * 0.01 / norm, rtol=1e-3)
    state = unpack(after.optimizer_state)
    assert state["steps"] == 1
    assert state["largest_norm"] == pytest.approx(norm, rel=1e-5)


@pytest.mark.slow
def test_data_selection_draws_from_the_queue_and_its_choice_is_trained_on():
    algorithm = load(SUBMISSIONS / "choosy").algorithm
    view = WorkloadView(calm, 10.0)
    train = start(algorithm, view, calm, {"learning_rate": 0.1})
    one, other = (next(stream) for stream in [calm.dataset.training(4, seed=0)] for _ in range(2))
    worse = max((one, other), key=lambda b: view.loss(train.params, {}, b, jax.random.key(0))[0])
    stream = calm.dataset.training(4, seed=0)
    chosen = algorithm.select_batch(view, stream, train, jax.random.key(0), NOW)
    assert stream.position() == 2
    assert np.array_equal(chosen["inputs"], worse["inputs"])
    after = algorithm.update(view, train, chosen, jax.random.key(0), NOW)
    gradient = jax.grad(lambda p: view.loss(p, {}, worse, jax.random.key(0))[0])(train.params)
    close(after.params, jax.tree.map(lambda p, g: p - 0.1 * g, train.params, gradient))


@pytest.mark.slow
def test_training_goes_on_from_what_prepare_for_eval_returns(run):
    """The submission returns half of its parameters, then the average of that and the next."""
    algorithm = load(SUBMISSIONS / "self_tuning").algorithm
    seen = []

    def update(view, train, batch, key, progress):
        seen.append((progress.step, train))
        return algorithm.update(view, train, batch, key, progress)

    workload = replace(tiny.unreachable_for(11), eval_every_steps=5)
    ending, rows, _ = run(replace(algorithm, update=update), workload)
    assert ending.status == Status.FINISHED_EARLY
    assert list(rows["global_step"]) == [5, 10, 11]
    for step, train in seen:
        average = unpack(train.optimizer_state)["average"]
        if step in (5, 10):
            close(train.params, average)
    view = WorkloadView(workload, 10.0)
    train = start(algorithm, view, workload, None)
    prepared = algorithm.params_for_evaluation(view, train, NOW)
    close(prepared.params, jax.tree.map(lambda p: 0.5 * p, train.params))


LOOKING = """
import jax
seen = {}
def get_batch_size(workload_name): return 4
def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    return {"at": jax.random.uniform(rng)}
def update_params(
    workload, current_param_container, current_params_types, model_state, hyperparameters,
    batch, loss_type, optimizer_state, eval_results, global_step, rng, train_state,
):
    seen.update(locals())
    return optimizer_state, current_param_container, model_state
"""


def test_what_update_params_is_given(folder):
    algorithm = load(
        folder({"submission.py": LOOKING}, space=[{"rate": 0.5, "name": "b"}])
    ).algorithm
    seen = algorithm.update.__self__._module.seen
    view = WorkloadView(tiny.workload, 10.0)
    train = start(algorithm, view, tiny.workload, {"rate": 0.5, "name": "b"})
    metrics = {"train/cross_entropy": 0.7, "validation/cross_entropy": 0.6}
    progress = Progress(7, 3.0, 10.0, (Evaluation(5, 2.0, metrics),))
    batch = next(tiny.dataset.training(4, seed=0))
    algorithm.update(view, train, batch, jax.random.key(3), progress)
    assert seen["global_step"] == 7
    assert seen["model_state"] is None
    assert (seen["hyperparameters"].rate, seen["hyperparameters"].name) == (0.5, "b")
    assert seen["rng"].tolist() == jax.random.key_data(jax.random.key(3)).tolist()
    assert seen["batch"].keys() == {"inputs", "targets"}
    assert seen["loss_type"] == seen["workload"].loss_type
    assert seen["current_params_types"] == view.parameter_types
    times = {"score": 2.0, "accumulated_submission_time": 2.0}
    assert seen["eval_results"] == [(5, metrics | times)]
    assert seen["train_state"]["accumulated_submission_time"] == 3.0
    assert seen["train_state"]["is_time_remaining"] is True
    with pytest.raises(UserError, match=r"reads train_state\['accumulated_eval_time'\]"):
        seen["train_state"]["accumulated_eval_time"]
    with pytest.raises(UserError, match=r"reads train_state\['accumulated_eval_time'\]"):
        seen["train_state"].get("accumulated_eval_time", 0)
    assert seen["train_state"].get("is_time_remaining") is True
    with pytest.raises(TypeError):
        seen["train_state"]["is_time_remaining"] = False


@pytest.mark.parametrize(
    ("body", "space", "said"),
    [
        (
            "hyperparameters.beta9",
            [{"rate": 0.5}],
            r"hyperparameters.beta9, which tuning_search_space.json does not give. It gives rate",
        ),
        ("hyperparameters.beta9", None, r"None in self-tuning.*tuning_search_space.json"),
        (
            "return model_state",
            None,
            r"`update_params` returned a NoneType; it must return a tuple",
        ),
    ],
)
def test_a_step_that_goes_wrong_says_whose_fault_it_is(folder, body, space, said):
    text = WORKING.replace(
        "    return optimizer_state, c", f"    {body}\n    return optimizer_state, c"
    )
    algorithm = load(folder({"submission.py": text}, space=space)).algorithm
    with pytest.raises(UserError, match=said):
        trained(algorithm, tiny.workload, space and space[0], 1)


def test_an_attribute_error_of_another_kind_stays_what_it_is(folder):
    text = WORKING.replace("    return optimizer_state, c", "    rng.nothing\n    return rng, c")
    algorithm = load(folder({"submission.py": text}, space=[{"rate": 1.0}])).algorithm
    with pytest.raises(AttributeError, match="nothing"):
        trained(algorithm, tiny.workload, {"rate": 1.0}, 1)


def test_its_operations_are_counted_although_it_logs(capsys):
    """Where jax traces a step there is nothing to log. Four examples more are so much more work."""
    algorithm = load(SUBMISSIONS / "jit_adamw").algorithm
    view = WorkloadView(calm, 10.0)
    train = start(algorithm, view, calm, POINT)

    def counted(size):
        def step(train, batch, key):
            return algorithm.update(view, train, batch, key, NOW)

        return flops.count(step, train, calm.dataset.signature(size), jax.random.key(0))

    # Forward, and backward for the kernel alone: 2 x 2 x 6 x 2 operations for each example.
    more = counted(8) - counted(4)
    assert 4 * 48 <= more <= 4 * 48 * 2
    assert not capsys.readouterr().out
    batch = next(calm.dataset.training(4, seed=0))
    algorithm.update(view, train, batch, jax.random.key(0), NOW)
    assert json.loads(capsys.readouterr().out).keys() == {"global_step", "loss"}


def test_a_point_of_the_space_becomes_a_named_tuple():
    space = load(SUBMISSIONS / "jit_adamw").search_space
    (point,) = tuning.draw(space, 1, seed=0)
    assert point.keys() == POINT.keys()
    assert point["warmup"] in (0.02, 0.05, 0.1)


def test_a_train_state_from_params_for_evaluation_is_taken_apart():
    train = TrainState({"a": jnp.ones(1)}, {}, ())
    shapes = {"a": jax.ShapeDtypeStruct((1,), jnp.float32)}
    assert contract.check_evaluated(train, shapes, {}) == (train.params, {})
