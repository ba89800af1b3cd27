"""MNIST: 70,000 handwritten digits, 28 x 28 pixels.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, 1998. The last
10,000 of the 60,000 training images are the validation split.
"""

from algoperf.inputs.batches import rows_of
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.stores import TfdsStore
from algoperf.spec import Split
from workloads.datasets.images import image_spec, normalise, whole_image

_STORE = TfdsStore("mnist", "3.0.1", raw=("image",))
_TRAIN = 50_000

mnist = RecordDataset(
    name="mnist",
    published={Split.TRAIN: _TRAIN, Split.VALIDATION: 10_000, Split.TEST: 10_000},
    parts={
        Split.TRAIN: Part(_STORE, "train", 0, _TRAIN),
        Split.VALIDATION: Part(_STORE, "train", _TRAIN),
        Split.TEST: Part(_STORE, "test"),
    },
    batching=rows_of(whole_image(10, "mnist", "L")),
    spec=image_spec((28, 28, 1)),
    finish=normalise([0.1307], [0.3081]),
    packages=("grain", "array_record", "tensorflow_datasets", "PIL"),
    instructions=(
        "mnist/3.0.1: the folder that TensorFlow Datasets builds, in the format array_record:\n"
        "tfds build mnist --data_dir=DATA --file_format=array_record"
    ),
)
"""Inputs float32 (batch, 28, 28, 1), normalised; targets int32 (batch,) in 0..9."""
