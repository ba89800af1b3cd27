"""Selection of a pool's rows by loss. After Shum et al. 2025 (PreSelect), arXiv:2503.00808.

PreSelect keeps data whose losses tell able models from others, and asks several trained models for
that. Within a run there is one, so its loss is all that there is to go by. Of a pool of candidates
the batch is a window of the losses in order. `part` says where it lies: at 0 the lowest (what the
model finds plausible: little news, few wrong labels), at 1 the highest (most news, and the wrong
labels), at 0.5 the middle.

AdamW underneath. Where examples are not rows (graphs) it is AdamW alone.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from algoperf import from_optax, selection, warmup_cosine

POOL = 2
"""Batches of candidates for each batch."""

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
    "part": {"feasible_points": [0.0, 0.5, 1.0]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    return optax.adamw(rate, b1=1 - hp.one_minus_beta1, b2=0.99, weight_decay=hp.weight_decay)


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)


def select_batch(workload, batches, train, key, progress):
    if workload.row_shapes is None:
        return next(batches)
    return choose(workload, train, [next(batches) for _ in range(POOL)])


@partial(jax.jit, static_argnames="workload")
def choose(workload, train, batches):
    """The batch at `part` of the losses in order."""
    pool = selection.joined(batches)
    losses = workload.example_losses(train.params, train.model_state, pool)
    size = len(losses) // POOL
    part = jnp.asarray(train.optimizer_state.hyperparameters.part, jnp.float32)
    start = jnp.round(part * (len(losses) - size)).astype(jnp.int32)
    return selection.taken(pool, jax.lax.dynamic_slice_in_dim(jnp.argsort(losses), start, size))
