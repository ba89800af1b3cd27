"""MLCommons' optimizer state, in which there are functions and numbers, as a pytree of arrays."""

import struct
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import numpy as np
from jax.core import Tracer

_NUMBERS = {int: "<q", float: "<d", bool: "<q"}
_INT64 = range(-(2**63), 2**63)


class _Fixed:
    """A leaf that is no array, a function for instance: goes with the structure, by identity."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Fixed) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True)
class _Structure:
    """How leaves are put together again.

    Attributes:
        tree: The structure of theirs.
        leaves: For each leaf None if it is an array, its type if a number, or else itself.
        shardings: v0.5: of each array, since pmap takes no other; else empty.
        hyperparameters: What the submission was started with.
    """

    tree: Any
    leaves: tuple[Any, ...]
    shardings: tuple[Any, ...]
    hyperparameters: Any


class State(flax.struct.PyTreeNode):
    """Optimizer state of an MLCommons submission, and what the adapter has to remember.

    Attributes:
        arrays: Theirs, in order.
        numbers: Python's numbers in it, bit for bit, uint32 (numbers, 2): other programs save and
            restore arrays, and nothing may be lost on the way.
        key: The last step's, raw; randomness for `prepare_for_eval` comes from it.
        spread: v0.5: parameters and model state with a leading axis of devices; else None.
        structure: Whatever is no array.
    """

    arrays: tuple[Any, ...]
    numbers: Any
    key: Any
    spread: Any
    structure: _Structure = flax.struct.field(pytree_node=False)

    @property
    def hyperparameters(self) -> Any:
        """A named tuple, or None in self-tuning."""
        return self.structure.hyperparameters


def pack(theirs: Any, hyperparameters: Any, key: Any, spread: Any) -> State:
    """Their state, with arrays and numbers apart from what is neither."""
    leaves, tree = jax.tree.flatten(theirs)
    kinds = tuple(map(_kind, leaves))
    arrays = tuple(leaf for leaf, kind in zip(leaves, kinds, strict=True) if kind is None)
    numbers = [
        np.frombuffer(struct.pack(_NUMBERS[kind], leaf), np.uint32)
        for leaf, kind in zip(leaves, kinds, strict=True)
        if isinstance(kind, type)
    ]
    packed = np.stack(numbers) if numbers else None
    shardings = () if spread is None else tuple(map(_sharding, arrays))
    structure = _Structure(tree, kinds, shardings, hyperparameters)
    return State(arrays, packed, key, spread, structure)


def _sharding(array: Any) -> Any:
    concrete = isinstance(array, jax.Array) and not isinstance(array, Tracer)
    return array.sharding if concrete else None


def _placed(array: Any, wanted: Any) -> Any:
    """The array as it was when it was packed; who saved and restored it may have moved it."""
    return array if wanted in (None, _sharding(array)) else jax.device_put(array, wanted)


def _kind(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return None
    if type(leaf) in _NUMBERS and (not isinstance(leaf, int) or leaf in _INT64):
        return type(leaf)
    return _Fixed(leaf)


def unpack(state: State) -> Any:
    """What `pack` was given as theirs."""
    shardings = state.structure.shardings or (None,) * len(state.arrays)
    arrays = map(_placed, state.arrays, shardings)
    rows = iter(() if state.numbers is None else np.asarray(state.numbers))
    leaves = [
        next(arrays)
        if kind is None
        else kind.value
        if isinstance(kind, _Fixed)
        else kind(struct.unpack(_NUMBERS[kind], next(rows).tobytes())[0])
        for kind in state.structure.leaves
    ]
    return jax.tree.unflatten(state.structure.tree, leaves)
