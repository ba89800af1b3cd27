"""1,797 handwritten digits, 8 x 8 pixels, 17 grey levels, that scikit-learn ships.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49 (its test part). Split once, stratified by class, into
1,079 training, 359 validation and 359 test images.
"""

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from algoperf.data import ArrayDataset, Arrays
from algoperf.spec import Batch, Split

_HELD_OUT = 359
_SEED = 0


def _load() -> Mapping[Split, Arrays]:
    pixels, classes = map(np.asarray, load_digits(return_X_y=True))
    rest, test = train_test_split(
        np.arange(len(classes)), test_size=_HELD_OUT, stratify=classes, random_state=_SEED
    )
    train, validation = train_test_split(
        rest, test_size=_HELD_OUT, stratify=classes[rest], random_state=_SEED
    )
    images = (pixels / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    labels = classes.astype(np.int32)
    rows = {
        Split.TRAIN: train,
        Split.EVAL_TRAIN: train[:_HELD_OUT],
        Split.VALIDATION: validation,
        Split.TEST: test,
    }
    return {split: {"inputs": images[r], "targets": labels[r]} for split, r in rows.items()}


digits = ArrayDataset(
    name="digits",
    load=_load,
    sha256="d188368fa781a22a2ff5224077ce3b4cec9e94c1710915b20c350a67c7c3de7d",
)
"""Inputs float32 (batch, 8, 8, 1) in [0, 1]; targets int32 (batch,) in 0..9."""


def _shift(batch: Batch, key: jax.Array) -> Batch:
    """Moves each image by -1, 0 or 1 pixel in both directions; what comes in from outside is 0."""
    images = batch["inputs"]
    corners = jax.random.randint(key, (len(images), 2), 0, 3).reshape(len(images), 2, 1, 1, 1)
    down, right = corners[:, 0], corners[:, 1]
    # A choice of three views for each axis: much faster than a slice for each image.
    tall = jnp.pad(images, ((0, 0), (1, 1), (0, 0), (0, 0)))
    moved = jnp.select([down == 0, down == 1], [tall[:, :-2], images], tall[:, 2:])
    wide = jnp.pad(moved, ((0, 0), (0, 0), (1, 1), (0, 0)))
    moved = jnp.select([right == 0, right == 1], [wide[:, :, :-2], moved], wide[:, :, 2:])
    return {**batch, "inputs": moved}


shifted_digits = replace(digits, augment=_shift)
"""The same, every training image moved by up to one pixel: with 1,079 images alone, what a
model reaches is decided by overfitting, and by luck, more than by the optimizer."""
