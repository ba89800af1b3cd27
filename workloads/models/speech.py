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

_PREEMPHASIS = 0.97
_FLOOR = 1e-5


@dataclass(frozen=True)
class LogMel:
    """How audio becomes features; the defaults are AlgoPerf's.

    Attributes:
        rate_hz: Samples a second.
        frame: Samples in a frame.
        hop: Samples from frame to frame.
        fft: Samples to which a frame is padded.
        bins: Mel bins.
        low_hz: Where the lowest bin begins.
        high_hz: Where the highest bin ends.
        mean: Subtracted from the features, for each bin, or one for all.
        standard_deviation: Divides the features, for each bin, or one for all.
    """

    rate_hz: int = 16_000
    frame: int = 400
    hop: int = 160
    fft: int = 512
    bins: int = 80
    low_hz: float = 125.0
    high_hz: float = 7600.0
    mean: tuple[float, ...] = tuple(MEAN.tolist())
    standard_deviation: tuple[float, ...] = tuple(STANDARD_DEVIATION.tolist())


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@cache
def mel_filters(how: LogMel = LogMel()) -> np.ndarray:
    """Triangles float32 (FFT bins, mel bins), evenly spaced on the scale 1127 log(1 + f / 700).

    Their height is 1 (as in HTK), and the constant component is in none.
    """

    edges = np.linspace(_mel(how.low_hz), _mel(how.high_hz), how.bins + 2)
    places = _mel(np.linspace(0.0, how.rate_hz / 2, how.fft // 2 + 1))[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (places - lower) / (centre - lower), (upper - places) / (upper - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[0] = 0.0
    return filters.astype(np.float32)


def log_mel(
    audio: jax.Array, paddings: jax.Array, how: LogMel = LogMel()
) -> tuple[jax.Array, jax.Array]:
    """Normalised log-mel energies, and the frames' paddings.

    Frames begin at every hop and lie wholly in the array. Padding is at the end: a frame is padding
    if its first sample is.

    Args:
        audio: float32 (batch, samples) in [-1, 1].
        paddings: (batch, samples).
        how: Frames, filters and normalisation.

    Returns:
        (batch, frames, mel bins), 0 on padding, and paddings (batch, frames).
    """
    audio = jnp.where(paddings > 0, 0.0, audio)
    first = how.hop * np.arange((audio.shape[1] - how.frame) // how.hop + 1)
    framed = _frames(audio, len(first), how)
    # Pre-emphasis as in HTK: within a frame, and its first sample comes after its like.
    before = jnp.concatenate([framed[..., :1], framed[..., :-1]], axis=-1)
    window = np.hanning(how.frame + 1)[:-1].astype(np.float32)  # periodic
    spectrum = jnp.fft.rfft((framed - _PREEMPHASIS * before) * window[None, None], how.fft)
    energies = jnp.square(jnp.abs(spectrum)) @ mel_filters(how)
    features = jnp.log(jnp.maximum(energies, _FLOOR))
    mean, deviation = (np.array(x, np.float32) for x in (how.mean, how.standard_deviation))
    features = (features - mean[None, None]) / deviation[None, None]
    return features * (1 - paddings[:, first, None]), paddings[:, first]


def _frames(audio: jax.Array, count: int, how: LogMel) -> jax.Array:
    """The first `count` frames, (batch, frames, samples): whole hops, copied side by side.

    Faster than looking every sample up.
    """
    hops = -(-how.frame // how.hop)
    needed = (count + hops - 1) * how.hop
    audio = jnp.pad(audio, ((0, 0), (0, max(0, needed - audio.shape[1]))))[:, :needed]
    pieces = audio.reshape(len(audio), -1, how.hop)
    beside = jnp.concatenate([pieces[:, k : k + count] for k in range(hops)], axis=-1)
    return beside[..., : how.frame]


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
