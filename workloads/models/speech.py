"""What both speech models share: log-mel features, SpecAugment, subsampling, masked norms.

Everywhere `paddings` is float32 (batch, time), 1 on padding, and what lies there has no influence.
"""

from dataclasses import dataclass
from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from algoperf.parameters import typed
from algoperf.spec import ParameterType
from workloads.models.layers import Activation, conv, dense
from workloads.models.logmel_statistics import MEAN, STANDARD_DEVIATION

SAMPLE_RATE_HZ = 16_000
FRAME = 400
"""Samples in a frame: 25 ms."""
HOP = 160
"""Samples from frame to frame: 10 ms."""
BINS = 80
"""Mel bins."""

_FFT = 512
_PREEMPHASIS = 0.97
_LOW_HZ, _HIGH_HZ = 125.0, 7600.0
_FLOOR = 1e-5


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@cache
def mel_filters() -> np.ndarray:
    """Triangles float32 (FFT bins, mel bins), evenly spaced on the scale 1127 log(1 + f / 700).

    Their height is 1 (as in HTK), and the constant component is in none.
    """

    edges = np.linspace(_mel(_LOW_HZ), _mel(_HIGH_HZ), BINS + 2)
    places = _mel(np.linspace(0.0, SAMPLE_RATE_HZ / 2, _FFT // 2 + 1))[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (places - lower) / (centre - lower), (upper - places) / (upper - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[0] = 0.0
    return filters.astype(np.float32)


def log_mel(audio: jax.Array, paddings: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Normalised log-mel energies, and the frames' paddings.

    Frames begin at every hop and lie wholly in the array. Padding is at the end: a frame is padding
    if its first sample is.

    Args:
        audio: float32 (batch, samples) in [-1, 1].
        paddings: (batch, samples).

    Returns:
        (batch, frames, mel bins), 0 on padding, and paddings (batch, frames).
    """
    audio = jnp.where(paddings > 0, 0.0, audio)
    first = HOP * np.arange((audio.shape[1] - FRAME) // HOP + 1)
    framed = audio[:, first[:, None] + np.arange(FRAME)]
    # Pre-emphasis as in HTK: within a frame, and its first sample comes after its like.
    before = jnp.concatenate([framed[..., :1], framed[..., :-1]], axis=-1)
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)  # periodic
    spectrum = jnp.fft.rfft((framed - _PREEMPHASIS * before) * window[None, None], _FFT)
    energies = jnp.square(jnp.abs(spectrum)) @ mel_filters()
    features = jnp.log(jnp.maximum(energies, _FLOOR))
    features = (features - MEAN[None, None]) / STANDARD_DEVIATION[None, None]
    return features * (1 - paddings[:, first, None]), paddings[:, first]


@dataclass(frozen=True)
class SpecAugment:
    """Which random bands and stretches of the features are hidden in training.

    Park et al. 2019, arXiv:1904.08779, without time warping; stretches as in Park et al. 2020,
    arXiv:1912.05533: at most a share of the utterance each.

    Attributes:
        bands: Bands hidden in each utterance.
        band_bins: Widest band [bins].
        stretches: Stretches hidden in each utterance.
        stretch_frames: Longest stretch [frames].
        stretch_share: Longest stretch, as a share of the utterance.
    """

    bands: int = 2
    band_bins: int = 27
    stretches: int = 10
    stretch_frames: int = 40
    stretch_share: float = 0.05


def hide(how: SpecAugment, features: jax.Array, paddings: jax.Array, key: jax.Array) -> jax.Array:
    """`features` (batch, frames, bins) with bands and stretches set to 0, which is their mean."""
    count, frames, bins = features.shape
    lengths = (1 - paddings).sum(axis=1)
    longest = jnp.minimum(how.stretch_frames, how.stretch_share * lengths)
    all_bins, widest = (jnp.full(count, float(n)) for n in (bins, min(how.band_bins, bins)))
    band_key, stretch_key = jax.random.split(key)
    bands = _intervals(band_key, how.bands, widest, all_bins, bins)
    stretches = _intervals(stretch_key, how.stretches, longest, lengths, frames)
    return jnp.where(bands[:, None, :] | stretches[:, :, None], 0.0, features)


def _intervals(
    key: jax.Array, count: int, widest: jax.Array, lengths: jax.Array, places: int
) -> jax.Array:
    """True (batch, places) where any of `count` random intervals lies.

    Each is up to `widest` (batch,) wide, and lies within the first `lengths` (batch,) places.
    """
    width_key, start_key = jax.random.split(key)
    shape = (len(lengths), count)
    widths = jnp.floor(jax.random.uniform(width_key, shape) * (widest[:, None] + 1))
    room = lengths[:, None] - widths + 1
    starts = jnp.floor(jax.random.uniform(start_key, shape) * room)
    place = jnp.arange(places, dtype=jnp.float32)[None, None]
    inside = (place >= starts[..., None]) & (place < (starts + widths)[..., None])
    return inside.any(axis=1)


class Subsampling(nn.Module):
    """Two 3 x 3 convolutions of stride 2 and a dense layer: a quarter of the frames.

    (batch, frames, bins) and paddings to (batch, frames / 4, width), 0 on padding, and paddings;
    numbers of frames are rounded up.
    """

    width: int
    activation: Activation

    @nn.compact
    def __call__(self, x: jax.Array, paddings: jax.Array) -> tuple[jax.Array, jax.Array]:
        glorot = nn.initializers.xavier_uniform()
        x = x[..., None]
        for _ in range(2):
            x = self.activation(conv(self.width, 3, 2, bias=True, kernel_init=glorot)(x))
            paddings = paddings[:, ::2]
            x = x * (1 - paddings[..., None, None])
        x = dense(self.width, glorot)(x.reshape(*x.shape[:2], -1))
        return x * (1 - paddings[..., None]), paddings


class Norm(nn.Module):
    """Layer or batch normalisation, times (1 + scale), plus bias, both 0 at the start.

    Statistics of a batch are over what is no padding (momentum 0.999, epsilon 1e-3).

    Attributes:
        batch: Batch normalisation, whose running statistics are model state.
    """

    batch: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, paddings: jax.Array, train: bool) -> jax.Array:
        real = 1 - paddings[..., None]
        if self.batch:
            norm = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.999,
                epsilon=1e-3,
                use_bias=False,
                use_scale=False,
                use_fast_variance=False,
            )
            y = norm(x, mask=real > 0)
            kinds = ParameterType.BATCH_NORM_SCALE, ParameterType.BATCH_NORM_BIAS
        else:
            y = nn.LayerNorm(use_bias=False, use_scale=False)(x)
            kinds = ParameterType.LAYER_NORM_SCALE, ParameterType.LAYER_NORM_BIAS
        scale, bias = (
            self.param(name, typed(nn.initializers.zeros, kind), (x.shape[-1],))[None, None]
            for name, kind in zip(("scale", "bias"), kinds, strict=True)
        )
        return (y * (1 + scale) + bias) * real
