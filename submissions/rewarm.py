"""AdamW that warms its rate up again when the data change. Gupta et al. 2023, arXiv:2308.04014.

Nobody tells a submission that the data have changed, since no workload's data do. What it can see
is its training loss: when the mean over about ten batches is above the mean over about a hundred,
by a quarter of it and by twice what the loss differs from one batch to the next, the schedule
starts again, over the steps that are left. On data that stay the same this is AdamW, unless
training itself is as unstable.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from algoperf import from_optax, warmup_cosine

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 1e-3, "max": 1e-1, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}

WAIT = 100  # steps after a start in which the means are not yet to be compared


class Phase(NamedTuple):
    """Where the schedule stands, and how the loss has been.

    Attributes:
        step: Steps done.
        began: The step at which the schedule began.
        last: Loss of the last batch.
        fast: Mean over about 10 batches.
        slow: Mean over about 100.
        noise: Mean absolute difference of successive losses, over about 100.
    """

    step: jax.Array
    began: jax.Array
    last: jax.Array
    fast: jax.Array
    slow: jax.Array
    noise: jax.Array


def scale_by_rewarmed(peak, steps, warmup):
    """Multiplies by minus the rate of a schedule that begins anew when the loss has risen."""

    def init(params):
        del params
        count, loss = jnp.zeros((), jnp.int32), jnp.zeros(())
        return Phase(count, count, loss, loss, loss, loss)

    def update(updates, state, params=None, **extra):
        value = extra["value"]
        age = state.step - state.began
        # Plain means at first, moving ones then.
        few, many = jnp.minimum(age + 1.0, 10.0), jnp.minimum(age + 1.0, 100.0)
        last = jnp.where(state.step == 0, value, state.last)
        fast = state.fast + (value - state.fast) / few
        slow = state.slow + (value - state.slow) / many
        noise = state.noise + (jnp.abs(value - last) - state.noise) / many
        risen = fast - slow > jnp.maximum(0.25 * jnp.abs(slow), 2 * noise)
        began = jnp.where((age >= WAIT) & risen, state.step, state.began)
        rate = warmup_cosine(peak, steps - began, warmup)(state.step - began)
        updates = optax.tree.scale(jnp.negative(rate), updates)
        return updates, Phase(state.step + 1, began, value, fast, slow, noise)

    return optax.GradientTransformationExtraArgs(init, update)


def transformation(hp, workload):
    return optax.chain(
        optax.scale_by_adam(1 - hp.one_minus_beta1, 0.99),
        optax.add_decayed_weights(hp.weight_decay),
        scale_by_rewarmed(hp.learning_rate, workload.step_hint, hp.warmup),
    )


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
