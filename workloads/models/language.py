"""Decoder-only language model.

Pre-normalised by root mean square (Zhang & Sennrich 2019, arXiv:1910.07467), gated MLP (Shazeer
2020, arXiv:2002.05202), rotary positions (Su et al. 2021, arXiv:2104.09864), and attention of
normalised queries and keys with one learned scale a layer (Henry et al. 2020, arXiv:2010.04245).
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from algoperf.parameters import typed
from algoperf.spec import Batch, ParameterType
from workloads.models.layers import Activation, attend, dense, embedding


def _rms_norm() -> nn.RMSNorm:
    return nn.RMSNorm(scale_init=typed(nn.initializers.ones, ParameterType.LAYER_NORM_SCALE))


def rotated(x: jax.Array) -> jax.Array:
    """`x` (batch, length, heads, features) with pairs of features turned by place times rate."""
    length, features = x.shape[1], x.shape[-1]
    rates = 10_000.0 ** -(np.arange(features // 2) / (features // 2))
    angles = np.arange(length)[:, None] * rates
    cos, sin = (f(angles).astype(np.float32)[None, :, None] for f in (np.cos, np.sin))
    one, other = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([one * cos - other * sin, one * sin + other * cos], axis=-1)


class CausalAttention(nn.Module):
    """Every place looks at itself and before; queries, keys and values come from one map."""

    heads: int
    dropout_rate: float
    kernel_init: nn.initializers.Initializer
    out_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        _, length, width = x.shape
        shape = (3, self.heads, width // self.heads)
        qkv = nn.DenseGeneral(
            shape,
            use_bias=False,
            kernel_init=typed(self.kernel_init, ParameterType.ATTENTION_QKV),
            name="qkv",
        )(x)
        query, key, value = (qkv[:, :, place] for place in range(3))
        query, key = (
            rotated(y / (jnp.linalg.norm(y, axis=-1, keepdims=True) + 1e-6)) for y in (query, key)
        )
        # Where cosines stand for dot products, their scale is learned: log2(L^2 - L) at first.
        start = nn.initializers.constant(math.log2(max(length**2 - length, 2)))
        scale = self.param("scale", typed(start, ParameterType.WEIGHT), ())
        query = query * scale * math.sqrt(width // self.heads)  # undone by what comes next
        causal = np.tri(length, dtype=bool)[None, None]
        rate = self.dropout_rate if train else 0.0
        mixed = attend(
            query, key, value, causal, rate=rate, make_rng=partial(self.make_rng, "dropout")
        )
        return nn.DenseGeneral(
            width,
            axis=(-2, -1),
            use_bias=False,
            kernel_init=typed(self.out_init, ParameterType.ATTENTION_OUT),
            name="out",
        )(mixed)


class LanguageModel(nn.Module):
    """`inputs` int32 (batch, length) to logits of each next token, (batch, length, vocabulary).

    Attributes:
        vocabulary: Number of tokens.
        width: Features of a token; twice a multiple of the number of heads.
        heads: Attention heads.
        layers: Number of layers.
        mlp_width: Hidden features of the gated MLP.
        activation: Of the gate.
        dropout_rate: Of embeddings, branches and attention, in training.
    """

    vocabulary: int
    width: int
    heads: int
    layers: int
    mlp_width: int
    activation: Activation = nn.silu
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        def drop(y: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout_rate, deterministic=not train)(y)

        init = nn.initializers.normal(0.02)
        # Radford et al. 2019: what is added to the residual stream starts smaller, by its number.
        out_init = nn.initializers.normal(0.02 / math.sqrt(2 * self.layers))
        table = embedding(self.vocabulary, self.width, init)
        x = drop(table(batch["inputs"]))
        for _ in range(self.layers):
            attention = CausalAttention(self.heads, self.dropout_rate, init, out_init)
            x = x + drop(attention(_rms_norm()(x), train))
            gate, up = jnp.split(dense(2 * self.mlp_width, init, bias=False)(_rms_norm()(x)), 2, -1)
            x = x + drop(dense(self.width, out_init, bias=False)(self.activation(gate) * up))
        return table.attend(_rms_norm()(x))
