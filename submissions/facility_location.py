"""Facility location on last-layer features. Renduchintala et al. 2023, arXiv:2305.06677.

Of a pool of candidates the batch is the set that represents the pool best: it maximises the sum
over the pool of each one's similarity to the most similar one chosen, by lazy greedy search (Minoux
1978, doi:10.1007/BFb0006528), which finds exactly what greedy search finds, and so at least
1 - 1/e of the best (Nemhauser et al. 1978, doi:10.1007/BF01588971). The paper (INGENIOUS) chooses
a subset for many steps to come, by chance weighted by gains; here it is each step's batch from a
pool of its own. Features do not see labels, so wrong ones are chosen as often as they come.

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
    """The batch that represents its pool best."""
    pool = selection.joined(batches)
    features = workload.features(train.params, train.model_state, pool)
    return selection.taken(pool, lazy_greedy(similarities(features), len(features) // POOL))


def similarities(features):
    """Of all pairs of `features` (pool, width): cosines, moved into [0, 1]; (pool, pool)."""
    lengths = jnp.linalg.norm(features, axis=1, keepdims=True)
    directions = features / jnp.maximum(lengths, 1e-12)
    return (1 + directions @ directions.T) / 2


def lazy_greedy(similarity, count):
    """Adds what helps most, `count` times; of equals the first.

    Args:
        similarity: Not negative; row i says how well each candidate would represent i.
        count: How many to choose; at most all.

    Returns:
        int32 (count,), in the order of the choice.
    """

    def unfinished(state):
        return state[-1] < count

    def look(state):
        """Computes one gain anew, that of the best in view; chooses it if it still is the best.

        Gains only fall while the set grows: an old one bounds the new from above.
        """
        covered, bounds, chosen, number = state
        top = jnp.argmax(bounds).astype(jnp.int32)
        gain = jnp.maximum(similarity[:, top] - covered, 0).sum()
        bounds = bounds.at[top].set(gain)
        best = jnp.argmax(bounds) == top
        return (
            jnp.where(best, jnp.maximum(covered, similarity[:, top]), covered),
            jnp.where(best, bounds.at[top].set(-1.0), bounds),
            jnp.where(best, chosen.at[number].set(top), chosen),
            number + best.astype(jnp.int32),
        )

    covered = jnp.zeros_like(similarity[0])
    start = covered, similarity.sum(axis=0), jnp.zeros(count, jnp.int32), jnp.int32(0)
    return jax.lax.while_loop(unfinished, look, start)[2]
