"""Glyphs: 24 invented letters, drawn with many hands, 24 x 24 pixels.

A letter is four strokes between points of a 4 x 4 grid. Letters come in pairs that differ in one
stroke. A drawing turns its letter by up to 20 degrees, stretches, shears and moves it, moves every
stroke's ends a little, takes a pen of its own width, adds one stray stroke of half the length and
noise of every pixel. Pixels are bytes.

`glyphs` are noisy, and 10 % of their training labels are replaced by another letter, drawn evenly;
those of validation and test are right. `few_glyphs` have less noise and right labels, but so few
drawings to train on that a model can learn them by heart.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.data import Arrays
from algoperf.spec import Batch, Split
from workloads.datasets.generated import generated, with_eval_train

CLASSES = 24
SIDE = 24
LABEL_NOISE = 0.1

_STROKES = 4
_COUNTS = {Split.TRAIN: 32_000, Split.VALIDATION: 1_000, Split.TEST: 1_000}
_FEW = {**_COUNTS, Split.TRAIN: 3_000}
_BLOCK = 500


def letters() -> np.ndarray:
    """Ends of every letter's strokes in [-1, 1], (24, 4, 2 ends, 2 coordinates)."""
    rng = np.random.default_rng(20_240)
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2) / 1.5 - 1
    strokes = np.array([(a, b) for a in range(16) for b in range(a) if _is_short(grid, a, b)])
    found: list[np.ndarray] = []
    for _ in range(CLASSES // 2):
        chosen = rng.choice(len(strokes), _STROKES + 1, replace=False)
        found += [strokes[chosen[:-1]], strokes[chosen[1:]]]
    return grid[np.array(found)]


def _is_short(grid: np.ndarray, a: int, b: int) -> bool:
    return 0.6 < float(np.abs(grid[a] - grid[b]).max()) < 1.4


def drawn(rng: np.random.Generator, classes: np.ndarray, noise: int) -> np.ndarray:
    """One drawing of each letter, uint8 (letters, 24, 24), with up to `noise` on every pixel."""
    blocks = np.split(classes, range(_BLOCK, len(classes), _BLOCK))
    return np.concatenate([_block(rng, block, noise) for block in blocks])


def _block(rng: np.random.Generator, classes: np.ndarray, noise: int) -> np.ndarray:
    count = len(classes)
    ends = letters()[classes] + rng.uniform(-0.09, 0.09, (count, _STROKES, 2, 2))
    start = rng.uniform(-1, 1, (count, 1, 1, 2))
    stray = np.concatenate([start, start + rng.uniform(-0.5, 0.5, start.shape)], axis=2)
    ends = np.concatenate([ends, stray], axis=1)
    angle = rng.uniform(-0.35, 0.35, (count, 1, 1))
    tall, wide = rng.uniform(0.55, 0.85, (2, count, 1, 1))
    shear = rng.uniform(-0.25, 0.25, (count, 1, 1))
    x, y = ends[..., 0] * wide, ends[..., 1] * tall
    x = x + shear * y
    turned = np.stack(
        [np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], -1
    )
    ends = turned + rng.uniform(-0.15, 0.15, (count, 1, 1, 2))
    pen = rng.uniform(0.04, 0.09, (count, 1, 1))
    ink = np.clip(1.5 - _distance(ends) / pen, 0, 1)
    contrast = rng.uniform(0.5, 1.0, (count, 1, 1))
    grain = rng.integers(-noise, noise + 1, (count, SIDE, SIDE))
    return np.clip(np.rint(60 + 130 * contrast * ink + grain), 0, 255).astype(np.uint8)


def _distance(ends: np.ndarray) -> np.ndarray:
    """From every pixel's centre to the nearest stroke, (letters, 24, 24)."""
    centres = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    nearest = np.full((len(ends), SIDE, SIDE), np.inf)
    for stroke in range(ends.shape[1]):
        ax, ay, bx, by = (ends[:, stroke, e, c][:, None, None] for e in (0, 1) for c in (0, 1))
        dx, dy = bx - ax, by - ay
        px, py = centres[None, None] - ax, centres[None, :, None] - ay
        along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
        gap = np.square(px - along * dx) + np.square(py - along * dy)
        nearest = np.minimum(nearest, gap)
    return np.sqrt(nearest)


def make(counts: Mapping[Split, int], noise: int, label_noise: float) -> Mapping[Split, Arrays]:
    """Drawings and labels of every split; of training also a part to evaluate on.

    Args:
        counts: Examples of each split.
        noise: Largest change of a pixel [grey levels of 255].
        label_noise: Which share of the training labels is wrong.
    """
    splits: dict[Split, Arrays] = {}
    for number, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng((20_241, noise, number))
        classes = rng.integers(0, CLASSES, count)
        images = drawn(rng, classes, noise)
        if split is Split.TRAIN:
            wrong = rng.random(count) < label_noise
            other = (classes + rng.integers(1, CLASSES, count)) % CLASSES
            classes = np.where(wrong, other, classes)
        splits[split] = {"inputs": images, "targets": classes.astype(np.int32)}
    return with_eval_train(splits)


def _prepare(rows: Batch) -> Batch:
    """Bytes to float32 (batch, 24, 24, 1), about 0 on average and 1 in spread."""
    return {**rows, "inputs": (rows["inputs"].astype(jnp.float32)[..., None] - 64) / 64}


_EXAMPLE = {
    "inputs": jax.ShapeDtypeStruct((SIDE, SIDE), np.uint8),
    "targets": jax.ShapeDtypeStruct((), np.int32),
}

glyphs = generated(
    "glyphs",
    lambda: make(_COUNTS, noise=110, label_noise=LABEL_NOISE),
    "8fe2d10218cb949a8d3b4979d33b5c34acea9564597bde3c19bd152b40c41c4a",
    example=_EXAMPLE,
    prepare=_prepare,
)
"""Inputs float32 (batch, 24, 24, 1); targets int32 (batch,) in 0..23."""

few_glyphs = generated(
    "few_glyphs",
    lambda: make(_FEW, noise=50, label_noise=0.0),
    "ae8888aa70d9f12180f910fdbd3c64057d7c3cdd9468710424aef9ace608d125",
    example=_EXAMPLE,
    prepare=_prepare,
)
"""The same shapes, easier to see."""
