"""Deep learning recommendation model: click-through from numbers and categories.

Naumov et al. 2019, arXiv:1906.00091; one table for all categories, as in AlgoPerf (Dahl et al.
2023, arXiv:2306.07179, appendix D).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from algoperf.parameters import Initializer
from algoperf.spec import Batch
from workloads.models.layers import Activation, dense, embedding, layer_norm

_glorot = nn.initializers.xavier_uniform()
_glorot_normal = nn.initializers.xavier_normal()


def _dense(width: int, kernel_init: Initializer, *, output: bool = False) -> nn.Dense:
    return dense(width, kernel_init, nn.initializers.normal(1 / math.sqrt(width)), output=output)


class DLRM(nn.Module):
    """Rows of numbers and categories to one logit each, shape (batch,).

    `inputs` float32 (batch, numbers + categories): first the numbers, then row numbers of the
    table, exact in float32 up to 2**24.

    Attributes:
        table_rows: Rows of the table that all categories share.
        table_width: Features of a row; with interactions also the last bottom layer's.
        bottom: Features of the layers that take the numbers.
        top: Features of the hidden layers between interactions and logit.
        numbers: How many of the inputs are numbers.
        activation: After every layer but the last.
        embedding_scale: Rows start uniform in [0, this); None for 1 / sqrt(table_rows).
        interactions: Dot products of all pairs of vectors; else their concatenation.
        residual: Shortcuts around layers that keep the width.
        normalise: Layer normalisation after every hidden layer and of the table's rows.
        dropout_rate: Before the last layer, in training.
    """

    table_rows: int
    table_width: int
    bottom: tuple[int, ...]
    top: tuple[int, ...]
    numbers: int = 13
    activation: Activation = nn.relu
    embedding_scale: float | None = None
    interactions: bool = True
    residual: bool = False
    normalise: bool = False
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        numbers, categories = jnp.split(batch["inputs"], [self.numbers], axis=1)
        bottom = self._layers(numbers, self.bottom, _glorot)
        rows = self._rows(categories)
        if self.interactions:
            vectors = jnp.concatenate([bottom[:, None], rows], axis=1)
            products = jnp.einsum("bmd,bnd->bmn", vectors, vectors)
            upper = np.triu_indices(vectors.shape[1])  # with the diagonal
            features = products[:, upper[0], upper[1]]
        else:
            features = rows.reshape(len(rows), -1)
        x = jnp.concatenate([bottom, features], axis=1)
        x = self._layers(x, self.top, _glorot_normal)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return _dense(1, _glorot_normal, output=True)(x)[:, 0]

    def _layers(self, x: jax.Array, widths: tuple[int, ...], kernel_init: Initializer) -> jax.Array:
        for place, width in enumerate(widths):
            y = self.activation(_dense(width, kernel_init)(x))
            if self.normalise:
                y = layer_norm()(y)
            # Never around the first layer, whatever its width: it changes what the features are.
            x = x + y if self.residual and place > 0 and x.shape == y.shape else y
        return x

    def _rows(self, categories: jax.Array) -> jax.Array:
        """Float row numbers (batch, categories) to (batch, categories, table_width)."""
        scale = self.embedding_scale or 1 / math.sqrt(self.table_rows)

        def initial(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
            return jax.random.uniform(key, shape, dtype, maxval=scale)

        table = embedding(self.table_rows, self.table_width, initial)
        rows = table(categories.astype(jnp.int32))
        return layer_norm()(rows) if self.normalise else rows
