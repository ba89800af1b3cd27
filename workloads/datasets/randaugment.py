"""RandAugment: a few random distortions of equal strength, one after the other.

Source: Cubuk et al. 2019, arXiv:1909.13719; the 14 operations of its section 3, with the ranges of
the authors' code, in which strength runs from 0 to 10. There, the threshold of Solarize rises with
the strength, so that at 10 it leaves the image as it is; targets were set so, and so it is here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from algoperf.inputs.extra import require

GREY = (128, 128, 128)
LARGEST_SHIFT = 100 / 224
"""Of the image's side."""


def rand_augment(image: Any, rng: np.random.Generator, layers: int, magnitude: float) -> Any:
    """A PIL image in RGB, distorted by `layers` operations of strength `magnitude` (0 to 10)."""
    for _ in range(layers):
        operation = OPERATIONS[rng.integers(len(OPERATIONS))]
        sign = 1 if rng.integers(2) else -1
        image = operation(image, magnitude / 10, sign)
    return image


Operation = Callable[[Any, float, int], Any]
"""(image, strength in [0, 1], sign) -> image."""


def _affine(image: Any, right: float, down: float, shear_x: float, shear_y: float) -> Any:
    pil = require("PIL.Image")
    matrix = (1, shear_x, right * image.width, shear_y, 1, down * image.height)
    return image.transform(image.size, pil.Transform.AFFINE, matrix, fillcolor=GREY)


def _enhanced(kind: str) -> Operation:
    def operation(image: Any, strength: float, sign: int) -> Any:
        enhancer = getattr(require("PIL.ImageEnhance"), kind)(image)
        return enhancer.enhance(0.1 + 1.8 * strength)

    return operation


def _ops() -> Any:
    return require("PIL.ImageOps")


OPERATIONS: tuple[Operation, ...] = (
    lambda image, strength, sign: image,
    lambda image, strength, sign: _ops().autocontrast(image),
    lambda image, strength, sign: _ops().equalize(image),
    lambda image, strength, sign: image.rotate(sign * 30 * strength, fillcolor=GREY),
    lambda image, strength, sign: _ops().solarize(image, threshold=round(256 * strength)),
    _enhanced("Color"),
    # It keeps four bits at full strength, as the authors' code has it; one of none would be black.
    lambda image, strength, sign: _ops().posterize(image, max(1, round(4 * strength))),
    _enhanced("Contrast"),
    _enhanced("Brightness"),
    _enhanced("Sharpness"),
    lambda image, strength, sign: _affine(image, 0, 0, sign * 0.3 * strength, 0),
    lambda image, strength, sign: _affine(image, 0, 0, 0, sign * 0.3 * strength),
    lambda image, strength, sign: _affine(image, sign * LARGEST_SHIFT * strength, 0, 0, 0),
    lambda image, strength, sign: _affine(image, 0, sign * LARGEST_SHIFT * strength, 0, 0),
)
"""Identity, AutoContrast, Equalize, Rotate, Solarize, Color, Posterize, Contrast, Brightness,
Sharpness, ShearX, ShearY, TranslateX, TranslateY."""
