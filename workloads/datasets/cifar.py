"""CIFAR-10: 60,000 colour images, 32 x 32 pixels, of ten kinds of things.

Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009. The last 5,000
of the 50,000 training images are the validation split. Training images are padded by four pixels,
cropped at random, and mirrored half of the time (He et al. 2015, arXiv:1512.03385, section 4.2).
"""

from typing import Any

import numpy as np

from algoperf.inputs.batches import Arrays, rows_of
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.stores import TfdsStore
from algoperf.spec import Split
from workloads.datasets.images import image_spec, normalise, whole_image

_STORE = TfdsStore("cifar10", "3.0.2", raw=("image",))
_TRAIN = 45_000
_MARGIN = 4
_whole = whole_image(10, "cifar", "RGB")


def _cropped(record: Any, rng: np.random.Generator | None) -> Arrays:
    assert rng is not None
    row = _whole(record, None)
    image = row["inputs"]
    height, width, _ = image.shape
    down, right, mirrored = rng.integers(0, [2 * _MARGIN + 1, 2 * _MARGIN + 1, 2])
    wide = np.pad(image, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))
    view = wide[down : down + height, right : right + width]
    return {**row, "inputs": view[:, ::-1] if mirrored else view}


cifar = RecordDataset(
    name="cifar",
    published={Split.TRAIN: _TRAIN, Split.VALIDATION: 5_000, Split.TEST: 10_000},
    parts={
        Split.TRAIN: Part(_STORE, "train", 0, _TRAIN),
        Split.VALIDATION: Part(_STORE, "train", _TRAIN),
        Split.TEST: Part(_STORE, "test"),
    },
    batching=rows_of(_cropped, _whole),
    spec=image_spec((32, 32, 3)),
    finish=normalise([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    packages=("grain", "array_record", "tensorflow_datasets", "PIL"),
    instructions=(
        "cifar10/3.0.2: the folder that TensorFlow Datasets builds, in the format array_record:\n"
        "tfds build cifar10 --data_dir=DATA --file_format=array_record"
    ),
)
"""Inputs float32 (batch, 32, 32, 3), normalised; targets int32 (batch,) in 0..9."""
