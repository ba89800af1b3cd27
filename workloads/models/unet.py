"""U-Net for image reconstruction.

Ronneberger et al. 2015, arXiv:1505.04597, in the form of Zbontar et al. 2018, arXiv:1811.08839.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from algoperf.parameters import typed
from algoperf.spec import Batch, ParameterType
from workloads.models.layers import Activation, average_pool, conv, layer_norm

leaky_relu = partial(nn.leaky_relu, negative_slope=0.2)


def _instance_norm(x: jax.Array) -> jax.Array:
    """Mean 0 and variance 1 for each channel of each image; no parameters."""
    return nn.InstanceNorm(epsilon=1e-5, use_bias=False, use_scale=False)(x)


class ConvBlock(nn.Module):
    """Twice: 3 x 3 convolution, normalisation, activation, dropout of whole channels."""

    features: int
    activation: Activation
    layer_norm: bool
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for _ in range(2):
            x = conv(self.features, 3)(x)
            x = layer_norm((1, 2, 3))(x) if self.layer_norm else _instance_norm(x)
            dropout = nn.Dropout(self.dropout_rate, broadcast_dims=(1, 2), deterministic=not train)
            x = dropout(self.activation(x))
        return x


class UpBlock(nn.Module):
    """Twice the height and width: transposed convolution, instance normalisation, activation."""

    features: int
    activation: Activation

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.ConvTranspose(
            self.features,
            (2, 2),
            strides=(2, 2),
            use_bias=False,
            kernel_init=typed(nn.initializers.lecun_normal(), ParameterType.CONV_WEIGHT),
        )(x)
        return self.activation(_instance_norm(x))


class UNet(nn.Module):
    """Images (batch, height, width) to images of the same shape.

    Attributes:
        channels: Features at full resolution; doubled at every halving of it.
        pools: How many times the resolution is halved.
        activation: After every normalisation.
        layer_norm: Layer instead of instance normalisation, in convolution blocks.
        dropout_rate: Of channels in convolution blocks, in training.
    """

    channels: int
    pools: int
    activation: Activation = leaky_relu
    layer_norm: bool = False
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        def block(level: int) -> ConvBlock:
            return ConvBlock(
                self.channels * 2**level, self.activation, self.layer_norm, self.dropout_rate
            )

        x = batch["inputs"][..., None]
        skipped = []
        for level in range(self.pools):
            x = block(level)(x, train)
            skipped.append(x)
            x = average_pool(x, 2, 2)
        x = block(self.pools)(x, train)
        for level in reversed(range(self.pools)):
            skip = skipped[level]
            x = UpBlock(self.channels * 2**level, self.activation)(x)
            # An odd height or width lost its last line to the pooling.
            lost = [(0, whole - half) for whole, half in zip(skip.shape, x.shape, strict=True)]
            x = jnp.pad(x, [(0, 0), *lost[1:3], (0, 0)], mode="reflect")
            x = block(level)(jnp.concatenate([x, skip], axis=-1), train)
        return conv(1, 1, bias=True, output=True)(x)[..., 0]
