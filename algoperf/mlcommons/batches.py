"""Batches as MLCommons' submissions get them, and back; losses by the labels that they take.

Theirs have `inputs`, `targets` and, where not every label counts, `weights`. Sequences of speech
come in pairs with their paddings, molecules as a tuple of nodes and edges.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from algoperf import sharding
from algoperf.spec import Batch
from algoperf.workload import Workload, model_shapes

TheirBatch = Mapping[str, Any]

_RENAMED = {
    "inputs_segments": "inputs_segmentation",
    "targets_segments": "targets_segmentation",
    "inputs_positions": "inputs_position",
    "targets_positions": "targets_position",
}
_PAIRS = {"inputs": "input_paddings", "targets": "target_paddings"}
_GRAPH = ("nodes", "edges", "receivers", "senders")


class GraphsTuple(NamedTuple):
    """Many graphs at once, in the order of jraph's tuple of that name.

    Attributes:
        nodes: (nodes, features).
        edges: (edges, features).
        receivers: int32 (edges,).
        senders: int32 (edges,).
        globals: None.
        n_node: int32 (graphs,), how many nodes each graph has; padding belongs to none.
        n_edge: int32 (graphs,).
    """

    nodes: jax.Array
    edges: jax.Array
    receivers: jax.Array
    senders: jax.Array
    globals: None
    n_node: jax.Array
    n_edge: jax.Array


class Chosen(dict[str, Any]):
    """A batch in their form, as `data_selection` returned it."""


class _Noting(dict[str, Any]):
    """Remembers what it was asked for."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


@dataclass(frozen=True)
class Form:
    """How a workload's batches and labels look in MLCommons' form.

    Attributes:
        label: The array that the loss compares with: `targets`, or `inputs` in an autoencoder.
        padded_label: Whether labels come with their paddings.
        mask: Under which name the loss takes the weights of labels.
        counts_zero: Whether, without such weights, token 0 counts; None where labels are no tokens.
        smooths: Whether the loss takes label smoothing; others leave labels as they are, as
            MLCommons' do.
    """

    label: str
    padded_label: bool
    mask: str
    counts_zero: bool | None
    smooths: bool

    def to_theirs(self, batch: Batch) -> dict[str, Any]:
        """Our batch in their form."""
        theirs: dict[str, Any] = {_RENAMED.get(name, name): array for name, array in batch.items()}
        if self.mask in theirs:
            theirs["weights"] = theirs.pop(self.mask)
        elif self.counts_zero is not None:
            theirs["weights"] = _token_weights(theirs["targets"], all_count=self.counts_zero)
        if self.label != "targets":
            theirs["targets"] = theirs[self.label]
        for name, paddings in _PAIRS.items():
            if paddings in theirs:
                theirs[name] = (theirs[name], theirs.pop(paddings))
        if "senders" in theirs:
            counts = _counts(theirs["node_graph"], theirs["edge_graph"], len(theirs["targets"]))
            nodes, edges, receivers, senders = (theirs.pop(name) for name in _GRAPH)
            theirs["inputs"] = GraphsTuple(nodes, edges, receivers, senders, None, *counts)
        return theirs

    def to_ours(self, theirs: TheirBatch) -> Batch:
        """What `to_theirs` was given, as far as a model looks at it."""
        back = {new: old for old, new in _RENAMED.items()}
        ours = {back.get(name, name): array for name, array in theirs.items()}
        for name, paddings in _PAIRS.items():
            if isinstance(ours.get(name), tuple) and not isinstance(ours[name], GraphsTuple):
                ours[name], ours[paddings] = ours[name]
        if isinstance(graphs := ours.get("inputs"), GraphsTuple):
            ours |= {name: getattr(graphs, name) for name in _GRAPH}
            del ours["inputs"]
        return ours

    def labelled(self, labels: Any, mask: jax.Array | None, dtype: Any) -> Batch:
        """The batch that our loss takes, of their labels and mask.

        Args:
            labels: As in `targets` of their batch.
            mask: Weights of labels, or of examples, (batch,).
            dtype: Of the outputs.
        """
        if self.padded_label:
            batch = {"targets": labels[0], "target_paddings": labels[1]}
        else:
            batch = {self.label: labels}
        if mask is not None:
            name = "weights" if jnp.ndim(mask) == 1 else self.mask
            batch[name] = jnp.asarray(mask, dtype)
        if self.mask == "target_weights":  # which that loss always reads
            batch.setdefault("target_weights", jnp.ones_like(batch["targets"]))
        return batch


def _shared(batch: Any) -> Any:
    """Spread over the devices, as the rest of a batch is and as submissions tell `jit`."""
    return jax.lax.with_sharding_constraint(batch, sharding.batch_sharded())


@partial(jax.jit, static_argnames="all_count")
def _token_weights(targets: jax.Array, *, all_count: bool) -> jax.Array:
    return _shared(jnp.ones(targets.shape) if all_count else (targets > 0).astype(jnp.float32))


@partial(jax.jit, static_argnames="graphs")
def _counts(
    node_graph: jax.Array, edge_graph: jax.Array, graphs: int
) -> tuple[jax.Array, jax.Array]:
    """How many nodes and edges each graph has; padding is of one past the last."""
    nodes, edges = (
        jax.ops.segment_sum(jnp.ones_like(owner), owner, graphs)
        for owner in (node_graph, edge_graph)
    )
    return _shared((nodes, edges))


def form_of(workload: Workload) -> Form:
    """The form of a workload's batches, found by tracing its loss: what does it read?"""
    params, model_state = model_shapes(workload)
    batch = workload.dataset.signature(batch_size=2)

    def outputs_of(params: Any, model_state: Any, batch: Batch) -> Any:
        return workload.model.apply({"params": params, **model_state}, batch, train=False)

    read: set[str] = set()

    def loss(outputs: Any, batch: Batch) -> Any:
        noting = _Noting(batch)
        result = workload.loss(outputs, noting)
        read.update(noting.read)
        return result

    outputs = jax.eval_shape(outputs_of, params, model_state, batch)
    jax.eval_shape(loss, outputs, batch)
    masks = [name for name in ("target_weights", "token_weights") if name in read]
    counts_zero = None
    if "token_weights" in read:
        one = jnp.zeros((1, 1, outputs.shape[-1]), outputs.dtype)
        counted = workload.loss(one, {"targets": jnp.zeros((1, 1), jnp.int32)})
        counts_zero = bool(counted.weight.sum() > 0)
    return Form(
        label="targets" if "targets" in read else "inputs",
        padded_label="target_paddings" in read,
        mask=masks[0] if masks else "weights",
        counts_zero=counts_zero,
        smooths="label_smoothing" in inspect.signature(workload.loss).parameters,
    )


def split(batch: Any, devices: int) -> Any:
    """The batch with a leading axis of devices, as v0.5 has it."""
    return _split(batch, devices)


@partial(jax.jit, static_argnames="devices")
def _split(batch: Any, devices: int) -> Any:
    return _shared(
        jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)
    )
