"""Graph network: messages along edges, for one prediction about each graph.

Battaglia et al. 2018, arXiv:1806.01261, algorithm 1, with sums as aggregation.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from algoperf.spec import Batch, ParameterType
from workloads.models.layers import Activation, dense, layer_norm


class _Graphs(NamedTuple):
    """Features of many graphs at once, and how they hang together."""

    nodes: jax.Array
    edges: jax.Array
    whole: jax.Array


class GNN(nn.Module):
    """One padded batch of graphs to logits (graphs, outputs).

    `nodes` float32 (nodes, node features), `edges` float32 (edges, edge features), `senders` and
    `receivers` int32 (edges,), `node_graph` int32 (nodes,) and `edge_graph` int32 (edges,): which
    of the graphs, one past the last for padding. The number of graphs is that of `targets`.

    Attributes:
        outputs: Predictions for a graph.
        latent: Features of embedded nodes and edges.
        hidden: Features of the layers in every update.
        steps: Rounds of message passing.
        activation: After every normalisation.
        dropout_rate: After every activation, in training.
    """

    outputs: int
    latent: int
    hidden: tuple[int, ...]
    steps: int
    activation: Activation = nn.relu
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        graphs = len(batch["targets"])
        # Typed as AlgoPerf counts them, although their inputs are features and not row numbers.
        graph = _Graphs(
            nodes=dense(self.latent, kind=ParameterType.EMBEDDING)(batch["nodes"]),
            edges=dense(self.latent, kind=ParameterType.EMBEDDING)(batch["edges"]),
            # One more, in which all padding gathers.
            whole=jnp.zeros((graphs + 1, self.outputs), batch["nodes"].dtype),
        )
        for _ in range(self.steps):
            graph = self._round(graph, batch, train)
        return dense(self.outputs, output=True)(graph.whole[:graphs])

    def _round(self, graph: _Graphs, batch: Batch, train: bool) -> _Graphs:
        senders, receivers = batch["senders"], batch["receivers"]
        node_graph, edge_graph = batch["node_graph"], batch["edge_graph"]
        count = len(graph.whole)
        ends = graph.nodes[senders], graph.nodes[receivers]
        edges = self._update(train, graph.edges, *ends, graph.whole[edge_graph])
        # Wherever padding edges end, they say nothing there.
        said = jnp.where(edge_graph[:, None] < count - 1, edges, 0.0)
        sent, received = (
            jax.ops.segment_sum(said, ends, len(graph.nodes)) for ends in (senders, receivers)
        )
        nodes = self._update(train, graph.nodes, sent, received, graph.whole[node_graph])
        whole = self._update(
            train,
            jax.ops.segment_sum(nodes, node_graph, count),
            jax.ops.segment_sum(edges, edge_graph, count),
            graph.whole,
        )
        return _Graphs(nodes, edges, whole)

    def _update(self, train: bool, *features: jax.Array) -> jax.Array:
        x = jnp.concatenate(features, axis=-1)
        for width in self.hidden:
            x = self.activation(layer_norm()(dense(width)(x)))
            x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return x
