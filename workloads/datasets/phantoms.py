"""Random ellipse phantoms, to be reconstructed from a quarter of their k-space.

A phantom is 32 x 32 pixels: a head, an ellipse of half axes 0.6 to 0.9 (the image reaches from -1
to 1) and value 0.3 to 0.7, and ten ellipses within 0.6 of the middle, of half axes 0.04 to 0.35
(logarithmically uniform) and values from -0.4 to 0.4; all turned at random, all uniform otherwise.
An edge is one pixel wide. The sum, cut to [0, 1], is multiplied by a brightness that falls by up to
30 % from one side to the other, and by a phase: a random plane wave of up to half a turn in each
direction. (The Shepp-Logan phantom is one of this kind: 1974, doi:10.1109/TNS.1974.6499235.)

Its k-space (orthonormal Fourier transform) gets complex noise of deviation `NOISE` and loses all
columns but the middle three and five others, drawn anew for each image. The magnitude of what is
left, transformed back, is the input; the magnitude of the phantom without noise is the target. Both
are stored in steps of 1/200, up to 255/200.
"""

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.data import Arrays
from algoperf.spec import Batch, Split
from workloads.datasets.generated import Splits, generated, joined, with_eval_train

SIDE = 32
ELLIPSES = 10
MIDDLE, OTHERS = 3, 5
"""Columns of k-space: those always kept, and how many of the others."""
NOISE = 0.02
STEPS = 200
COUNTS = {Split.TRAIN: 60_000, Split.VALIDATION: 512, Split.TEST: 512}

_SEED = 21
_AT_ONCE = 1024
_CLIP = 6.0
_TINY = 1e-11


def phantoms_of(count: int, rng: np.random.Generator) -> Arrays:
    """Rows as they are stored: `inputs` and `targets` uint8 (count, 32, 32)."""
    starts = range(0, count, _AT_ONCE)
    return joined([_scanned(min(_AT_ONCE, count - start), rng) for start in starts])


def _scanned(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    phantom = drawn(count, rng)
    noise = rng.normal(0, NOISE, (2, *phantom.shape))
    kspace = np.fft.fft2(phantom, norm="ortho") + noise[0] + 1j * noise[1]
    image = np.fft.ifft2(kspace * masks(count, rng)[:, None, :], norm="ortho")
    return {"inputs": _stored(image), "targets": _stored(phantom)}


def _stored(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(np.abs(image) * STEPS, 0, 255)).astype(np.uint8)


def masks(count: int, rng: np.random.Generator) -> np.ndarray:
    """Which columns of k-space are kept, bool (count, 32), zero frequency first."""
    wish = rng.random((count, SIDE))
    wish[:, np.arange(MIDDLE) - MIDDLE // 2] = 2
    return wish >= np.sort(wish, axis=1)[:, -(MIDDLE + OTHERS), None]


def drawn(count: int, rng: np.random.Generator) -> np.ndarray:
    """Phantoms, complex (count, 32, 32)."""
    ticks = (np.arange(SIDE) + 0.5) / (SIDE / 2) - 1
    y, x = ticks[None, :, None], ticks[None, None, :]

    def some(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, 1, 1))

    def ellipse(radii: tuple[np.ndarray, np.ndarray], spread: float) -> np.ndarray:
        """1 within, 0 outside, and in between on the edge."""
        dx, dy, turn = x - some(-spread, spread), y - some(-spread, spread), some(0, np.pi)
        cos, sin = np.cos(turn), np.sin(turn)
        along, across = (dx * cos + dy * sin) / radii[0], (dy * cos - dx * sin) / radii[1]
        inwards = (1 - np.sqrt(along**2 + across**2)) * np.minimum(*radii) * SIDE / 2
        return np.clip(inwards + 0.5, 0, 1)

    head = ellipse((some(0.6, 0.9), some(0.6, 0.9)), 0.05)
    value = some(0.3, 0.7)
    for _ in range(ELLIPSES):
        radii = [np.exp(some(np.log(0.04), np.log(0.35))) for _ in range(2)]
        value = value + some(-0.4, 0.4) * ellipse((radii[0], radii[1]), 0.6)
    direction, fall = some(0, 2 * np.pi), some(0, 0.15)
    brightness = 1 - fall * (1 + x * np.cos(direction) + y * np.sin(direction))
    phase = some(-np.pi, np.pi) + some(-np.pi / 2, np.pi / 2) * x + some(-np.pi / 2, np.pi / 2) * y
    return np.clip(value, 0, 1) * head * brightness * np.exp(1j * phase)


def _make() -> Splits:
    rng = np.random.default_rng(_SEED)
    return with_eval_train({split: phantoms_of(count, rng) for split, count in COUNTS.items()})


def _normalised(rows: Batch) -> Batch:
    inputs, targets = (rows[name].astype(jnp.float32) / STEPS for name in ("inputs", "targets"))
    mean = inputs.mean(axis=(1, 2))
    deviation = inputs.std(axis=(1, 2)) + _TINY

    def scaled(images: jax.Array) -> jax.Array:
        return jnp.clip((images - mean[:, None, None]) / deviation[:, None, None], -_CLIP, _CLIP)

    return {
        "inputs": scaled(inputs),
        "targets": scaled(targets),
        "mean": mean,
        "std": deviation,
        "volume_max": targets.max(axis=(1, 2)),
    }


phantoms = generated(
    "phantoms",
    _make,
    sha256="fecb9e54c731587d36992dc0b0207347a33a913054ecc281b23cab87ea53322e",
    example={name: jax.ShapeDtypeStruct((SIDE, SIDE), np.uint8) for name in ("inputs", "targets")},
    prepare=_normalised,
)
"""Inputs and targets float32 (batch, 32, 32), by the input's mean and deviation, cut to [-6, 6];
mean, std and volume_max, the target's largest value, float32 (batch,)."""
