"""ogbg-molpcba: 437,929 molecules as graphs, and the results of 128 assays of each.

Source: Hu et al. 2020, arXiv:2005.00687. A batch is one padded graph of up to as many molecules as
its size says: 26 nodes and 56 edges for each, so that shapes never change (jraph's dynamic
batching). A molecule that finds no room in a batch begins the next.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from algoperf import sharding
from algoperf.errors import UserError
from algoperf.inputs.batches import Arrays, Batches, Batching, MakeBatch, Take
from algoperf.inputs.conversion import Converted, Job, Kept, Preparation, Tell, open_tfds, pieces
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.encoding import from_bytes, to_bytes
from algoperf.inputs.order import PackedOrder, pack
from algoperf.inputs.shards import Records
from algoperf.inputs.stores import PreparedStore, TfdsStore
from algoperf.spec import Split

NODE_FEATURES, EDGE_FEATURES, TASKS = 9, 3, 128
NODES, EDGES = 26, 56
"""Room for each graph of a batch; both directions of an edge count."""
GRAPHS_PER_SHARD = 16_384


def _graphs(records: Records) -> Converted:
    for place, graph in enumerate(records.each()):
        nodes, ends, labels = graph["node_feat"], graph["edge_index"], graph["labels"]
        if len(ends) and not 0 <= ends.min() <= ends.max() < len(nodes):
            raise UserError(f"{_where(records, place)}: an edge leads to a node that is not there.")
        if not (np.isnan(labels) | (labels == 0) | (labels == 1)).all():
            raise UserError(f"{_where(records, place)}: a label is neither 0, 1 nor missing.")
        record = {
            "nodes": nodes.astype(np.int16),
            "edges": graph["edge_feat"].astype(np.int16),
            "ends": ends.astype(np.int32),
            "labels": labels.astype(np.float32),
        }
        yield Kept(to_bytes(record), size=(len(nodes), 2 * len(ends)))


def _where(records: Records, place: int) -> str:
    return f"{records.shards[0].path.parent}, graph {records.first + place} of its part"


def plan(root: Path, _: Path, __: Tell) -> list[Job]:
    """A shard for every 16,384 graphs."""
    sources = open_tfds(root, {part: (_SOURCE, part) for part in _PARTS})
    return [
        job
        for part, records in sources.items()
        for job in pieces(part, part, records, _graphs, size=GRAPHS_PER_SHARD)
    ]


def room(batch_size: int) -> tuple[int, int]:
    """Nodes and edges in a batch, padding included; both spread evenly over the devices."""
    return sharding.round_up(NODES * batch_size), sharding.round_up(EDGES * batch_size)


def _capacity(batch_size: int) -> tuple[int, int]:
    nodes, edges = room(batch_size)
    return nodes - 1, edges  # one node is always padding, for the edges that are


def _obstacle(records: Records, batch_size: int) -> str | None:
    largest, capacity = records.sizes.max(axis=0), _capacity(batch_size)
    if (largest <= capacity).all():
        return None
    return (
        f"it leaves room for {capacity[0]} nodes and {capacity[1]} edges, and the largest "
        f"molecules have {largest[0]} and {largest[1]}; choose a larger one."
    )


def batched(graphs: Sequence[Any], batch_size: int) -> Arrays:
    """One padded graph; what is padding belongs to graph number `batch_size`.

    Args:
        graphs: Up to `batch_size` records that fit together.
        batch_size: How many graphs there is room for.
    """
    total_nodes, total_edges = room(batch_size)
    counts = np.array([len(graph["nodes"]) for graph in graphs])
    lengths = np.array([2 * len(graph["ends"]) for graph in graphs])
    offsets = np.cumsum(counts) - counts
    ends = [graph["ends"] + offset for graph, offset in zip(graphs, offsets, strict=True)]
    # An edge of a molecule has no direction: each is there both ways.
    senders = [side for e in ends for side in (e[:, 0], e[:, 1])]
    receivers = [side for e in ends for side in (e[:, 1], e[:, 0])]
    edges = [graph["edges"] for graph in graphs for _ in range(2)]
    labels = np.stack([graph["labels"] for graph in graphs])
    known = ~np.isnan(labels)
    numbers = np.arange(len(graphs))

    def filled(parts: Sequence[np.ndarray] | np.ndarray, length: int, value: int, kind: Any) -> Any:
        whole = np.concatenate(parts)
        padded = np.full((length, *whole.shape[1:]), value, kind)
        padded[: len(whole)] = whole
        return padded

    return {
        "nodes": filled([graph["nodes"] for graph in graphs], total_nodes, 0, np.float32),
        "edges": filled(edges, total_edges, 0, np.float32),
        "senders": filled(senders, total_edges, total_nodes - 1, np.int32),
        "receivers": filled(receivers, total_edges, total_nodes - 1, np.int32),
        "node_graph": filled([np.repeat(numbers, counts)], total_nodes, batch_size, np.int32),
        "edge_graph": filled([np.repeat(numbers, lengths)], total_edges, batch_size, np.int32),
        "targets": filled([np.where(known, labels, 0)], batch_size, 0, np.float32),
        "target_weights": filled([known], batch_size, 0, np.float32),
    }


def _training(records: Records, batch_size: int, seed: int) -> MakeBatch:
    order = PackedOrder(records.sizes, _capacity(batch_size), seed, most=batch_size)

    def make(position: int) -> Arrays:
        (group,) = order.take(position, position + 1)
        return batched(records.take(group), batch_size)

    return make


def _evaluation(records: Records, take: Take, count: int, batch_size: int) -> Batches:
    rows = take(0, count)
    starts = pack(records.sizes[rows], _capacity(batch_size), most=batch_size)

    def make(number: int) -> Arrays:
        graphs = records.take(rows[starts[number] : starts[number + 1]])
        weights = (np.arange(batch_size) < len(graphs)).astype(np.float32)
        return {**batched(graphs, batch_size), "weights": weights}

    return Batches(len(starts) - 1, make)


def _spec(batch_size: int) -> Any:
    nodes, edges = room(batch_size)
    return {
        "nodes": ((nodes, NODE_FEATURES), np.float32),
        "edges": ((edges, EDGE_FEATURES), np.float32),
        "senders": ((edges,), np.int32),
        "receivers": ((edges,), np.int32),
        "node_graph": ((nodes,), np.int32),
        "edge_graph": ((edges,), np.int32),
        "targets": ((batch_size, TASKS), np.float32),
        "target_weights": ((batch_size, TASKS), np.float32),
    }


_SOURCE = TfdsStore("ogbg/ogbg_molpcba", "0.1.3")
_STORE = PreparedStore("ogbg", from_bytes)
_PUBLISHED = {Split.TRAIN: 350_343, Split.VALIDATION: 43_793, Split.TEST: 43_793}
_PARTS = [str(split) for split in _PUBLISHED]

ogbg = RecordDataset(
    name="ogbg",
    published=_PUBLISHED,
    parts={split: Part(_STORE, str(split)) for split in _PUBLISHED},
    batching=Batching(_training, _evaluation, obstacle=_obstacle),
    spec=_spec,
    packages=("grain", "array_record", "tensorflow_datasets"),
    instructions=(
        "ogbg/ogbg_molpcba/0.1.3: the folder that TensorFlow Datasets builds, in the format\n"
        "array_record: tfds build ogbg_molpcba --data_dir=DATA/ogbg --file_format=array_record"
    ),
    preparation=Preparation(_STORE, plan, {str(part): n for part, n in _PUBLISHED.items()}),
)
"""A batch of B graphs: nodes float32 (26 B, 9), edges float32 (56 B, 3), senders, receivers and
edge_graph int32 (56 B,), node_graph int32 (26 B,), targets and target_weights float32 (B, 128), 0
where nothing was measured. Padding belongs to graph B; empty places have target_weights 0."""
