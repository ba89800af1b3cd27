"""Losses and metrics, per example and weighted: means stay exact under masks and shards."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from algoperf.metric import Metric, SumCount
from algoperf.spec import Batch


def counted(per_example: Array, batch: Batch, count: Array | None = None) -> SumCount:
    """Per-example values and weights, shape (batch,); weights are 1 where the batch has none.

    Args:
        per_example: Values, or sums over an example's elements.
        batch: May have `weights`.
        count: How many elements each sum is over; None where the values are no sums.
    """
    weights = batch.get("weights", jnp.ones_like(per_example))
    # A padded row may hold anything, also NaN: select, do not multiply.
    total = jnp.where(weights > 0, per_example * weights, 0.0)
    return SumCount(total, weights if count is None else jnp.where(weights > 0, weights * count, 0))


def softmax_cross_entropy(
    logits: Array, batch: Batch, *, label_smoothing: float | Array = 0.0
) -> SumCount:
    """Cross-entropy in nats of `logits` (batch, classes).

    Targets are class numbers (batch,), or probabilities (batch, classes) where classes are mixed.

    Args:
        logits: For each class.
        batch: `targets`.
        label_smoothing: How much of each target's probability is spread evenly over all classes
            (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    """
    targets = batch["targets"]
    if targets.ndim == logits.ndim:
        smoothed = _smoothed(targets, label_smoothing)
        return counted(optax.softmax_cross_entropy(logits, smoothed), batch)
    return counted(_class_cross_entropy(logits, targets, label_smoothing), batch)


def _is_zero(number: float | Array) -> bool:
    """Whether it is the number 0: what jax traces may be anything."""
    return not isinstance(number, Array) and number == 0


def _smoothed(targets: Array, label_smoothing: float | Array) -> Array:
    if _is_zero(label_smoothing):
        return targets
    return optax.smooth_labels(targets, jnp.asarray(label_smoothing, targets.dtype))


def _class_cross_entropy(logits: Array, targets: Array, label_smoothing: float | Array) -> Array:
    """Cross-entropy (...) of `logits` (..., classes) against smoothed class numbers (...)."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    if _is_zero(label_smoothing):
        return losses
    # Against the even distribution it is the mean over all classes.
    even = -jax.nn.log_softmax(logits).mean(axis=-1)
    share = jnp.asarray(label_smoothing, losses.dtype)
    return (1 - share) * losses + share * even


def classification_error(logits: Array, batch: Batch) -> SumCount:
    """1 where the largest of `logits` (batch, classes) is not the target, else 0."""
    wrong = (jnp.argmax(logits, axis=-1) != batch["targets"]).astype(logits.dtype)
    return counted(wrong, batch)


def accuracy(logits: Array, batch: Batch) -> SumCount:
    """1 where the largest of `logits` (batch, classes) is the target, else 0."""
    right = (jnp.argmax(logits, axis=-1) == batch["targets"]).astype(logits.dtype)
    return counted(right, batch)


def reconstruction_error(outputs: Array, batch: Batch) -> SumCount:
    """Squared error of `outputs` against the inputs, averaged over an example's elements."""
    squared = jnp.square(outputs - batch["inputs"])
    return counted(squared.reshape(len(squared), -1).mean(axis=-1), batch)


def absolute_error(outputs: Array, batch: Batch) -> SumCount:
    """Absolute error of `outputs` against the targets, averaged over an example's elements."""
    errors = jnp.abs(outputs - batch["targets"])
    return counted(errors.reshape(len(errors), -1).mean(axis=-1), batch)


def sigmoid_cross_entropy(logits: Array, batch: Batch) -> SumCount:
    """Cross-entropy in nats of `logits` (batch,) against targets in [0, 1], (batch,)."""
    return counted(optax.sigmoid_binary_cross_entropy(logits, batch["targets"]), batch)


def known_label_cross_entropy(
    logits: Array, batch: Batch, *, label_smoothing: float | Array = 0.0
) -> SumCount:
    """Cross-entropy in nats of `logits` (batch, labels), a mean over all labels that are known.

    `targets` are 0 or 1, `target_weights` 0 where a label is unknown, both float (batch, labels).
    Smoothing makes of a target y (1 - s) y + s / labels, as AlgoPerf's molecule workload does.
    """
    targets = batch["targets"]
    smoothed = _smoothed(targets, label_smoothing)
    losses = optax.sigmoid_binary_cross_entropy(logits, smoothed)
    return _known(losses, batch)


def known_label_accuracy(logits: Array, batch: Batch) -> SumCount:
    """Share of known labels on whose side `logits` (batch, labels) are."""
    return _known(((logits > 0) == (batch["targets"] > 0)).astype(logits.dtype), batch)


def _known(values: Array, batch: Batch) -> SumCount:
    known = batch["target_weights"]
    return counted(jnp.where(known > 0, values * known, 0).sum(-1), batch, known.sum(-1))


def token_cross_entropy(
    logits: Array, batch: Batch, *, padded: bool = True, label_smoothing: float | Array = 0.0
) -> SumCount:
    """Cross-entropy in nats of `logits` (batch, length, vocabulary), a mean over all tokens.

    Args:
        logits: For each place.
        batch: `targets` int (batch, length), and maybe `token_weights` (batch, length).
        padded: Whether, without `token_weights`, token 0 is padding; else every token counts.
        label_smoothing: As in `softmax_cross_entropy`.
    """
    losses = _class_cross_entropy(logits, batch["targets"], label_smoothing)
    return _over_tokens(losses, batch, padded)


def token_accuracy(logits: Array, batch: Batch, *, padded: bool = True) -> SumCount:
    """Share of tokens for which the largest of `logits` is right; arguments as before."""
    right = jnp.argmax(logits, axis=-1) == batch["targets"]
    return _over_tokens(right.astype(logits.dtype), batch, padded)


def _over_tokens(values: Array, batch: Batch, padded: bool) -> SumCount:
    weights = batch.get("token_weights")
    if weights is None:
        real = batch["targets"] > 0 if padded else jnp.ones_like(values)
        weights = real.astype(values.dtype)
    return counted(jnp.where(weights > 0, values * weights, 0).sum(-1), batch, weights.sum(-1))


def ctc(outputs: tuple[Array, Array], batch: Batch) -> SumCount:
    """Connectionist temporal classification loss in nats, a mean over all target tokens.

    Graves et al. 2006, doi:10.1145/1143844.1143891; blank is 0.

    Args:
        outputs: Logits (batch, frames, vocabulary) and paddings (batch, frames).
        batch: `targets` int (batch, length), `target_paddings` (batch, length).
    """
    logits, paddings = outputs
    losses = optax.ctc_loss(logits, paddings, batch["targets"], batch["target_paddings"])
    return counted(losses, batch, (1 - batch["target_paddings"]).sum(-1))


classification_metrics = {
    "cross_entropy": Metric(softmax_cross_entropy),
    "error_rate": Metric(classification_error),
}

accuracy_metrics = {"loss": Metric(softmax_cross_entropy), "accuracy": Metric(accuracy)}
"""The same measures under AlgoPerf's names."""
