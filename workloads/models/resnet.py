"""Residual network with batch normalisation, of basic or bottleneck blocks.

He et al. 2016, arXiv:1512.03385, the stride in the 3 x 3 convolution of a bottleneck; the last
normalisation of a block starts at scale 0 (Goyal et al. 2017, arXiv:1706.02677), or at
`last_scale`.
"""

import flax.linen as nn
import jax

from algoperf.parameters import Initializer
from algoperf.spec import Batch
from workloads.models.layers import Activation, batch_norm, conv, dense


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    features: int
    stride: int
    activation: Activation
    last_scale: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = conv(self.features, 3, self.stride)(x)
        y = self.activation(batch_norm(train)(y))
        y = conv(self.features, 3)(y)
        y = batch_norm(train, nn.initializers.constant(self.last_scale))(y)
        if x.shape != y.shape:
            x = batch_norm(train)(conv(self.features, 1, self.stride)(x))
        return self.activation(x + y)


class BottleneckBlock(nn.Module):
    """A 3 x 3 convolution between two 1 x 1 ones, the last with four times the features."""

    features: int
    stride: int
    activation: Activation
    last_scale: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = self.activation(batch_norm(train)(conv(self.features, 1)(x)))
        y = self.activation(batch_norm(train)(conv(self.features, 3, self.stride)(y)))
        y = conv(4 * self.features, 1)(y)
        y = batch_norm(train, nn.initializers.constant(self.last_scale))(y)
        if x.shape != y.shape:
            x = batch_norm(train)(conv(4 * self.features, 1, self.stride)(x))
        return self.activation(x + y)


class ResNet(nn.Module):
    """Images (batch, height, width, channels) to logits (batch, classes).

    Attributes:
        blocks: Number of blocks in each stage; a stage halves the image and doubles the features.
        width: Features of the first stage.
        classes: Number of classes.
        activation: After each normalisation.
        last_scale: Initial scale of the last normalisation in a block.
        bottleneck: Bottleneck blocks instead of basic ones.
        large_images: Start with a 7 x 7 convolution and a pooling, both of stride 2.
        head_init: Of the last layer's matrix.
    """

    blocks: tuple[int, ...]
    width: int
    classes: int
    activation: Activation = nn.relu
    last_scale: float = 0.0
    bottleneck: bool = False
    large_images: bool = False
    head_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        stem = (7, 2) if self.large_images else (3, 1)
        x = conv(self.width, *stem)(batch["inputs"])
        x = self.activation(batch_norm(train)(x))
        if self.large_images:
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        make_block = BottleneckBlock if self.bottleneck else BasicBlock
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                x = make_block(
                    features=self.width * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    activation=self.activation,
                    last_scale=self.last_scale,
                )(x, train)
        return dense(self.classes, self.head_init, output=True)(x.mean(axis=(1, 2)))
