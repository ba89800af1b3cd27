"""Vision Transformer.

Dosovitskiy et al. 2021, arXiv:2010.11929; mean pooling and fixed positions as in Beyer et al.
2022, arXiv:2205.01580; pooling by attention as in Zhai et al. 2022, arXiv:2106.04560; a stem of
convolutions as in Xiao et al. 2021, arXiv:2106.14881.
"""

import flax.linen as nn
import jax
import numpy as np

from algoperf.parameters import typed
from algoperf.spec import Batch, ParameterType
from workloads.models.layers import Activation, Attention, conv, dense, layer_norm, mlp


class EncoderBlock(nn.Module):
    """Self-attention, then an MLP, each with a shortcut and dropout; fields as in `ViT`."""

    heads: int
    activation: Activation
    dropout_rate: float
    post_norm: bool
    mlp_width: int | None
    glu: bool
    inner_dropout: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def drop(y: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout_rate, deterministic=not train)(y)

        def attention(y: jax.Array) -> jax.Array:
            # The name is part of what initial values are drawn from: it stays.
            return Attention(self.heads, name="SelfAttention_0")(y)

        def feed_forward(y: jax.Array) -> jax.Array:
            return mlp(
                y,
                self.mlp_width or 4 * y.shape[-1],
                self.activation,
                glu=self.glu,
                gate_from_hidden=True,
                dropout=drop if self.inner_dropout else lambda hidden: hidden,
            )

        for branch in (attention, feed_forward):
            if self.post_norm:
                x = layer_norm()(x + drop(branch(x)))
            else:
                x = x + drop(branch(layer_norm()(x)))
        return x


class AttentionPooling(nn.Module):
    """One learned query looks at all tokens, then an MLP: (batch, tokens, width) to a vector."""

    heads: int
    activation: Activation
    mlp_width: int | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        probe_init = typed(nn.initializers.xavier_uniform(), ParameterType.EMBEDDING)
        probe = self.param("probe", probe_init, (1, 1, width))
        probe = probe.repeat(len(x), axis=0)
        x = Attention(self.heads)(probe, x)
        x = x + mlp(layer_norm()(x), self.mlp_width or 4 * width, self.activation)
        return x[:, 0]


def sinusoids_2d(height: int, width: int, features: int) -> np.ndarray:
    """Fixed positions float32 (1, height * width, features) of a grid of patches.

    A quarter each for sine and cosine of column and row (Chen et al. 2021, arXiv:2104.02057).
    """
    rows, columns = np.mgrid[:height, :width]
    quarter = features // 4
    rates = 10_000.0 ** -(np.arange(quarter) / max(quarter - 1, 1))
    angles = [place.reshape(-1, 1) * rates for place in (columns, rows)]
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.concatenate(waves, axis=1)[None].astype(np.float32)


class ViT(nn.Module):
    """Images (batch, height, width, channels) to logits (batch, classes).

    Attributes:
        patch: Side of a square patch [pixels; of the stem's output where there is a stem].
        width: Features of a token; a multiple of 4 for fixed positions.
        depth: Number of encoder blocks.
        heads: Attention heads.
        classes: Number of classes.
        activation: Inside the MLP.
        dropout_rate: After each branch, in training.
        inner_dropout: Also inside the MLP and on the embedded patches.
        post_norm: Normalise after the shortcut instead of before the branch.
        mlp_width: Hidden features of the MLP; None for four times the width.
        glu: The MLP is gated; by a map of its hidden features, as AlgoPerf's count requires.
        fixed_positions: Sines and cosines instead of learned positions.
        attention_pooling: A learned query instead of the mean over tokens.
        representation: A dense layer with tanh before the head.
        zero_head: The head starts at zero.
        stem: Features of each 3 x 3 convolution of stride 2 before the patches are cut.
    """

    patch: int
    width: int
    depth: int
    heads: int
    classes: int
    activation: Activation = nn.gelu
    dropout_rate: float = 0.0
    inner_dropout: bool = False
    post_norm: bool = False
    mlp_width: int | None = None
    glu: bool = False
    fixed_positions: bool = False
    attention_pooling: bool = False
    representation: bool = False
    zero_head: bool = False
    stem: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        x = batch["inputs"]
        for features in self.stem:
            x = self.activation(layer_norm()(conv(features, 3, 2)(x)))
        x = conv(self.width, self.patch, self.patch, padding="VALID", bias=True)(x)
        _, rows, columns, _ = x.shape
        x = x.reshape(len(x), -1, self.width)
        if self.fixed_positions:
            x = x + sinusoids_2d(rows, columns, self.width)
        else:
            position_init = typed(nn.initializers.normal(0.02), ParameterType.EMBEDDING)
            x = x + self.param("positions", position_init, (1, x.shape[1], self.width))
        if self.inner_dropout:
            x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        for _ in range(self.depth):
            x = EncoderBlock(
                self.heads,
                self.activation,
                self.dropout_rate,
                self.post_norm,
                self.mlp_width,
                self.glu,
                self.inner_dropout,
            )(x, train)
        if not self.post_norm:
            x = layer_norm()(x)
        if self.attention_pooling:
            x = AttentionPooling(self.heads, self.activation, self.mlp_width)(x)
        else:
            x = x.mean(axis=1)
        if self.representation:
            x = nn.tanh(dense(self.width)(x))
        head_init = nn.initializers.zeros if self.zero_head else nn.initializers.lecun_normal()
        return dense(self.classes, head_init, output=True)(x)
