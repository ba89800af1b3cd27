"""Parameter types: declared where a layer makes its parameter, never guessed from its name."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import numpy as np
from flax.core import meta

from algoperf.spec import ParameterType, Params

Initializer = Callable[..., Any]


class _Typed(flax.struct.PyTreeNode, meta.AxisMetadata[Any]):
    """A parameter's value in flax's own metadata box, with what is declared of it as metadata."""

    value: Any
    type: ParameterType = flax.struct.field(pytree_node=False)
    output: bool = flax.struct.field(pytree_node=False)

    def unbox(self) -> Any:
        return self.value

    def replace_boxed(self, val: Any) -> "_Typed":
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "_Typed":
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "_Typed":
        return self


def typed(
    initializer: Initializer, parameter_type: ParameterType, *, output: bool = False
) -> Initializer:
    """An initializer whose parameter is of `parameter_type`.

    Args:
        initializer: Makes the values.
        parameter_type: What the parameter is for.
        output: Whether the layer is the model's last, which algorithms treat apart from hidden
            ones. An embedding that is used for both is an embedding.

    Example:
        nn.Dense(10, kernel_init=typed(nn.initializers.lecun_normal(), ParameterType.WEIGHT))
    """

    def init(*args: Any, **kwargs: Any) -> _Typed:
        return _Typed(initializer(*args, **kwargs), parameter_type, output)

    return init


def _is_box(leaf: Any) -> bool:
    return isinstance(leaf, _Typed)


def types_of(boxed: Params) -> Params:
    """The tree of `ParameterType` of a tree of parameters as the model's `init` made it.

    Raises:
        TypeError: If a parameter has no declared type; names it.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(boxed, is_leaf=_is_box)
    untyped = [jax.tree_util.keystr(path) for path, leaf in leaves if not _is_box(leaf)]
    if untyped:
        raise TypeError(f"parameters without a declared type: {', '.join(untyped)}; use `typed`")
    return jax.tree_util.tree_unflatten(treedef, [leaf.type for _, leaf in leaves])


def outputs_of(boxed: Params) -> Params:
    """Whether each parameter is the output layer's, as bool; the structure of the parameters.

    Args:
        boxed: Parameters as the model's `init` made it, all of declared types.
    """
    return jax.tree.map(lambda box: box.output, boxed, is_leaf=_is_box)


unboxed = meta.unbox


def flat(params: Params, model_state: Any) -> dict[str, np.ndarray]:
    """Parameters and model state on the host, each array by its path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path((params, model_state))
    return {jax.tree_util.keystr(path): np.asarray(jax.device_get(leaf)) for path, leaf in leaves}


def restored(arrays: Mapping[str, np.ndarray], like: tuple[Params, Any]) -> tuple[Params, Any]:
    """What `flat` was given.

    Args:
        arrays: As `flat` returned it.
        like: Parameters and model state of the same structure, as arrays or their shapes.

    Raises:
        ValueError: If the arrays are not of that structure, with those shapes and types.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(like)
    wanted = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    if wanted.keys() != arrays.keys():
        odd = ", ".join(sorted(wanted.keys() ^ arrays.keys()))
        raise ValueError(f"the model has other parameters than were kept: {odd}")
    found = []
    for name, leaf in wanted.items():
        # NumPy keeps bfloat16 as plain bytes.
        array = arrays[name].view(leaf.dtype) if arrays[name].dtype.kind == "V" else arrays[name]
        if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            kept, is_now = f"{array.dtype}{array.shape}", f"{leaf.dtype}{leaf.shape}"
            raise ValueError(f"{name} was kept as {kept}, the model has {is_now}")
        found.append(array)
    return jax.tree_util.tree_unflatten(treedef, found)
