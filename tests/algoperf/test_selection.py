"""Pools and rows, and what a view offers to score candidates by."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algoperf import registry, selection
from algoperf.errors import UserError
from algoperf.features import last_layer_features
from algoperf.view import WorkloadView
from algoperf.workload import init_model
from tests import tiny
from tests.batches import molecules


def batch_of(*numbers: float):
    inputs = np.array(numbers, np.float32)
    return {"inputs": inputs[:, None], "targets": inputs.astype(np.int32)}


def test_a_pool_is_one_batch_after_the_other_and_rows_are_taken_in_order():
    pool = jax.jit(selection.joined)([batch_of(0, 1), batch_of(2, 3)])
    assert pool["targets"].tolist() == [0, 1, 2, 3]
    batch = jax.jit(selection.taken)(pool, jnp.array([3, 0]))
    assert batch["targets"].tolist() == [3, 0]
    assert batch["inputs"].tolist() == [[3.0], [0.0]]


def test_rows_of_graphs_are_refused():
    graphs = molecules(4, labels=2)
    message = r"edges \d+.*targets 4.*`workload.row_shapes` is None, use `next\(batches\)`"
    with pytest.raises(UserError, match=message):
        selection.joined([graphs, graphs])
    with pytest.raises(UserError, match=message):
        selection.taken(graphs, jnp.array([0]))


def test_a_view_says_what_a_row_is_and_where_there_are_none():
    view = WorkloadView(tiny.workload, 10.0)
    assert view.row_shapes == {
        "inputs": jax.ShapeDtypeStruct((6,), np.float32),
        "targets": jax.ShapeDtypeStruct((), np.int32),
    }
    assert view.output_shapes == jax.ShapeDtypeStruct((1, 2), np.float32)
    assert WorkloadView(registry.workload("molecules"), 10.0).row_shapes is None


def test_example_losses_are_those_of_the_model_without_dropout():
    """Cross-entropy of the linear model, written out; a row without weight has none."""
    view = WorkloadView(tiny.workload, 10.0)
    params, model_state = init_model(tiny.workload, jax.random.key(0))
    batch = {**next(tiny.dataset.training(4, seed=0)), "weights": jnp.array([1.0, 2.0, 0.0, 1.0])}
    kernel, bias = (np.asarray(params["Dense_0"][name]) for name in ("kernel", "bias"))
    logits = np.asarray(batch["inputs"]) @ kernel + bias[None]
    targets = np.asarray(batch["targets"])
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(4), targets]
    losses = view.example_losses(params, model_state, batch)
    assert losses.tolist() == pytest.approx((expected * [1, 1, 0, 1]).tolist(), rel=1e-5)


def test_the_loss_of_an_example_is_a_mean_over_its_parts():
    """Two tokens with losses 1 and 3, weighed as one example: 2, not 4."""

    def loss(outputs, batch):
        return tiny.workload.loss(outputs, batch)._replace(
            total=jnp.array([4.0, 3.0]), weight=jnp.array([2.0, 1.0])
        )

    view = WorkloadView(dataclasses.replace(tiny.workload, loss=loss), 10.0)
    params, model_state = init_model(tiny.workload, jax.random.key(0))
    batch = next(tiny.dataset.training(2, seed=0))
    assert view.example_losses(params, model_state, batch).tolist() == [2.0, 3.0]


def test_features_of_a_linear_model_are_its_inputs():
    view = WorkloadView(tiny.workload, 10.0)
    params, model_state = init_model(tiny.workload, jax.random.key(0))
    batch = next(tiny.dataset.training(4, seed=0))
    features = jax.jit(view.features)(params, model_state, batch)
    assert np.array_equal(features, batch["inputs"])


class Tied(nn.Module):
    """A table that is looked up, and attended to for the outputs."""

    @nn.compact
    def __call__(self, batch, train):
        table = nn.Embed(3, 2)
        return table.attend(2 * table(batch["inputs"]))


def test_features_of_a_text_are_the_mean_of_what_the_table_is_asked_for():
    """Vectors (0, 1), (2, 3), (4, 5), doubled; of words 0 and 2 the mean is (4, 6)."""
    variables = {"params": {"Embed_0": {"embedding": jnp.arange(6.0).reshape(3, 2)}}}
    batch = {"inputs": jnp.array([[0, 2], [1, 1]])}
    assert last_layer_features(Tied(), variables, batch).tolist() == [[4.0, 6.0], [4.0, 6.0]]


class Bare(nn.Module):
    @nn.compact
    def __call__(self, batch, train):
        return batch["inputs"]


def test_a_model_without_layers_has_no_features():
    with pytest.raises(UserError, match="The model Bare has no features"):
        last_layer_features(Bare(), {}, batch_of(1))
