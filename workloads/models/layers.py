"""flax layers whose parameters say what they are for."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from algoperf.parameters import Initializer, typed
from algoperf.spec import ParameterType

_glorot = nn.initializers.xavier_uniform()
_lecun = nn.initializers.lecun_normal()
_zeros = nn.initializers.zeros
_ones = nn.initializers.ones


def dense(features: int, kernel_init: Initializer = _lecun) -> nn.Dense:
    """Affine map of the last dimension to `features`."""
    return nn.Dense(
        features,
        kernel_init=typed(kernel_init, ParameterType.WEIGHT),
        bias_init=typed(_zeros, ParameterType.BIAS),
    )


def conv(
    features: int, kernel: int, stride: int = 1, *, padding: str = "SAME", bias: bool = False
) -> nn.Conv:
    """Square two-dimensional convolution over (batch, height, width, channels)."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=padding,
        use_bias=bias,
        kernel_init=typed(_lecun, ParameterType.CONV_WEIGHT),
        bias_init=typed(_zeros, ParameterType.BIAS),
    )


def batch_norm(train: bool, scale_init: Initializer = _ones, momentum: float = 0.9) -> nn.BatchNorm:
    """Batch normalisation; running statistics are model state, used unless `train`."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        scale_init=typed(scale_init, ParameterType.BATCH_NORM_SCALE),
        bias_init=typed(_zeros, ParameterType.BATCH_NORM_BIAS),
    )


def layer_norm() -> nn.LayerNorm:
    """Layer normalisation over the last dimension."""
    return nn.LayerNorm(
        scale_init=typed(_ones, ParameterType.LAYER_NORM_SCALE),
        bias_init=typed(_zeros, ParameterType.LAYER_NORM_BIAS),
    )


class SelfAttention(nn.Module):
    """Multi-head self-attention over (batch, length, width); separate Q, K, V and output maps."""

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        head_shape = (self.heads, width // self.heads)

        def project(
            features: int | Sequence[int], kind: ParameterType, name: str
        ) -> nn.DenseGeneral:
            return nn.DenseGeneral(
                features,
                axis=-1 if name != "out" else (-2, -1),
                kernel_init=typed(_glorot, kind),
                bias_init=typed(_zeros, ParameterType.ATTENTION_BIAS),
                name=name,
            )

        query = project(head_shape, ParameterType.ATTENTION_Q, "query")(x)
        key = project(head_shape, ParameterType.ATTENTION_K, "key")(x)
        value = project(head_shape, ParameterType.ATTENTION_V, "value")(x)
        mixed = nn.dot_product_attention(query, key, value)
        return project(width, ParameterType.ATTENTION_OUT, "out")(mixed)
