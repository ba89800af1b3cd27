"""Vision Transformer with learned positions and mean pooling.

Dosovitskiy et al. 2021, arXiv:2010.11929; mean pooling as in Beyer et al. 2022, arXiv:2205.01580.
"""

from collections.abc import Callable

import flax.linen as nn
import jax

from algoperf.parameters import typed
from algoperf.spec import Batch, ParameterType
from workloads.models.layers import SelfAttention, conv, dense, layer_norm

Activation = Callable[[jax.Array], jax.Array]


class EncoderBlock(nn.Module):
    """Self-attention, then an MLP of four times the width, each with a shortcut and dropout."""

    heads: int
    activation: Activation
    dropout_rate: float
    post_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def attention(y: jax.Array) -> jax.Array:
            return SelfAttention(self.heads)(y)

        def mlp(y: jax.Array) -> jax.Array:
            return dense(y.shape[-1])(self.activation(dense(4 * y.shape[-1])(y)))

        for branch in (attention, mlp):
            dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
            if self.post_norm:
                x = layer_norm()(x + dropout(branch(x)))
            else:
                x = x + dropout(branch(layer_norm()(x)))
        return x


class ViT(nn.Module):
    """Images (batch, height, width, channels) to logits (batch, classes).

    Attributes:
        patch: Side of a square patch [pixels].
        width: Features of a token.
        depth: Number of encoder blocks.
        heads: Attention heads.
        classes: Number of classes.
        activation: Inside the MLP.
        dropout_rate: After each branch, in training.
        post_norm: Normalise after the shortcut instead of before the branch.
    """

    patch: int
    width: int
    depth: int
    heads: int
    classes: int
    activation: Activation = nn.gelu
    dropout_rate: float = 0.0
    post_norm: bool = False

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        x = conv(self.width, self.patch, self.patch, padding="VALID", bias=True)(batch["inputs"])
        x = x.reshape(len(x), -1, self.width)
        position_init = typed(nn.initializers.normal(0.02), ParameterType.EMBEDDING)
        x = x + self.param("positions", position_init, (1, x.shape[1], self.width))
        for _ in range(self.depth):
            x = EncoderBlock(self.heads, self.activation, self.dropout_rate, self.post_norm)(
                x, train
            )
        if not self.post_norm:
            x = layer_norm()(x)
        return dense(self.classes)(x.mean(axis=1))
