"""Averages of the parameters along training, as optax transformations that change no update.

Each goes last into `optax.chain`; the `evaluate` of `from_optax` finds the average in its state.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from algoperf.spec import Params


class MovingAverage(NamedTuple):
    """Steps done (scalar int32), and the average of the parameters after each of them."""

    steps: jax.Array
    average: Params


def moving_average(decay: float | jax.Array) -> optax.GradientTransformation:
    """Exponential moving average of the parameters.

    Early on, when `decay` would hold on to the initial parameters, it is (1 + t) / (10 + t) at
    step t (as in TensorFlow's `ExponentialMovingAverage`).

    Args:
        decay: Share of the old average that a step keeps.
    """

    def init(params: Params) -> MovingAverage:
        return MovingAverage(jnp.zeros((), jnp.int32), params)

    def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, MovingAverage]:
        steps = state.steps.astype(jnp.float32)
        share = 1.0 - jnp.minimum(decay, (1.0 + steps) / (10.0 + steps))
        average = jax.tree.map(
            lambda mean, new: mean + share.astype(mean.dtype) * (new - mean),
            state.average,
            optax.apply_updates(params, updates),
        )
        return updates, MovingAverage(state.steps + 1, average)

    return optax.GradientTransformation(init, update)


class Latest(NamedTuple):
    """Steps and checkpoints so far (scalars int32), and the latest of them, leaves (slots, ...)."""

    steps: jax.Array
    checkpoints: jax.Array
    ring: Params


def latest(slots: int, every: int) -> optax.GradientTransformation:
    """Keeps the parameters of the latest `slots` checkpoints, one each `every` steps."""

    def init(params: Params) -> Latest:
        ring = jax.tree.map(lambda x: jnp.zeros((slots, *x.shape), x.dtype), params)
        return Latest(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), ring)

    def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, Latest]:
        steps = state.steps + 1
        due = steps % every == 0
        slot = state.checkpoints % slots

        def put(ring: jax.Array, new: jax.Array) -> jax.Array:
            kept = jax.lax.dynamic_index_in_dim(ring, slot, keepdims=False)
            return jax.lax.dynamic_update_index_in_dim(ring, jnp.where(due, new, kept), slot, 0)

        ring = jax.tree.map(put, state.ring, optax.apply_updates(params, updates))
        return updates, Latest(steps, state.checkpoints + due.astype(jnp.int32), ring)

    return optax.GradientTransformation(init, update)


def average_of(state: Latest, params: Params) -> Params:
    """The mean of the checkpoints that `latest` kept; `params` while there is none."""

    def mean(ring: jax.Array, now: jax.Array) -> jax.Array:
        taken = jnp.minimum(state.checkpoints, ring.shape[0])
        total = ring.sum(axis=0)  # empty slots are 0
        return jnp.where(taken > 0, total / jnp.maximum(taken, 1).astype(now.dtype), now)

    return jax.tree.map(mean, state.ring, params)
