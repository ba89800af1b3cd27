"""Parameter types: declared where a layer makes its parameter, never guessed from its name."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
from flax.core import meta

from algoperf.spec import ParameterType, Params

Initializer = Callable[..., Any]


class _Typed(flax.struct.PyTreeNode, meta.AxisMetadata[Any]):
    """A parameter's value in flax's own metadata box, with its type as the metadata."""

    value: Any
    type: ParameterType = flax.struct.field(pytree_node=False)

    def unbox(self) -> Any:
        return self.value

    def replace_boxed(self, val: Any) -> "_Typed":
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "_Typed":
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "_Typed":
        return self


def typed(initializer: Initializer, parameter_type: ParameterType) -> Initializer:
    """An initializer whose parameter is of `parameter_type`.

    Example:
        nn.Dense(10, kernel_init=typed(nn.initializers.lecun_normal(), ParameterType.WEIGHT))
    """

    def init(*args: Any, **kwargs: Any) -> _Typed:
        return _Typed(initializer(*args, **kwargs), parameter_type)

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


unboxed = meta.unbox
