"""What a submission's functions must return, checked where they are called."""

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
    if faults := list(shape_faults(params, shapes)):
        raise UserError.of_many(f"{who} returned other parameters than the model's:", faults)


def check_evaluated(returned: Any) -> tuple[Params, ModelState]:
    """What `params_for_evaluation` returned, as a pair.

    Raises:
        UserError: If it is neither that nor a `TrainState`.
    """
    if type(returned) is TrainState:
        params, model_state = returned.params, returned.model_state
    elif type(returned) is tuple and len(returned) == 2:
        params, model_state = returned
    else:
        raise UserError("`params_for_evaluation` must return a tuple (params, model_state).")
    for leaf in jax.tree.leaves((params, model_state)):
        # Anything else could compute its value as it is evaluated, off the clock.
        if not isinstance(leaf, jax.Array) and type(leaf) is not np.ndarray:
            raise UserError(
                f"`params_for_evaluation` returned a {type(leaf).__name__}; parameters and model "
                "state are arrays of jax or NumPy."
            )
    return params, model_state


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
