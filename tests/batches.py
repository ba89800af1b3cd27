"""Batches in the form that the full suite's data sets give them, of any size, filled at random."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from algoperf.spec import Split

Arrays = Mapping[str, np.ndarray]
Make = Callable[[int], Arrays]
"""Number of examples -> batch."""


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _normal(*shape: int) -> np.ndarray:
    return _rng().normal(size=shape).astype(np.float32)


def images(count: int, *, side: int, channels: int, classes: int, mixed: bool = False) -> Arrays:
    targets = np.arange(count) % classes
    return {
        "inputs": _normal(count, side, side, channels),
        "targets": np.eye(classes, dtype=np.float32)[targets]
        if mixed
        else targets.astype(np.int32),
    }


def clicks(count: int, *, rows: int) -> Arrays:
    numbers = np.abs(_normal(count, 13))
    categories = _rng().integers(0, rows, (count, 26)).astype(np.float32)
    targets = (np.arange(count) % 3 == 0).astype(np.float32)
    return {"inputs": np.concatenate([numbers, categories], axis=1), "targets": targets}


def scans(count: int, *, side: int) -> Arrays:
    ones = np.ones(count, np.float32)
    return {
        "inputs": _normal(count, side, side),
        "targets": _normal(count, side, side) + 1,
        "mean": 3e-5 * ones,
        "std": 2e-5 * ones,
        "volume_max": 3e-4 * ones,
    }


def speech(count: int, *, samples: int, length: int, tokens: int) -> Arrays:
    """The later an example, the shorter."""
    share = np.linspace(1, 0.5, count)[:, None]
    paddings = (np.arange(samples) >= share * samples).astype(np.float32)
    target_paddings = (np.arange(length) >= share * length).astype(np.float32)
    targets = _rng().integers(1, tokens, (count, length))
    return {
        "inputs": 0.1 * _normal(count, samples) * (1 - paddings),
        "input_paddings": paddings,
        "targets": (targets * (1 - target_paddings)).astype(np.int32),
        "target_paddings": target_paddings,
    }


def molecules(count: int, *, labels: int, nodes: int = 26, edges: int = 56) -> Arrays:
    """Rings of 3, 4, 5 ... nodes, every edge in both directions; the rest is padding."""
    total_nodes, total_edges = nodes * count, edges * count
    node_graph = np.full(total_nodes, count, np.int32)
    edge_graph = np.full(total_edges, count, np.int32)
    senders, receivers = (np.full(total_edges, total_nodes - 1, np.int32) for _ in range(2))
    first_node = first_edge = 0
    for graph in range(count):
        size = 3 + graph % 5
        ring = first_node + np.arange(size)
        following = np.roll(ring, 1)
        places = slice(first_edge, first_edge + 2 * size)
        senders[places] = np.concatenate([ring, following])
        receivers[places] = np.concatenate([following, ring])
        node_graph[ring], edge_graph[places] = graph, graph
        first_node, first_edge = first_node + size, first_edge + 2 * size
    known = (_rng().random((count, labels)) < 0.7).astype(np.float32)
    return {
        "nodes": np.abs(_normal(total_nodes, 9)),
        "edges": np.abs(_normal(total_edges, 3)),
        "senders": senders,
        "receivers": receivers,
        "node_graph": node_graph,
        "edge_graph": edge_graph,
        "targets": (_rng().random((count, labels)) < 0.5).astype(np.float32) * known,
        "target_weights": known,
    }


def sentences(count: int, *, length: int, tokens: int, packed: bool = False) -> Arrays:
    """Packed: two sentences in each row, of half the length; else one, and a quarter of padding."""
    batch: dict[str, Any] = {}
    for part, name in enumerate(("inputs", "targets")):
        words = np.random.default_rng(part).integers(3, tokens, (count, length)).astype(np.int32)
        if packed:
            half = np.broadcast_to(np.arange(length) % (length // 2), (count, length))
            batch[f"{name}_positions"] = half.astype(np.int32)
            batch[f"{name}_segments"] = np.broadcast_to(
                1 + np.arange(length) // (length // 2), (count, length)
            ).astype(np.int32)
        else:
            words[:, -length // 4 :] = 0
        batch[name] = words
    return batch


def text(count: int, *, length: int, tokens: int) -> Arrays:
    words = _rng().integers(0, tokens, (count, length + 1)).astype(np.int32)
    return {"inputs": words[:, :-1], "targets": words[:, 1:]}


FULL: Mapping[str, Make] = {
    "criteo": partial(clicks, rows=4_194_304),
    "fastmri": partial(scans, side=320),
    "imagenet": partial(images, side=224, channels=3, classes=1000),
    "imagenet_mixup": partial(images, side=224, channels=3, classes=1000, mixed=True),
    "librispeech": partial(speech, samples=320_000, length=256, tokens=1024),
    "ogbg": partial(molecules, labels=128),
    "wmt": partial(sentences, length=256, tokens=32_000, packed=True),
    "fineweb": partial(text, length=1024, tokens=50_257),
    "mnist": partial(images, side=28, channels=1, classes=10),
    "cifar": partial(images, side=32, channels=3, classes=10),
}
"""At the sizes that the full suite has, by the name of its module of data."""

SHORT: Mapping[str, Make] = FULL | {
    "criteo": partial(clicks, rows=1000),
    "fastmri": partial(scans, side=32),
    "imagenet": partial(images, side=32, channels=3, classes=1000),
    "imagenet_mixup": partial(images, side=32, channels=3, classes=1000, mixed=True),
    "librispeech": partial(speech, samples=8000, length=4, tokens=1024),
    "wmt": partial(sentences, length=16, tokens=1000, packed=True),
    "fineweb": partial(text, length=16, tokens=1000),
}
"""The same with smaller pictures, shorter speech, shorter texts of fewer words."""


def of(sizes: Mapping[str, Make], dataset: str) -> Make:
    """What makes batches of a data set of this name."""
    return sizes[max((key for key in sizes if dataset.startswith(key)), key=len)]


@dataclass(frozen=True, eq=False)
class Given:
    """A data set of one batch, over and over."""

    make: Make
    name: str = "given"
    sha256: str = ""

    @property
    def sizes(self) -> Mapping[Split, int]:
        return dict.fromkeys(Split, 4)

    @property
    def changes(self) -> tuple[int, ...]:
        return ()

    def missing(self) -> str | None:
        return None

    def signature(self, batch_size: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        batch = self.make(batch_size)
        return {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in batch.items()}

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Any]:
        yield {**self.make(batch_size), "weights": np.ones(batch_size, np.float32)}

    def training(self, batch_size: int, seed: int, position: int = 0) -> Any:
        raise NotImplementedError
