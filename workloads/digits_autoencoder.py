"""Deep autoencoder of handwritten digits: 64 pixels through a bottleneck of 30 numbers.

A classic test of optimizers since Hinton & Salakhutdinov 2006 (doi:10.1126/science.1127647).
"""

from collections.abc import Callable
from dataclasses import replace

import flax.linen as nn
import jax

from algoperf.metric import Metric
from algoperf.parameters import Initializer
from algoperf.spec import Batch, LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.digits import shifted_digits
from workloads.losses import reconstruction_error
from workloads.models.layers import dense


class DeepAutoencoder(nn.Module):
    """Images to reconstructions of the same shape.

    Attributes:
        widths: Of the encoder's layers; the last is the code's, the decoder mirrors the others.
        activation: After every layer but the code and the output.
        kernel_init: Of every layer.
    """

    widths: tuple[int, ...]
    activation: Callable[[jax.Array], jax.Array] = nn.gelu
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        del train
        images = batch["inputs"]
        x = images.reshape(len(images), -1)
        pixels = x.shape[-1]
        *outer, code = self.widths
        for width in outer:
            x = self.activation(dense(width, self.kernel_init)(x))
        x = dense(code, self.kernel_init)(x)
        for width in reversed(outer):
            x = self.activation(dense(width, self.kernel_init)(x))
        return dense(pixels, self.kernel_init, output=True)(x).reshape(images.shape)


digits_autoencoder = Workload(
    **numbers("quick", "digits_autoencoder"),
    suite="quick",
    model=DeepAutoencoder(widths=(512, 256, 128, 30)),
    dataset=shifted_digits,
    loss_type=LossType.MEAN_SQUARED_ERROR,
    loss=reconstruction_error,
    metrics={"mse": Metric(reconstruction_error)},
    batch_size=128,
    eval_batch_size=512,
    eval_every_steps=50,
)

digits_autoencoder_tanh = replace(
    digits_autoencoder,
    **numbers("quick", "digits_autoencoder_tanh"),
    base="digits_autoencoder",
    model=replace(digits_autoencoder.model, activation=nn.tanh),
)

digits_autoencoder_orthogonal = replace(
    digits_autoencoder,
    **numbers("quick", "digits_autoencoder_orthogonal"),
    base="digits_autoencoder",
    model=replace(digits_autoencoder.model, kernel_init=nn.initializers.orthogonal()),
)
