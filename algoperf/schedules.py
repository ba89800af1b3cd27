"""Learning-rate schedules that submissions share."""

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike


def warmup_cosine(peak: float | Array, steps: int, warmup: float | Array) -> optax.Schedule:
    """Linear from 0 to `peak`, then a half cosine to 0 at `steps`.

    The schedule of AlgoPerf's baselines (Dahl et al. 2023, arXiv:2306.07179). The first step
    already has a positive rate.

    Args:
        peak: Highest learning rate; may be traced by jax.
        steps: Step at which the rate is 0.
        warmup: Share of `steps` in which the rate rises, from 0 to below 1; may be traced.
    """

    def schedule(count: ArrayLike) -> Array:
        done = (jnp.asarray(count, jnp.float32) + 1.0) / steps
        rise = done / jnp.maximum(warmup, 1.0 / steps)
        fallen = jnp.clip((done - warmup) / (1.0 - warmup), 0.0, 1.0)
        return peak * jnp.minimum(rise, 0.5 * (1.0 + jnp.cos(jnp.pi * fallen)))

    return schedule
