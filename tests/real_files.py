"""Small files in the formats that publishers ship, written by their own libraries."""

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

tfds.disable_progress_bar()


class Silent:
    """Watches a preparation, and remembers which shards were written."""

    def __init__(self) -> None:
        self.worked: list[str] = []

    def planned(self, total_bytes):
        self.total_bytes = total_bytes

    def working(self, what):
        self.worked.append(what)

    def done(self, source_bytes):
        self.total_bytes -= source_bytes


def tfds_folder(
    root: Path,
    dataset: str,
    version: str,
    features: Callable[[], Any],
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    file_format: str = "array_record",
) -> None:
    """A builder's folder of TensorFlow Datasets, `root/dataset/version`."""

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = dataset
        VERSION = tfds.core.Version(version)
        url_infos = MappingProxyType({})  # else it looks for a package around this module

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=features(),
                disable_shuffling=True,  # so that tests know which example is which
            )

        def _split_generators(self, _):
            return {split: enumerate(examples) for split, examples in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Builder(data_dir=root, file_format=file_format).download_and_prepare()


def encoded(pixels: np.ndarray, form: str = "PNG") -> io.BytesIO:
    """An image file."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, form)
    file.seek(0)
    return file


def image_folder(
    root: Path,
    name: str,
    version: str,
    shape: tuple[int, int, int],
    counts: Mapping[str, int],
    *,
    classes: int = 10,
    form: str = "PNG",
) -> dict[str, np.ndarray]:
    """A folder of random images whose labels count up; returns the images of each split."""
    rng = np.random.default_rng(0)
    images = {
        split: rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        for split, count in counts.items()
    }

    def features():
        feature = tfds.features
        image = feature.Image(shape=(None, None, shape[2]), encoding_format=form.lower())
        label = feature.ClassLabel(num_classes=classes)
        return feature.FeaturesDict({"image": image, "label": label})

    rows = {
        split: [
            {"image": encoded(image, form), "label": place % classes}
            for place, image in enumerate(several)
        ]
        for split, several in images.items()
    }
    tfds_folder(root, name, version, features, rows)
    return images
