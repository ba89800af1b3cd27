"""What the functions of a submission find on `workload`."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from algoperf import jax_sharding_utils, registry, spec
from algoperf.errors import TrainingComplete, UserError
from algoperf.mlcommons.batches import GraphsTuple, form_of
from algoperf.mlcommons.workload import Workload
from algoperf.view import WorkloadView
from algoperf.workload import init_model
from tests import tiny

TRAIN, EVAL = spec.ForwardPassMode.TRAIN, spec.ForwardPassMode.EVAL


def theirs(workload, budget_s=100.0, **arguments):
    return Workload(WorkloadView(workload, budget_s), **arguments)


def test_what_the_record_says_under_their_names():
    workload = theirs(tiny.workload)
    assert isinstance(workload, spec.Workload)
    assert (workload.step_hint, workload.loss_type) == (500, spec.LossType.SOFTMAX_CROSS_ENTROPY)
    assert workload.target_metric_name == "cross_entropy"
    assert (workload.validation_target_value, workload.test_target_value) == (0.5, 0.5)
    assert workload.max_allowed_runtime_sec == 100.0
    assert workload.eval_period_time_sec == 1.0  # each 5 of 500 steps, in 100 s
    assert theirs(replace(tiny.workload, eval_every_s=7.0)).eval_period_time_sec == 7.0
    sizes = [getattr(workload, f"num_{s}_examples") for s in ("train", "eval_train", "validation")]
    assert [*sizes, workload.num_test_examples, workload.eval_batch_size] == [10, 11, 12, 13, 8]
    assert workload.has_reached_validation_target({"validation/cross_entropy": 0.4})
    assert not workload.has_reached_validation_target({"validation/cross_entropy": math.nan})
    assert not workload.has_reached_test_target({})


def test_parameters_have_shapes_and_types():
    workload = theirs(tiny.workload)
    assert workload.param_shapes["Dense_0"]["kernel"].shape_tuple == (6, 2)
    assert workload.param_shapes["Dense_0"]["bias"] == spec.ShapeTuple((2,))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape_tuple), workload.param_shapes)
    assert zeros["Dense_0"]["kernel"].shape == (6, 2)
    assert workload.model_params_types["Dense_0"]["kernel"] == spec.ParameterType.WEIGHT


def test_a_model_is_made_anew_with_or_without_an_axis_of_devices():
    key = jax.random.PRNGKey(4)
    params, state = theirs(tiny.workload).init_model_fn(key)
    assert state is None
    ours, _ = init_model(tiny.workload, jax.random.key(4))
    assert np.array_equal(params["Dense_0"]["kernel"], ours["Dense_0"]["kernel"])
    spread, _ = theirs(tiny.workload, devices=2).init_model_fn(key)
    assert spread["Dense_0"]["kernel"].shape == (2, 6, 2)


def test_the_loss_sums_over_valid_examples():
    """Logits 0 make a loss of log 2 for each of two classes, whatever the target is."""
    workload = theirs(tiny.workload)
    labels, logits = jnp.array([0, 1, 1]), jnp.zeros((3, 2))
    losses = workload.loss_fn(labels, logits)
    assert losses["summed"] == pytest.approx(3 * math.log(2))
    assert losses["n_valid_examples"] == 3
    assert losses["per_example"].tolist() == pytest.approx([math.log(2)] * 3)
    masked = workload.loss_fn(labels, logits, mask_batch=jnp.array([True, False, True]))
    assert masked["summed"] == pytest.approx(2 * math.log(2))
    assert masked["n_valid_examples"] == 2
    # Logits (2, 0): log(e^2 + 1) = 2.1269; smoothing 0.5 leaves 0.75 on the right class.
    found = workload.loss_fn(jnp.array([0]), jnp.array([[2.0, 0.0]]), None, 0.5)
    assert found["summed"] == pytest.approx(2.1269 - 0.75 * 2, abs=1e-4)


@pytest.mark.slow
def test_statistics_change_in_training_and_only_where_that_is_asked_for():
    record = registry.workload("digits_resnet")
    workload = theirs(record)
    params, state = workload.init_model_fn(jax.random.PRNGKey(0))
    batch = workload.form.to_theirs(next(record.dataset.training(4, seed=0)))

    def stays(mode, update_batch_norm):
        _, after = workload.model_fn(params, batch, state, mode, None, update_batch_norm)
        return all(map(np.array_equal, jax.tree.leaves(after), jax.tree.leaves(state)))

    assert stays(EVAL, False)
    assert stays(TRAIN, False)
    assert not stays(TRAIN, True)

    def outputs(mode, update_batch_norm, **asked):
        return workload.model_fn(params, batch, state, mode, None, update_batch_norm, **asked)

    same = partial(jax.tree.map, np.testing.assert_array_equal)
    own = outputs(TRAIN, True)
    same(outputs(TRAIN, True, use_running_average_bn=False), own)
    same(outputs(EVAL, False, use_running_average_bn=True), outputs(EVAL, False))
    logits, after = outputs(EVAL, False, use_running_average_bn=False)
    same(logits, own[0])
    same(after, state)
    for mode in (TRAIN, EVAL):
        with pytest.raises(UserError, match="use_running_average_bn=True"):
            outputs(mode, True, use_running_average_bn=True)


@pytest.mark.parametrize("use", [True, False])
def test_without_statistics_it_does_not_matter_whose_are_used(use):
    workload = theirs(tiny.workload)
    params, state = workload.init_model_fn(jax.random.PRNGKey(0))
    batch = workload.form.to_theirs(next(tiny.dataset.training(4, seed=0)))
    plain = workload.model_fn(params, batch, state, EVAL, None, True)
    found = workload.model_fn(params, batch, state, EVAL, None, True, use_running_average_bn=use)
    jax.tree.map(np.testing.assert_array_equal, found, plain)


def test_the_rate_of_dropout_is_the_calls_or_the_workloads():
    workload = theirs(tiny.workload)
    params, _ = workload.init_model_fn(jax.random.PRNGKey(0))
    batch = workload.form.to_theirs(next(tiny.dataset.training(4, seed=0)))

    def logits(mode, **rate):
        rng = jax.random.PRNGKey(1)
        return workload.model_fn(params, batch, None, mode, rng, update_batch_norm=True, **rate)[0]

    whole = logits(EVAL)
    np.testing.assert_allclose(logits(TRAIN, dropout_rate=0.0), whole, rtol=1e-6)
    assert not np.allclose(logits(TRAIN), whole)
    np.testing.assert_allclose(logits(TRAIN, dropout_rate=0.5), logits(TRAIN), rtol=1e-6)


def test_an_autoencoders_labels_are_its_inputs():
    form = form_of(registry.workload("digits_autoencoder"))
    batch = {"inputs": jnp.ones((2, 8, 8, 1)), "targets": jnp.array([3, 4])}
    assert form.to_theirs(batch)["targets"].shape == (2, 8, 8, 1)
    assert form.labelled(batch["inputs"], None, jnp.float32).keys() == {"inputs"}


SLOW = ("speech_deepspeech", "facts_lm", "translation")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["molecules", *(pytest.param(name, marks=pytest.mark.table) for name in SLOW)]
)
def test_their_batch_has_the_same_loss_and_comes_back_as_it_was(name):
    """The sum over the count is the mean loss that our own view gives, also with padding."""
    record = registry.workload(name)
    workload, view = theirs(record), WorkloadView(record, 1.0)
    signature = record.dataset.signature(4)
    batch = {k: _made_up(k, v) for k, v in signature.items()}
    given = workload.form.to_theirs(batch)
    back = workload.form.to_ours(given)
    for key in batch.keys() - {"target_weights"}:
        assert back[key] is batch[key]
    params, state = init_model(record, jax.random.key(0))

    @jax.jit
    def means(params, state, batch, given):
        losses, _ = view.per_example_loss(params, state, batch, train=False)
        outputs, _ = workload.model_fn(params, given, state, EVAL, None, update_batch_norm=False)
        found = workload.loss_fn(given["targets"], outputs, given.get("weights"))
        return losses.mean, found["summed"] / found["n_valid_examples"]

    ours, their_mean = means(params, state, batch, given)
    assert float(their_mean) == pytest.approx(float(ours), rel=1e-5)
    on_devices = workload.form.to_theirs(next(record.dataset.training(4, seed=0)))
    shardings = {leaf.sharding.spec for leaf in jax.tree.leaves(on_devices)}
    assert shardings == {P("batch")}  # as a submission's `in_shardings` say
    if name == "molecules":
        assert isinstance(given["inputs"], GraphsTuple)
        assert given["inputs"].n_node.tolist() == [16] * 4
        assert given["weights"].shape == (4, 32)
    if name == "speech_deepspeech":
        assert [part.shape for part in given["targets"]] == [(4, 14), (4, 14)]


def _made_up(name, wanted):
    """A batch of four in which something is padding."""
    rng = np.random.default_rng(len(name))
    shape, rows = wanted.shape, wanted.shape[0]
    match name:
        case "node_graph" | "edge_graph":
            made = np.repeat(np.arange(4), rows // 4)
        case "senders" | "receivers":
            made = rng.integers(0, 64, shape)
        case "input_paddings" | "target_paddings":
            made = np.arange(shape[1])[None] > np.array([[shape[1] - 1], [9], [7], [8]])
        case "targets" if wanted.dtype == jnp.int32:
            made = rng.integers(1, 6, shape)
            made[0, -2:] = 0
        case "target_weights":
            made = rng.integers(0, 2, shape)
        case _ if wanted.dtype == jnp.int32:
            made = rng.integers(1, 6, shape)
        case _:
            made = rng.normal(size=shape)
    return jnp.asarray(made, wanted.dtype)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("digits_vit", "Dense_0"), ("digits_resnet", "Dense_0"), ("facts_lm", "Embed_0")],
)
def test_the_output_layer_is_the_last_that_is_called(name, layer):
    workload = theirs(registry.workload(name))
    keys = workload.param_shapes.keys()
    assert [key for key in keys if workload.is_output_params(key)] == [layer]


def test_names_and_helpers_are_there():
    assert spec.TrainingCompleteError is TrainingComplete
    x = {"a": jnp.arange(4.0)}
    assert jax_sharding_utils.shard_along_batch_dim(x)["a"].sharding.spec == P("batch")
    assert jax_sharding_utils.replicate(x)["a"].is_fully_replicated
    assert jax_sharding_utils.get_replicate_sharding().is_fully_replicated
    assert len(jax_sharding_utils.get_batch_dim_sharding().device_set) == 2


def test_shards_are_shown(capsys):
    jax_sharding_utils.display_shard_info(jax_sharding_utils.shard_along_batch_dim(jnp.arange(4)))
    assert capsys.readouterr().out.count("replica 0") == 2
