"""ImageNet (ILSVRC 2012): 1.28 million photographs of 1,000 kinds of things.

Source: Russakovsky et al. 2015, arXiv:1409.0575. The test split is ImageNet-v2, matched frequency
(Recht et al. 2019, arXiv:1902.10811). Training images are cropped at random (area 8 to 100 %,
aspect 3/4 to 4/3; Szegedy et al. 2014, arXiv:1409.4842), resized with bicubic interpolation and
mirrored half of the time; evaluation takes the middle 224 of 256 pixels.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.inputs.batches import Arrays, rows_of
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.extra import require
from algoperf.inputs.stores import TfdsStore
from algoperf.spec import Batch, Split
from workloads.datasets.images import decoded, image_spec, label, normalise, pixels
from workloads.datasets.randaugment import rand_augment

SIDE = 224
CLASSES = 1000
MIXUP_ALPHA = 0.2
_EVALUATED = 256
_ATTEMPTS = 10

Box = tuple[float, float, float, float]


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Left, top, right and bottom of a random crop; the largest middle square if none fits."""
    for _ in range(_ATTEMPTS):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left = int(rng.integers(0, width - wide + 1))
            top = int(rng.integers(0, height - high + 1))
            return left, top, left + wide, top + high
    return middle_box(width, height, 1.0)


def middle_box(width: int, height: int, share: float) -> Box:
    """The middle square whose side is `share` of the shorter side."""
    side = min(width, height) * share
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _resized(image: Any, box: Box) -> Any:
    bicubic = require("PIL.Image").Resampling.BICUBIC
    return image.resize((SIDE, SIDE), bicubic, box=box)


def _cropped(
    record: Any,
    rng: np.random.Generator | None,
    distort: Callable[[Any, np.random.Generator], Any] | None = None,
) -> Arrays:
    assert rng is not None
    image = decoded(record["image"], "RGB")
    image = _resized(image, random_box(*image.size, rng))
    if rng.integers(2):
        image = image.transpose(require("PIL.Image").Transpose.FLIP_LEFT_RIGHT)
    if distort is not None:
        image = distort(image, rng)
    return {"inputs": pixels(image), "targets": label(record, CLASSES, "imagenet")}


def _middle(record: Any, rng: np.random.Generator | None) -> Arrays:
    image = decoded(record["image"], "RGB", least=_EVALUATED)
    image = _resized(image, middle_box(*image.size, SIDE / _EVALUATED))
    return {"inputs": pixels(image), "targets": label(record, CLASSES, "imagenet")}


_STORE = TfdsStore("imagenet/jax/imagenet2012", "5.1.0", raw=("image",))
_V2 = TfdsStore("imagenet_v2/matched-frequency", "3.0.0", raw=("image",))

imagenet = RecordDataset(
    name="imagenet",
    published={Split.TRAIN: 1_281_167, Split.VALIDATION: 50_000, Split.TEST: 10_000},
    parts={
        Split.TRAIN: Part(_STORE, "train"),
        Split.VALIDATION: Part(_STORE, "validation"),
        Split.TEST: Part(_V2, "test"),
    },
    batching=rows_of(_cropped, _middle),
    spec=image_spec((SIDE, SIDE, 3)),
    finish=normalise([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    packages=("grain", "array_record", "tensorflow_datasets", "PIL"),
    instructions=(
        "imagenet/jax/imagenet2012/5.1.0 and imagenet_v2/matched-frequency/3.0.0: the folders\n"
        "that TensorFlow Datasets builds, in the format array_record. Its builder needs\n"
        "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org:\n"
        "tfds build imagenet2012 --data_dir=DATA/imagenet/jax --file_format=array_record\n"
        "tfds build imagenet_v2/matched-frequency --data_dir=DATA "
        "--file_format=array_record"
    ),
)
"""Inputs float32 (batch, 224, 224, 3), normalised; targets int32 (batch,) in 0..999."""


def _mixup(batch: Batch, key: jax.Array) -> Batch:
    """Blends each image and its class with another's. Zhang et al. 2017, arXiv:1710.09412."""
    share = jax.random.beta(key, MIXUP_ALPHA, MIXUP_ALPHA, dtype=jnp.float32)
    inputs, targets = batch["inputs"], jax.nn.one_hot(batch["targets"], CLASSES, dtype=jnp.float32)
    return {
        "inputs": share * inputs + (1 - share) * inputs[::-1],
        "targets": share * targets + (1 - share) * targets[::-1],
    }


def _mixed_spec(batch_size: int) -> Any:
    spec = image_spec((SIDE, SIDE, 3))(batch_size)
    return {**spec, "targets": ((batch_size, CLASSES), np.float32)}


imagenet_mixup = replace(
    imagenet,
    name="imagenet_mixup",
    batching=rows_of(
        partial(_cropped, distort=partial(rand_augment, layers=2, magnitude=10)), _middle
    ),
    spec=_mixed_spec,
    augment=_mixup,
)
"""The same, distorted by RandAugment and mixed; training targets float32 (batch, 1000)."""
