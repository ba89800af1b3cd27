"""Shared by the image data sets: decoding, crops, and normalisation on the device."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from algoperf.errors import UserError
from algoperf.inputs.batches import Arrays
from algoperf.inputs.extra import require
from algoperf.spec import Batch


def decoded(encoded: bytes, mode: str, least: int | None = None) -> Any:
    """The PIL image of a PNG or JPEG file.

    Args:
        encoded: The file's bytes.
        mode: `"RGB"`, or `"L"` for grey.
        least: A JPEG may be decoded at a fraction of its size as long as both sides stay so long.

    Raises:
        UserError: If it is none, or truncated.
    """
    try:
        image = require("PIL.Image").open(io.BytesIO(encoded))
        if least is not None:
            image.draft(mode, (least, least))
        return image.convert(mode)
    except OSError as error:
        raise UserError(
            f"An image of {len(encoded)} bytes cannot be decoded ({error}); copy the files anew."
        ) from error


def pixels(image: Any) -> np.ndarray:
    """uint8 (height, width, channels)."""
    array = np.asarray(image, np.uint8)
    return array[:, :, None] if array.ndim == 2 else array


def label(record: Any, classes: int, dataset: str) -> np.ndarray:
    """The record's class, int32 ().

    Raises:
        UserError: If it is out of range.
    """
    found = int(record["label"])
    if not 0 <= found < classes:
        raise UserError(
            f"A record of {dataset!r} has the label {found}; labels run from 0 to {classes - 1}. "
            "The files are of another data set, or damaged; copy them anew."
        )
    return np.array(found, np.int32)


def image_spec(shape: Sequence[int]) -> Callable[[int], Any]:
    """Spec of batches of images of `shape` (height, width, channels), and their classes."""

    def spec(batch_size: int) -> Any:
        return {
            "inputs": ((batch_size, *shape), np.float32),
            "targets": ((batch_size,), np.int32),
        }

    return spec


def normalise(mean: Sequence[float], deviation: Sequence[float]) -> Callable[[Batch], Batch]:
    """uint8 inputs to float32 of about zero mean and unit variance.

    Args:
        mean: Of each channel, of values in [0, 1].
        deviation: Standard deviation of each channel.
    """

    def finish(batch: Batch) -> Batch:
        inputs = batch["inputs"].astype(jnp.float32) / 255
        centre, scale = (jnp.array(v, jnp.float32).reshape(1, 1, 1, -1) for v in (mean, deviation))
        return {**batch, "inputs": (inputs - centre) / scale}

    return finish


def whole_image(classes: int, dataset: str, mode: str) -> Callable[..., Arrays]:
    """An example that takes the image as it is."""

    def example(record: Any, rng: np.random.Generator | None) -> Arrays:
        image = pixels(decoded(record["image"], mode))
        return {"inputs": image, "targets": label(record, classes, dataset)}

    return example
