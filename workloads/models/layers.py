"""flax layers whose parameters say what they are for."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from algoperf import dropout
from algoperf.parameters import Initializer, typed
from algoperf.spec import ParameterType

Activation = Callable[[jax.Array], jax.Array]

_glorot = nn.initializers.xavier_uniform()
_lecun = nn.initializers.lecun_normal()
_zeros = nn.initializers.zeros
_ones = nn.initializers.ones


def dense(
    features: int,
    kernel_init: Initializer = _lecun,
    bias_init: Initializer = _zeros,
    *,
    bias: bool = True,
    kind: ParameterType = ParameterType.WEIGHT,
    output: bool = False,
) -> nn.Dense:
    """Affine map of the last dimension to `features`.

    `kind` is the type of its matrix, and `output` says that it is the model's last layer.
    """
    return nn.Dense(
        features,
        use_bias=bias,
        kernel_init=typed(kernel_init, kind, output=output),
        bias_init=typed(bias_init, ParameterType.BIAS, output=output),
    )


def conv(
    features: int,
    kernel: int,
    stride: int = 1,
    *,
    padding: str = "SAME",
    bias: bool = False,
    kernel_init: Initializer = _lecun,
    output: bool = False,
) -> nn.Conv:
    """Square two-dimensional convolution over (batch, height, width, channels).

    `output` says that it is the model's last layer.
    """
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=padding,
        use_bias=bias,
        kernel_init=typed(kernel_init, ParameterType.CONV_WEIGHT, output=output),
        bias_init=typed(_zeros, ParameterType.BIAS, output=output),
    )


def batch_norm(train: bool, scale_init: Initializer = _ones, momentum: float = 0.9) -> nn.BatchNorm:
    """Batch normalisation; running statistics are model state, used unless `train`."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        scale_init=typed(scale_init, ParameterType.BATCH_NORM_SCALE),
        bias_init=typed(_zeros, ParameterType.BATCH_NORM_BIAS),
    )


def layer_norm(axes: int | Sequence[int] = -1) -> nn.LayerNorm:
    """Layer normalisation over `axes`; scale and bias for each element of the last dimension."""
    return nn.LayerNorm(
        reduction_axes=axes,
        feature_axes=-1,
        scale_init=typed(_ones, ParameterType.LAYER_NORM_SCALE),
        bias_init=typed(_zeros, ParameterType.LAYER_NORM_BIAS),
    )


def embedding(count: int, features: int, init: Initializer) -> nn.Embed:
    """Table of `count` vectors."""
    return nn.Embed(count, features, embedding_init=typed(init, ParameterType.EMBEDDING))


def average_pool(x: jax.Array, window: int, stride: int) -> jax.Array:
    """Means over square windows that lie wholly in (batch, height, width, channels)."""
    # flax's own does not bear strict dtype promotion.
    sums = nn.pool(x, 0.0, jax.lax.add, (window, window), (stride, stride), "VALID")
    return sums / float(window**2)


def mlp(
    x: jax.Array,
    hidden: int,
    activation: Activation,
    *,
    glu: bool = False,
    gate_from_hidden: bool = False,
    kernel_init: Initializer = _lecun,
    bias_init: Initializer = _zeros,
    dropout: Callable[[jax.Array], jax.Array] = lambda y: y,
) -> jax.Array:
    """Two dense layers with `hidden` features between them, back to the width of `x`.

    To be called inside a module's `__call__`.

    Args:
        x: (..., width).
        hidden: Features between the layers.
        activation: After the first layer.
        glu: Multiply the hidden features by a linear gate (Shazeer 2020, arXiv:2002.05202).
        gate_from_hidden: The gate is a map of the hidden features and not, as in the paper, of `x`.
        kernel_init: Of every layer.
        bias_init: Of every layer.
        dropout: Applied to the hidden features.
    """
    # Made first, although applied last: names, and so initial values, go by this order.
    output = dense(x.shape[-1], kernel_init, bias_init)
    y = activation(dense(hidden, kernel_init, bias_init)(x))
    if glu:
        y = y * dense(hidden, kernel_init, bias_init)(y if gate_from_hidden else x)
    return output(dropout(y))


def sinusoids(length: int, features: int, max_timescale: float = 10_000.0) -> np.ndarray:
    """Fixed positions float32 (length, features): sines, then cosines of falling frequency.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.5, with the halves not interleaved.
    """
    half = features // 2
    rates = max_timescale ** -(np.arange(half) / max(half - 1, 1))
    angles = np.arange(length)[:, None] * rates
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return np.pad(table, ((0, 0), (0, features - 2 * half))).astype(np.float32)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | np.ndarray | None,
    *,
    rate: float | jax.Array,
    make_rng: Callable[[], jax.Array],
) -> jax.Array:
    """Dot-product attention, (batch, length, heads, features) all; flax's, at any dropout rate.

    Args:
        query: Asks.
        key: Is asked.
        value: Answers.
        mask: True where a query may look; broadcasts to (batch, heads, queries, keys).
        rate: Dropout of attention weights; may be traced by jax.
        make_rng: Called for randomness unless `rate` is the number 0.
    """
    if isinstance(rate, jax.Array):
        weights = nn.dot_product_attention_weights(query, key, mask=mask, deterministic=True)
        weights = dropout.keeping(weights, rate, make_rng(), weights.shape)
        return jnp.einsum("...hqk,...khd->...qhd", weights, value)
    return nn.dot_product_attention(
        query,
        key,
        value,
        mask=mask,
        broadcast_dropout=False,
        dropout_rate=rate,
        dropout_rng=make_rng() if rate > 0 else None,
        deterministic=rate == 0,
    )


class Attention(nn.Module):
    """Multi-head dot-product attention; separate maps for queries, keys, values and output.

    Attributes:
        heads: Number of heads; divides the width.
        bias: Whether the four maps have biases.
        temperature: Factor of the queries and so of the logits (AlgoPerf's variants call it that;
            in physics it would be the inverse).
        scaled_queries: Each dimension of a head has a learned factor, softplus of a parameter.
        dropout_rate: Of attention weights, in training.
        kernel_init: Of the four maps.
    """

    heads: int
    bias: bool = True
    temperature: float = 1.0
    scaled_queries: bool = False
    dropout_rate: float = 0.0
    kernel_init: Initializer = _glorot

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        mask: jax.Array | None = None,
        *,
        train: bool = False,
        position: jax.Array | None = None,
        length: int | None = None,
    ) -> jax.Array:
        """Mixes what `context` says at the places that `mask` allows.

        Args:
            x: Asks; (batch, queries, width).
            context: Answers, (batch, keys, width); None for `x` itself.
            mask: True where a query may look; broadcasts to (batch, heads, queries, keys).
            train: Whether dropout is on.
            position: To decode one token at a time: its place in the sequence, scalar int32. Keys
                and values of places before it are kept in the `cache` collection.
            length: Places in that cache.

        Returns:
            (batch, queries, width).
        """
        width = x.shape[-1]
        head_shape = (self.heads, width // self.heads)
        context = x if context is None else context
        query = self._project(head_shape, ParameterType.ATTENTION_Q, "query")(x)
        key = self._project(head_shape, ParameterType.ATTENTION_K, "key")(context)
        value = self._project(head_shape, ParameterType.ATTENTION_V, "value")(context)
        if self.temperature != 1.0:
            query = query * self.temperature
        if self.scaled_queries:
            # 1 / softplus(0) makes the factor 1 at the start.
            scale_init = typed(_zeros, ParameterType.WEIGHT)
            scale = self.param("query_scale", scale_init, head_shape[1:])
            query = (
                query * (jax.nn.softplus(scale) / np.log(2.0).astype(np.float32))[None, None, None]
            )
        if position is not None:
            key, value = (
                self._remembered(name, new, position, length)
                for name, new in (("keys", key), ("values", value))
            )
        rate = self.dropout_rate if train else 0.0
        mixed = attend(
            query, key, value, mask, rate=rate, make_rng=partial(self.make_rng, "dropout")
        )
        return self._project(width, ParameterType.ATTENTION_OUT, "out")(mixed)

    def _project(
        self, features: int | Sequence[int], kind: ParameterType, name: str
    ) -> nn.DenseGeneral:
        return nn.DenseGeneral(
            features,
            axis=-1 if name != "out" else (-2, -1),
            use_bias=self.bias,
            kernel_init=typed(self.kernel_init, kind),
            bias_init=typed(_zeros, ParameterType.ATTENTION_BIAS),
            name=name,
        )

    def _remembered(
        self, name: str, new: jax.Array, position: jax.Array, length: int | None
    ) -> jax.Array:
        """The cache (batch, length, heads, features) with `new` put in at `position`."""
        shape = (new.shape[0], length or 1, *new.shape[2:])
        cache = self.variable("cache", name, jnp.zeros, shape, new.dtype)
        cache.value = jax.lax.dynamic_update_slice_in_dim(cache.value, new, position, axis=1)
        return cache.value
