"""Every real data set on a few small files in its publisher's format, through the real reading.

`ready(name, root)` writes the files, prepares them, and gives the data set with its small counts.
"""

import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import tensorflow_datasets as tfds
from scipy import fft
from tokenizers import ByteLevelBPETokenizer

from algoperf import registry
from algoperf.inputs import prepare
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.spec import Split
from tests.real_files import Silent, image_folder, tfds_folder
from workloads.datasets import criteo, fastmri, fineweb


def ready(name: str, root: Path) -> RecordDataset:
    """The data set `name` on small files below `root`, written and prepared."""
    dataset = SMALL[name](root)
    prepare.prepare(dataset, Silent())
    return dataset


def shrunk(
    name: str,
    root: Path,
    published: Mapping[Split, int],
    source: Mapping[Split, int] | None = None,
    **preparation: Any,
) -> RecordDataset:
    """The data set `name` below `root`, with other counts: after its filters, and before."""
    dataset = registry.dataset(name)
    counts = {str(split): count for split, count in (source or published).items()}
    if dataset.preparation is not None:
        changed = replace(dataset.preparation, source=counts, **preparation)
        dataset = replace(dataset, preparation=changed)
    return replace(dataset, root=root, published=published)


def counts(train: int, validation: int, test: int) -> dict[Split, int]:
    return {Split.TRAIN: train, Split.VALIDATION: validation, Split.TEST: test}


IMAGES = counts(10, 5, 4)


def pieced(name: str, root: Path) -> RecordDataset:
    """MNIST or CIFAR-10: 10 of 15 images train, 5 validate."""
    dataset = shrunk(name, root, IMAGES)
    store = dataset.parts[Split.TRAIN].store
    parts = {
        Split.TRAIN: Part(store, "train", 0, 10),
        Split.VALIDATION: Part(store, "train", 10),
        Split.TEST: Part(store, "test"),
    }
    return replace(dataset, parts=parts)


def mnist_images(root: Path) -> dict[str, np.ndarray]:
    return image_folder(root, "mnist", "3.0.1", (28, 28, 1), {"train": 15, "test": 4})


def cifar_images(root: Path) -> dict[str, np.ndarray]:
    return image_folder(root, "cifar10", "3.0.2", (32, 32, 3), {"train": 15, "test": 4})


def imagenet_images(root: Path) -> None:
    several = {"train": 10, "validation": 5}
    image_folder(root / "imagenet/jax", "imagenet2012", "5.1.0", (70, 90, 3), several, form="JPEG")
    image_folder(
        root / "imagenet_v2", "matched-frequency", "3.0.0", (300, 260, 3), {"test": 4}, form="JPEG"
    )


ROWS = 5
CLICKS = counts(23 * ROWS, 2, 3)


def click(day: int, row: int) -> str:
    """Label, 13 counts, 26 categories; the first count tells day and row apart."""
    counts = [str(100 * day + row), "", "-2", *("7" for _ in range(10))]
    categories = ["", "0000000a", *(f"{day * 1000 + row:08x}" for _ in range(24))]
    return "\t".join([str(row % 2), *counts, *categories])


def clicks(path: Path, day: int, rows: Iterable[int]) -> None:
    path.write_text("".join(click(day, row) + "\n" for row in rows))


def criteo_files(root: Path) -> None:
    folder = root / "criteo1tb"
    folder.mkdir()
    for day in range(24):
        clicks(folder / f"day_{day}", day, range(ROWS))


def small_criteo(root: Path, published: Mapping[Split, int] = CLICKS) -> RecordDataset:
    test_rows = published[Split.TEST]
    return shrunk("criteo", root, published, plan=lambda root, *_: criteo.plan(root, test_rows))


HEIGHT, WIDTH = 336, 328
SLICES = counts(4, 2, 4)


def scan(number: int) -> np.ndarray:
    """A bright square on noise, (HEIGHT, WIDTH)."""
    rng = np.random.default_rng(number)
    pixels = rng.uniform(0, 0.1, (HEIGHT, WIDTH))
    pixels[150 : 180 + number, 160:190] = 1 + number
    return pixels


def middle(pixels: np.ndarray) -> np.ndarray:
    return pixels[8:328, 4:324]


def volume(path: Path, numbers: Iterable[int]) -> None:
    """As the publisher's: centred k-space, the reconstruction's middle, its largest value."""
    images = np.stack([scan(number) for number in numbers])
    kspace = fft.fftshift(fft.fft2(fft.ifftshift(images, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    targets = np.stack([middle(pixels) for pixels in images]).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace.astype(np.complex64)
        file["reconstruction_esc"] = targets
        file.attrs["max"] = targets.max()


def fastmri_files(root: Path) -> None:
    volume(root / "fastmri/knee_singlecoil_train/file1.h5", [0, 1])
    volume(root / "fastmri/knee_singlecoil_train/file2.h5", [2, 3])
    for place in range(3):
        volume(root / f"fastmri/knee_singlecoil_val/file{place}.h5", [2 * place, 2 * place + 1])


def small_fastmri(root: Path) -> RecordDataset:
    """One volume of three validates, the others test."""
    return shrunk("fastmri", root, SLICES, plan=lambda root, *_: fastmri.plan(root, 1))


SPOKEN = ["THE", "QUICK", "BROWN", "FOX", "JUMPS", "OVER", "A", "LAZY", "DOG", "AND", "SLEEPS"]
UTTERANCES = counts(6, 4, 2)


def spoken(number: int) -> str:
    return " ".join(itertools.islice(itertools.cycle(SPOKEN[number % 5 :]), 4 + number % 3))


def tone(number: int, samples: int = 4000) -> np.ndarray:
    return 0.5 * np.sin(np.arange(samples) * (0.01 + 0.002 * number))


def chapter(root: Path, folder: str, speaker: int, numbers: Iterable[int], **changes: Any) -> Path:
    """Two utterances as the publisher has them: FLAC files and a transcript."""
    place = root / "librispeech/LibriSpeech" / folder / str(speaker) / "1"
    place.mkdir(parents=True)
    lines = []
    for number in numbers:
        name = f"{speaker}-1-{number:04d}"
        lines.append(f"{name} {changes.get('text', spoken(number))}\n")
        form = changes.get("form", "flac")
        rate = changes.get("rate", 16_000)
        soundfile.write(place / f"{name}.{form}", tone(number, changes.get("samples", 4000)), rate)
    (place / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return place


def librispeech_files(root: Path, samples: int = 4000) -> None:
    for speaker, folder in enumerate(
        ["train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other"]
    ):
        chapter(root, folder, speaker, [2 * speaker, 2 * speaker + 1], samples=samples)
    chapter(root, "test-clean", 9, [18, 19], samples=samples, form="wav")


MOLECULES = counts(30, 7, 5)


def graph(number: int, nodes: int | None = None, **changes: Any) -> dict[str, Any]:
    """A ring of nodes, as TFDS has it: each edge once; the first feature is the graph's number."""
    count = nodes or 5 + number * 7 % 20
    labels = np.full(128, np.nan, np.float32)
    labels[number % 128] = 1
    labels[(number + 1) % 128] = 0
    return {
        "num_nodes": np.array([count]),
        "node_feat": np.full((count, 9), number, np.float32),
        "num_edges": np.array([count]),
        "edge_feat": np.full((count, 3), number, np.float32),
        "edge_index": np.stack([np.arange(count), (np.arange(count) + 1) % count], axis=1),
        "labels": labels,
    } | changes


def ogbg_files(root: Path, train: Iterable[Any] = ()) -> None:
    def features():
        tensor = tfds.features.Tensor
        molecule = {
            "num_nodes": tensor(shape=(None,), dtype=np.int64),
            "node_feat": tensor(shape=(None, 9), dtype=np.float32),
            "num_edges": tensor(shape=(None,), dtype=np.int64),
            "edge_feat": tensor(shape=(None, 3), dtype=np.float32),
            "edge_index": tensor(shape=(None, 2), dtype=np.int64),
            "labels": tensor(shape=(128,), dtype=np.float32),
        }
        return tfds.features.FeaturesDict(molecule)

    splits = {
        "train": train or [graph(number) for number in range(30)],
        "validation": [graph(number) for number in range(40, 47)],
        "test": [graph(number) for number in range(50, 55)],
    }
    tfds_folder(root / "ogbg", "ogbg_molpcba", "0.1.3", features, splits)


PAIRS = counts(40, 5, 4)
NOUNS = ["Hund", "Katze", "Haus", "Baum", "Wagen", "Fluss", "Vogel"]
NAMES = ["dog", "cat", "house", "tree", "car", "river", "bird"]


def pair(number: int) -> dict[str, str]:
    one, other, third = number % 7, number // 7 % 7, number * number % 7
    return {
        "de": f"Der {NOUNS[one]} sah den {NOUNS[other]}, und {number} {NOUNS[third]}.",
        "en": f"The {NAMES[one]} saw the {NAMES[other]}, and {number} {NAMES[third]}s.",
    }


def wmt_files(root: Path, extra: Iterable[Any] = (), extra_test: Iterable[Any] = ()) -> None:
    splits = {
        "wmt17_translate": {"train": [*(pair(number) for number in range(40)), *extra]},
        "wmt14_translate": {
            "validation": [pair(number) for number in range(100, 105)],
            "test": [*(pair(number) for number in range(200, 204)), *extra_test],
        },
    }

    def features():
        return tfds.features.Translation(languages=("de", "en"))

    for name, several in splits.items():
        tfds_folder(root / "wmt" / name, "de-en", "1.0.0", features, several)


VOCABULARY = 300
WORDS = ["light", "water", "stone", "river", "paper", "green", "seven", "under", "house", "music"]


def document(number: int) -> str:
    rng = np.random.default_rng(number)
    return f"Page {number}. " + " ".join(rng.choice(WORDS, 150))


def encoding_files(folder: Path) -> None:
    """A byte-pair encoding as GPT-2's publisher has it, only smaller."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        map(document, range(50)), VOCABULARY, special_tokens=[fineweb.END], show_progress=False
    )
    trained.save_model(str(folder))


def fineweb_files(root: Path) -> None:
    folder = root / "fineweb"
    (folder / "sample").mkdir(parents=True)
    encoding_files(folder)
    texts = [document(number) for number in range(80)]
    pq.write_table(pa.table({"text": texts, "id": texts}), folder / "sample/000.parquet")
    lines = "".join(json.dumps({"text": document(number)}) + "\n" for number in range(100, 160))
    (folder / "sample/001.jsonl.gz").write_bytes(gzip.compress(lines.encode()))


def small_fineweb(root: Path) -> RecordDataset:
    return shrunk("fineweb", root, {}, plan=lambda root, *_: fineweb.plan(root, VOCABULARY))


def _made(files: Callable[[Path], Any], dataset: Callable[[Path], RecordDataset]) -> Any:
    def make(root: Path) -> RecordDataset:
        files(root)
        return dataset(root)

    return make


SMALL: dict[str, Callable[[Path], RecordDataset]] = {
    "cifar": _made(cifar_images, lambda root: pieced("cifar", root)),
    "criteo": _made(criteo_files, small_criteo),
    "fastmri": _made(fastmri_files, small_fastmri),
    "fineweb": _made(fineweb_files, small_fineweb),
    "imagenet": _made(imagenet_images, lambda root: shrunk("imagenet", root, IMAGES)),
    "imagenet_mixup": _made(imagenet_images, lambda root: shrunk("imagenet_mixup", root, IMAGES)),
    # Long enough that a model with strides has frames for each piece of the text.
    "librispeech": _made(
        lambda root: librispeech_files(root, samples=32_000),
        lambda root: shrunk("librispeech", root, UTTERANCES),
    ),
    "mnist": _made(mnist_images, lambda root: pieced("mnist", root)),
    "ogbg": _made(ogbg_files, lambda root: shrunk("ogbg", root, MOLECULES)),
    "wmt": _made(wmt_files, lambda root: shrunk("wmt", root, PAIRS)),
}
"""Name of a data set -> writes its files below a folder, and gives it, not yet prepared."""
