"""Residual network with batch normalisation, basic blocks.

He et al. 2016, arXiv:1512.03385; the last normalisation of a block starts at scale 0
(Goyal et al. 2017, arXiv:1706.02677), or at `last_scale`.
"""

from collections.abc import Callable

import flax.linen as nn
import jax

from algoperf.spec import Batch
from workloads.models.layers import batch_norm, conv, dense

Activation = Callable[[jax.Array], jax.Array]


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


class ResNet(nn.Module):
    """Images (batch, height, width, channels) to logits (batch, classes).

    Attributes:
        blocks: Number of blocks in each stage; a stage halves the image and doubles the features.
        width: Features of the first stage.
        classes: Number of classes.
        activation: After each normalisation.
        last_scale: Initial scale of the last normalisation in a block.
    """

    blocks: tuple[int, ...]
    width: int
    classes: int
    activation: Activation = nn.relu
    last_scale: float = 0.0

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        x = conv(self.width, 3)(batch["inputs"])
        x = self.activation(batch_norm(train)(x))
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                x = BasicBlock(
                    features=self.width * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    activation=self.activation,
                    last_scale=self.last_scale,
                )(x, train)
        return dense(self.classes)(x.mean(axis=(1, 2)))
