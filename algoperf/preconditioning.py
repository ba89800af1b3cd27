"""Matrices, blocks and roots: what training algorithms share that look at whole matrices.

Part of what a submission may import, as `optax` is.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from algoperf.spec import ParameterType, Params
from algoperf.view import WorkloadView

_INPUTS_FIRST = frozenset(
    [
        ParameterType.ATTENTION_Q,
        ParameterType.ATTENTION_K,
        ParameterType.ATTENTION_V,
        ParameterType.ATTENTION_QKV,
        ParameterType.ATTENTION_KV,
    ]
)
"""Maps whose first axis is the input's; the others (heads, features) are the output's."""

_OUTPUTS_LAST = frozenset(
    [ParameterType.WEIGHT, ParameterType.CONV_WEIGHT, ParameterType.ATTENTION_OUT]
)
"""Maps whose last axis is the output's. Scales may be of these types too, with fewer axes."""


def input_axes(workload: WorkloadView) -> Params:
    """As which matrix each parameter maps inputs to outputs.

    Returns:
        The structure of the parameters; how many leading axes belong to the input, so that
        `x.reshape(math.prod(x.shape[:axes]), -1)` is the matrix of the map. 0 for what is none:
        biases, scales, embeddings.
    """

    def axes(kind: ParameterType, shape: jax.ShapeDtypeStruct) -> int:
        if kind in _INPUTS_FIRST:
            return 1
        return max(len(shape.shape) - 1, 0) if kind in _OUTPUTS_LAST else 0

    return jax.tree.map(axes, workload.parameter_types, workload.parameter_shapes)


def cut(x: jax.Array, axes: int, size: int) -> jax.Array:
    """A parameter as a matrix in blocks of equal shape.

    Args:
        x: Any array of at least two dimensions.
        axes: How many leading ones are the matrix's rows.
        size: Most rows and columns of a block.

    Returns:
        (blocks, rows, columns); what fills the last ones up is 0.
    """
    matrix = x.reshape(math.prod(x.shape[:axes]), -1)
    (down, rows), (across, columns) = (_even(length, size) for length in matrix.shape)
    spare = [(0, down * rows - matrix.shape[0]), (0, across * columns - matrix.shape[1])]
    tiles = jnp.pad(matrix, spare).reshape(down, rows, across, columns)
    return tiles.transpose(0, 2, 1, 3).reshape(down * across, rows, columns)


def joined(blocks: jax.Array, shape: tuple[int, ...], axes: int, size: int) -> jax.Array:
    """The parameter of `shape` that `cut` made `blocks` of."""
    height, width = math.prod(shape[:axes]), math.prod(shape[axes:])
    (down, rows), (across, columns) = _even(height, size), _even(width, size)
    tiles = blocks.reshape(down, across, rows, columns).transpose(0, 2, 1, 3)
    return tiles.reshape(down * rows, across * columns)[:height, :width].reshape(shape)


def _even(length: int, size: int) -> tuple[int, int]:
    """(parts, length of each) to cover `length` with the fewest parts of at most `size`."""
    parts = math.ceil(length / size)
    return parts, math.ceil(length / parts)


class _BlockedState(NamedTuple):
    """Steps done (scalar int32), and the state of each parameter's blocks."""

    steps: jax.Array
    blocks: Params


def blocked(
    init: Callable[[jax.Array], Any],
    update: Callable[[jax.Array, Any, jax.Array], tuple[jax.Array, Any]],
    axes: int,
    size: int,
) -> optax.GradientTransformation:
    """A transformation that treats every block of every parameter as a matrix of its own.

    Args:
        init: (blocks of a parameter) -> state, a pytree of arrays. Blocks are (blocks, rows,
            columns).
        update: (blocks of its gradient, state, steps done) -> (blocks of the change, state).
        axes: As in `cut`, the same for all parameters.
        size: As in `cut`.
    """

    def start(params: Params) -> _BlockedState:
        blocks = jax.tree.map(lambda x: init(cut(x, axes, size)), params)
        return _BlockedState(jnp.zeros((), jnp.int32), blocks)

    def step(updates: Params, state: Any, params: Any = None) -> tuple[Params, _BlockedState]:
        leaves, structure = jax.tree.flatten(updates)
        changes, blocks = [], []
        for leaf, before in zip(leaves, structure.flatten_up_to(state.blocks), strict=True):
            change, after = update(cut(leaf, axes, size), before, state.steps)
            changes.append(joined(change, leaf.shape, axes, size))
            blocks.append(after)
        inner = structure.unflatten(blocks)
        return structure.unflatten(changes), _BlockedState(state.steps + 1, inner)

    return optax.GradientTransformation(start, step)


def inverse_root(matrices: jax.Array, power: int, ridge: float = 1e-6) -> jax.Array:
    """Inverse root of symmetric positive semi-definite matrices, by their eigenvalues.

    Args:
        matrices: (blocks, n, n).
        power: 4 for the inverse fourth root.
        ridge: Added to the eigenvalues, as a share of each matrix's largest.

    Returns:
        (blocks, n, n), symmetric; 0 for a matrix that is 0.
    """
    values, vectors = one_by_one(jnp.linalg.eigh, matrices)
    largest = values[..., -1:]
    # eigh finds zeros as small numbers of either sign.
    lifted = jnp.maximum(values, 0.0) + ridge * largest
    roots = jnp.where(largest > 0, jnp.where(lifted > 0, lifted, 1.0) ** (-1.0 / power), 0.0)
    return (vectors * roots[..., None, :]) @ transposed(vectors)


def one_by_one(decomposition: Callable[[jax.Array], Any], matrices: jax.Array) -> Any:
    """A decomposition of each matrix, (blocks, n, n), in turn.

    Several decompositions of whole batches at once can wait for each other for ever on a CPU with
    more than one device: each splits its batch over the threads that all of them share.
    """
    return jax.lax.map(decomposition, matrices)


def transposed(matrices: jax.Array) -> jax.Array:
    """The last two axes exchanged."""
    return jnp.swapaxes(matrices, -1, -2)
