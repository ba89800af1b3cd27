"""Recurrent network for speech, with an output for each fourth frame.

After Amodei et al. 2016, arXiv:1512.02595, in AlgoPerf's form: shortcuts around every layer.
"""

from typing import cast

import flax.linen as nn
import jax

from algoperf.parameters import typed
from algoperf.spec import Batch, ParameterType
from workloads.models.layers import Activation, dense
from workloads.models.speech import LogMel, Norm, SpecAugment, Subsampling, hide, log_mel

_glorot = nn.initializers.xavier_uniform()


def _lstm(features: int, name: str) -> nn.RNN:
    """Eight matrices and four biases (Hochreiter & Schmidhuber 1997), each a parameter."""
    cell = nn.OptimizedLSTMCell(
        features,
        kernel_init=typed(nn.initializers.lecun_normal(), ParameterType.WEIGHT),
        recurrent_kernel_init=typed(nn.initializers.orthogonal(), ParameterType.WEIGHT),
        bias_init=typed(nn.initializers.zeros, ParameterType.BIAS),
        name=name,
    )
    return nn.RNN(cell)


class DeepSpeech(nn.Module):
    """`inputs` audio and `input_paddings`, float32 (batch, samples), to (logits, paddings).

    Logits are float32 (batch, frames, vocabulary), paddings float32 (batch, frames).

    Attributes:
        vocabulary: Number of tokens, 0 the blank.
        width: Features of a frame; half of them from each direction.
        recurrent: Number of bidirectional LSTM layers.
        dense_layers: Number of dense layers after them.
        activation: After convolutions and dense layers.
        residual: Shortcuts around every layer.
        batch_norm: Batch normalisation before every layer; else layer normalisation.
        output_norm: Layer normalisation before the logits.
        features: How audio becomes features.
        augment: Hides parts of the features, in training.
        dropout_rate: After subsampling and dense layers, in training.
    """

    vocabulary: int
    width: int
    recurrent: int
    dense_layers: int
    activation: Activation = nn.relu
    residual: bool = True
    batch_norm: bool = True
    output_norm: bool = True
    features: LogMel = LogMel()
    augment: SpecAugment = SpecAugment()
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> tuple[jax.Array, jax.Array]:
        def drop(y: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout_rate, deterministic=not train)(y)

        x, paddings = log_mel(batch["inputs"], batch["input_paddings"], self.features)
        if train:
            x = hide(self.augment, x, paddings, self.make_rng("dropout"))
        x, paddings = Subsampling(self.width, self.activation)(x, paddings)
        x = drop(x)
        real = 1 - paddings[..., None]
        lengths = real[..., 0].sum(axis=1).astype("int32")
        for layer in range(self.recurrent):
            y = Norm(batch=self.batch_norm)(x, paddings, train)
            both = nn.Bidirectional(
                _lstm(self.width // 2, f"forward_{layer}"),
                _lstm(self.width // 2, f"backward_{layer}"),
            )
            y = cast("jax.Array", both(y, seq_lengths=lengths)) * real
            x = x + y if self.residual else y
        for _ in range(self.dense_layers):
            y = dense(self.width, _glorot)(Norm(batch=self.batch_norm)(x, paddings, train))
            y = drop(self.activation(y) * real)
            x = x + y if self.residual else y
        if self.output_norm:
            x = Norm()(x, paddings, train)
        return dense(self.vocabulary, _glorot, output=True)(x), paddings
