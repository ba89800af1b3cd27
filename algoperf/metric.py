"""Losses and metrics as functions of a batch, and how what they give is put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from algoperf.spec import Batch


class SumCount(NamedTuple):
    """A weighted sum and the weight it stands for; per example, both have shape (batch,)."""

    total: jax.Array
    weight: jax.Array

    @property
    def mean(self) -> jax.Array:
        """Scalar: the weighted mean."""
        return self.total.sum() / self.weight.sum()


Loss = Callable[[Any, Batch], SumCount]
"""(model outputs, batch) -> per-example loss and weight, both of shape (batch,)."""


def _totals(per_example: SumCount) -> SumCount:
    return SumCount(per_example.total.sum(), per_example.weight.sum())


def ratio(totals: SumCount) -> float:
    """Host: the mean that a sum and its weight stand for."""
    return float(totals.total) / float(totals.weight)


def added(parts: Sequence[Any]) -> Any:
    """Host: the sum of what every batch left, leaf by leaf."""
    return jax.tree.map(lambda *leaves: sum(leaves), *parts)


def gathered(parts: Sequence[Any]) -> Any:
    """Host: what every batch left, one after the other along the leading dimension."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def unreduced(per_example: Any) -> Any:
    """Leaves it as it is: for metrics that need every example's values on the host."""
    return per_example


def forward(model: nn.Module, variables: Mapping[str, Any], batch: Batch) -> Any:
    """The model's outputs without dropout and with its state as it is."""
    return model.apply(variables, batch, train=False)


@dataclass(frozen=True)
class Metric:
    """How a split is measured: a jitted part for each batch, put together and finished on the host.

    A mean is the default. A metric that no sum can express (average precision, word errors, BLEU)
    has `reduce=unreduced, combine=gathered`, and `finish` sees what every example left.

    Attributes:
        per_example: (outputs, batch) -> `SumCount` for a mean, or any pytree that `reduce` takes.
        reduce: That -> pytree of arrays, what a batch leaves.
        combine: Host: what all batches left, fetched, in order -> the same for the whole split.
        finish: Host: that -> the value.
        predict: (model, variables, batch) -> outputs; computed once for all metrics that share it.
    """

    per_example: Callable[[Any, Batch], Any]
    reduce: Callable[[Any], Any] = _totals
    combine: Callable[[Sequence[Any]], Any] = added
    finish: Callable[[Any], float] = ratio
    predict: Callable[[nn.Module, Mapping[str, Any], Batch], Any] = forward
