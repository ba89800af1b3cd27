"""What a submission's functions must return, checked where they are called."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algoperf import sharding
from algoperf.errors import UserError
from algoperf.spec import ModelState, Params, TrainState


def check_batch_size(batch_size: object) -> None:
    """Refuses what cannot be a batch size here.

    Raises:
        UserError: If it is not a positive number that the number of devices divides.
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise UserError(f"`batch_size` returned {batch_size!r}; it must be a positive int.")
    if not sharding.divides(batch_size):
        raise UserError(
            f"`batch_size` returned {batch_size}, which {jax.device_count()} devices cannot share "
            f"evenly; {sharding.round_up(batch_size)} would do."
        )


def check_state(returned: object) -> None:
    """Refuses what `update` may not return.

    Raises:
        UserError: If it is not a `TrainState`.
    """
    if type(returned) is not TrainState:  # another class may compute whenever it is looked at
        raise UserError(
            f"`update` returned a {type(returned).__name__}; it must return a TrainState "
            "(params, model_state, optimizer_state)."
        )


def check_params(who: str, params: Params, shapes: Params) -> None:
    """Refuses parameters that are not the model's.

    Raises:
        UserError: Names every parameter of another shape or dtype.
    """
    _check_kinds(who, params, shapes)
    if faults := list(shape_faults(params, shapes)):
        raise UserError.of_many(f"{who} returned other parameters than the model's:", faults)


def check_evaluated(
    returned: Any, params_shapes: Params, state_shapes: ModelState
) -> tuple[Params, ModelState]:
    """What `params_for_evaluation` returned, as a pair.

    Args:
        returned: What it returned.
        params_shapes: The model's parameters, as `jax.ShapeDtypeStruct`.
        state_shapes: The model's state, likewise.

    Raises:
        UserError: If it is neither that nor a `TrainState`, or not of the model's shapes.
    """
    who = "`params_for_evaluation`"
    if type(returned) is TrainState:
        params, model_state = returned.params, returned.model_state
    elif type(returned) is tuple and len(returned) == 2:
        params, model_state = returned
    else:
        raise UserError(f"{who} must return a tuple (params, model_state).")
    check_params(who, params, params_shapes)
    _check_kinds(who, model_state, state_shapes)
    if faults := list(shape_faults(model_state, state_shapes)):
        raise UserError.of_many(f"{who} returned another model state than the model's:", faults)
    return params, model_state


def _check_kinds(who: str, tree: Any, shapes: Any) -> None:
    """Refuses what could compute as it is taken apart or evaluated, off the clock."""
    for part in _foreign(tree, shapes):
        raise UserError(
            f"{who} returned a {type(part).__name__}; parameters and model state are arrays of jax "
            "or NumPy in dictionaries like the model's, with names of type str."
        )


def _foreign(tree: Any, shapes: Any) -> Iterator[Any]:
    """What in `tree` is of other classes than the model's; of none is any function called."""
    if type(shapes) is dict:
        if type(tree) is not dict:
            yield tree
            return
        yield from (key for key in tree if type(key) is not str)
        for key in shapes.keys() & tree.keys():  # what else there is differs in structure
            yield from _foreign(tree[key], shapes[key])
    elif type(tree) not in array_types():
        yield tree


@functools.cache
def array_types() -> tuple[type, ...]:
    """The very classes of arrays: what is derived from them may be anything."""
    return type(jax.device_put(np.zeros(()))), np.ndarray


def shape_faults(params: Params, shapes: Params) -> Iterator[str]:
    """Changed tree structure, shapes and dtypes.

    Args:
        params: What was returned.
        shapes: The same tree of `jax.ShapeDtypeStruct`.
    """
    wanted, structure = jax.tree.flatten(shapes)
    if jax.tree.structure(params) != structure:
        yield f"the tree is {jax.tree.structure(params)}; it was {structure}"
        return
    for (path, leaf), want in zip(jax.tree_util.tree_leaves_with_path(params), wanted, strict=True):
        shape, dtype = jnp.shape(leaf), jnp.result_type(leaf)
        if (shape, dtype) != (want.shape, want.dtype):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            yield f"{name} is {dtype}{list(shape)}; it was {want.dtype}{list(want.shape)}"


def unfinite(params: Params) -> list[str]:
    """Names of the parameters that hold NaN or infinity."""
    finite = jax.device_get(_finite(params))
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, is_finite in jax.tree_util.tree_leaves_with_path(finite)
        if not is_finite
    ]


@jax.jit
def _finite(params: Params) -> Params:
    return jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), params)
