"""Losses and metrics, per example and weighted: means stay exact under masks and shards."""

import jax.numpy as jnp
import optax
from jax import Array

from algoperf.spec import Batch
from algoperf.workload import Metric, SumCount


def _counted(per_example: Array, batch: Batch) -> SumCount:
    """Per-example values and weights, shape (batch,); weights are 1 where the batch has none."""
    weights = batch.get("weights", jnp.ones_like(per_example))
    # A padded row may hold anything, also NaN: select, do not multiply.
    return SumCount(jnp.where(weights > 0, per_example * weights, 0.0), weights)


def softmax_cross_entropy(logits: Array, batch: Batch) -> SumCount:
    """Cross-entropy in nats of `logits` (batch, classes) against class numbers (batch,)."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])
    return _counted(losses, batch)


def classification_error(logits: Array, batch: Batch) -> SumCount:
    """1 where the largest of `logits` (batch, classes) is not the target, else 0."""
    wrong = (jnp.argmax(logits, axis=-1) != batch["targets"]).astype(logits.dtype)
    return _counted(wrong, batch)


def reconstruction_error(outputs: Array, batch: Batch) -> SumCount:
    """Squared error of `outputs` against the inputs, averaged over an example's elements."""
    squared = jnp.square(outputs - batch["inputs"])
    return _counted(squared.reshape(len(squared), -1).mean(axis=-1), batch)


classification_metrics = {
    "cross_entropy": Metric(softmax_cross_entropy),
    "error_rate": Metric(classification_error),
}
