"""The random keys of a trial's steps: a function of its seed and the step's number alone."""

import itertools
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp

_BLOCK = 64


@jax.jit
def _key_block(key: jax.Array, start: int) -> list[jax.Array]:
    keys = jax.vmap(partial(jax.random.fold_in, key))(start + jnp.arange(2 * _BLOCK))
    # A list, since taking an element of an array would be a dispatch for every step.
    return [keys[place] for place in range(2 * _BLOCK)]


def step_keys(key: jax.Array, drawn: int = 0) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Two independent keys for each step, in order, after those that were drawn already."""
    first, place = divmod(drawn, _BLOCK)
    for start in itertools.count(2 * _BLOCK * first, step=2 * _BLOCK):
        block = _key_block(key, start)
        yield from list(zip(block[::2], block[1::2], strict=True))[place:]
        place = 0
