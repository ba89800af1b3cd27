"""Floating-point operations of a traced computation.

Counted over the jaxpr, a loop's body times its length and matrix decompositions by their
standard counts. XLA's own cost analysis counts a loop's body once and decompositions hardly
at all, which would flatter the training algorithms that use them.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core

# Leading-order operation counts (Golub & Van Loan, Matrix Computations, 4th ed. 2013)
# of an m x n matrix, m >= n.
_DECOMPOSITIONS: dict[str, Callable[[int, int], float]] = {
    "cholesky": lambda _, n: n**3 / 3,
    "lu": lambda m, n: m * n**2 - n**3 / 3,
    "qr": lambda m, n: 4 * m * n**2 - 4 * n**3 / 3,
    "geqrf": lambda m, n: 2 * m * n**2 - 2 * n**3 / 3,
    "householder_product": lambda m, n: 2 * m * n**2 - 2 * n**3 / 3,
    "eigh": lambda _, n: 9 * n**3,
    "eig": lambda _, n: 25 * n**3,
    "svd": lambda m, n: 4 * m**2 * n + 8 * m * n**2 + 9 * n**3,
}

_FREE = frozenset(
    [
        "broadcast_in_dim",
        "reshape",
        "transpose",
        "squeeze",
        "expand_dims",
        "slice",
        "dynamic_slice",
        "dynamic_update_slice",
        "concatenate",
        "pad",
        "gather",
        "scatter",
        "rev",
        "iota",
        "copy",
        "copy_p",
        "convert_element_type",
        "bitcast_convert_type",
        "stop_gradient",
        "device_put",
        "sharding_constraint",
        "split",
        "select_n",
        "random_wrap",
        "random_unwrap",
        "random_seed",
        "random_bits",
        "random_fold_in",
        "random_split",
        "threefry2x32",
        "argsort",
    ]
)


class _UnboundedError(Exception):
    """The computation has a loop whose length is decided while it runs."""


def count(function: Callable[..., Any], *args: Any) -> float:
    """Operations of one call `function(*args)`; nothing is executed, `args` may be shapes.

    A multiplication and an addition are two; an elementwise function is one for each element;
    of the branches of a condition the costliest counts, of a mapped function every device's share.

    Returns:
        The number of operations; NaN if a `while` loop has no static length.
    """
    try:
        return _jaxpr(jax.make_jaxpr(function)(*args).jaxpr)
    except _UnboundedError:
        return math.nan


def primitives(function: Callable[..., Any], *args: Any) -> frozenset[str]:
    """Names of all operations in `function(*args)`, those within loops and calls included."""

    def names(jaxpr: Any) -> Iterator[str]:
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for inner in _inner(equation):
                yield from names(inner)

    return frozenset(names(jax.make_jaxpr(function)(*args).jaxpr))


def _jaxpr(jaxpr: Any) -> float:
    return sum(_equation(equation) for equation in jaxpr.eqns)


def _inner(equation: Any) -> list[Any]:
    """Jaxprs among the equation's parameters."""
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, core.Jaxpr):
                found.append(item)
    return found


def _equation(equation: Any) -> float:
    name = equation.primitive.name
    if name in _FREE:
        return 0.0
    if name == "dot_general":
        return _dot(equation)
    if name == "conv_general_dilated":
        return _convolution(equation)
    if name in _DECOMPOSITIONS:
        *batch, rows, columns = equation.invars[0].aval.shape
        long, short = max(rows, columns), min(rows, columns)
        return math.prod(batch) * _DECOMPOSITIONS[name](long, short)
    if name == "triangular_solve":
        order = equation.invars[0].aval.shape[-1]
        return equation.outvars[0].aval.size * order
    if name == "fft":
        lengths = math.prod(equation.params["fft_lengths"])
        size = max(equation.invars[0].aval.size, equation.outvars[0].aval.size)
        return 5 * size * math.log2(max(lengths, 2))
    if name in ("scan", "shard_map"):
        return _repetitions(equation) * sum(map(_jaxpr, _inner(equation)))
    if name == "while":
        raise _UnboundedError
    if name == "cond":
        return max(map(_jaxpr, _inner(equation)))
    if inner := _inner(equation):
        # custom_jvp and the like hold the rule beside the function: only the function runs.
        return _jaxpr(inner[0])
    if name == "sort":
        size = equation.invars[0].aval.size
        return size * math.log2(max(equation.invars[0].aval.shape[-1], 2))
    if name.startswith(("reduce", "arg", "cum")):
        return float(equation.invars[0].aval.size)
    return float(sum(out.aval.size for out in equation.outvars))


def _repetitions(equation: Any) -> int:
    """How often the body runs: one after the other in a loop, on every device in a map."""
    if equation.primitive.name == "scan":
        return equation.params["length"]
    sizes = equation.params["mesh"].shape  # pmap is such a map too
    return math.prod(sizes[axis] for axis in equation.params["newly_manual_axes"])


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
    kernel = equation.invars[1].aval
    out_features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * equation.outvars[0].aval.size * kernel.size / out_features
