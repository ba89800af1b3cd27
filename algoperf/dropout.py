"""Dropout at a rate that jax traces: flax's own needs a Python number."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def keeping(
    inputs: jax.Array, rate: jax.Array, key: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
    """`inputs`, each element kept with probability 1 - `rate` and then divided by it, or else 0.

    The same elements are kept as by `flax.linen.Dropout` with that rate as a number.

    Args:
        inputs: Anything float.
        rate: Scalar float in [0, 1].
        key: Randomness.
        shape: Of the mask; broadcasts to that of `inputs`.
    """
    kept = 1.0 - jnp.asarray(rate, inputs.dtype)
    mask = jnp.broadcast_to(jax.random.bernoulli(key, kept, shape), inputs.shape)
    # Nothing is kept where `kept` is 0, and what is not selected must not be divided by it.
    return jnp.where(mask, inputs / jnp.where(kept > 0, kept, 1.0), 0.0)


def traceable(rate: Any) -> AbstractContextManager[None]:
    """A context in which `flax.linen.Dropout` takes `rate` also where it is an array."""
    return nn.intercept_methods(_intercept) if isinstance(rate, jax.Array) else nullcontext()


def _intercept(
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
) -> Any:
    module = context.module
    if not (
        isinstance(module, nn.Dropout)
        and context.method_name == "__call__"
        and isinstance(module.rate, jax.Array)
    ):
        return call(*args, **kwargs)
    inputs, *rest = args
    given = dict(zip(("deterministic", "rng"), rest, strict=False)) | kwargs
    if nn.merge_param("deterministic", module.deterministic, given.get("deterministic")):
        return inputs
    key = given.get("rng")
    key = module.make_rng(module.rng_collection) if key is None else key
    shape = list(inputs.shape)
    for axis in module.broadcast_dims:
        shape[axis] = 1
    return keeping(inputs, module.rate, key, tuple(shape))
