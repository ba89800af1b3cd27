"""Multilayer perceptron."""

import flax.linen as nn
import jax

from algoperf.spec import Batch
from workloads.models.layers import Activation, dense


class MLP(nn.Module):
    """Inputs (batch, ...) to logits (batch, classes).

    Attributes:
        widths: Features of the hidden layers.
        classes: Number of classes.
        activation: After every hidden layer.
        dropout_rate: After every hidden layer, in training.
    """

    widths: tuple[int, ...]
    classes: int
    activation: Activation = nn.sigmoid
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        x = batch["inputs"].reshape(len(batch["inputs"]), -1)
        for width in self.widths:
            x = self.activation(dense(width)(x))
            x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return dense(self.classes, output=True)(x)
