"""Conformer for speech, with an output for each fourth frame.

Gulati et al. 2020, arXiv:2005.08100, in AlgoPerf's form: absolute positions, queries with learned
scales.
"""

import flax.linen as nn
import jax

from algoperf.parameters import typed
from algoperf.spec import Batch, ParameterType
from workloads.models.layers import Activation, Attention, dense, mlp, sinusoids
from workloads.models.speech import LogMel, Norm, SpecAugment, Subsampling, hide, log_mel

_glorot = nn.initializers.xavier_uniform()


class ConvolutionModule(nn.Module):
    """Pointwise gate, depthwise convolution over time, batch normalisation, pointwise map.

    The pointwise maps are convolutions over one frame, and count as such.
    """

    kernel: int
    activation: Activation

    @nn.compact
    def __call__(self, x: jax.Array, paddings: jax.Array, train: bool) -> jax.Array:
        width = x.shape[-1]

        def pointwise() -> nn.Dense:
            return dense(width, _glorot, kind=ParameterType.CONV_WEIGHT)

        x = pointwise()(x) * nn.sigmoid(pointwise()(x)) * (1 - paddings[..., None])
        x = nn.Conv(
            width,
            (self.kernel,),
            feature_group_count=width,
            use_bias=False,
            kernel_init=typed(_glorot, ParameterType.CONV_WEIGHT),
        )(x)
        x = self.activation(Norm(batch=True)(x, paddings, train))
        return pointwise()(x)


class Block(nn.Module):
    """Half an MLP, self-attention, convolution, half an MLP; fields as in `Conformer`."""

    heads: int
    kernel: int
    activation: Activation
    temperature: float
    post_block_norm: bool
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, paddings: jax.Array, train: bool) -> jax.Array:
        def drop(y: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout_rate, deterministic=not train)(y)

        def norm(y: jax.Array) -> jax.Array:
            return Norm()(y, paddings, train)

        def feed_forward(y: jax.Array) -> jax.Array:
            return drop(mlp(norm(y), 4 * y.shape[-1], self.activation, kernel_init=_glorot))

        attention = Attention(
            self.heads, temperature=self.temperature, scaled_queries=True, name="attention"
        )
        x = x + 0.5 * feed_forward(x)
        x = x + drop(attention(norm(x), mask=(paddings == 0)[:, None, None, :]))
        x = x + ConvolutionModule(self.kernel, self.activation)(norm(x), paddings, train)
        x = x + 0.5 * feed_forward(x)
        return norm(x) if self.post_block_norm else x * (1 - paddings[..., None])


class Conformer(nn.Module):
    """`inputs` audio and `input_paddings`, float32 (batch, samples), to (logits, paddings).

    Logits are float32 (batch, frames, vocabulary), paddings float32 (batch, frames).

    Attributes:
        vocabulary: Number of tokens, 0 the blank.
        width: Features of a frame.
        heads: Attention heads.
        blocks: Number of blocks.
        kernel: Frames that the depthwise convolution spans.
        activation: In MLPs and after batch normalisation.
        temperature: Factor of attention logits.
        post_block_norm: Layer normalisation after each block.
        features: How audio becomes features.
        augment: Hides parts of the features, in training.
        dropout_rate: After subsampling, attention and MLPs, in training.
    """

    vocabulary: int
    width: int
    heads: int
    blocks: int
    kernel: int = 5
    activation: Activation = nn.swish
    temperature: float = 1.0
    post_block_norm: bool = True
    features: LogMel = LogMel()
    augment: SpecAugment = SpecAugment()
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> tuple[jax.Array, jax.Array]:
        x, paddings = log_mel(batch["inputs"], batch["input_paddings"], self.features)
        if train:
            x = hide(self.augment, x, paddings, self.make_rng("dropout"))
        x, paddings = Subsampling(self.width, nn.relu)(x, paddings)
        x = x + sinusoids(x.shape[1], self.width)[None]
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        for _ in range(self.blocks):
            x = Block(
                self.heads,
                self.kernel,
                self.activation,
                self.temperature,
                self.post_block_norm,
                self.dropout_rate,
            )(x, paddings, train)
        y = Norm()(x, paddings, train)
        return dense(self.vocabulary, _glorot, output=True)(y), paddings
