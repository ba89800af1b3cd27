"""Shampoo in blocks, grafted onto Adam. Gupta et al. 2018, arXiv:1802.09568; arXiv:2309.06497."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from algoperf import from_optax, warmup_cosine
from algoperf.preconditioning import blocked, input_axes, inverse_root, transposed

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}

BETA2 = 0.99
BLOCK = 64
EVERY = 50  # steps from one root to the next


class Blocks(NamedTuple):
    """Moments of the gradient, and sums of G G^T and G^T G with their inverse fourth roots."""

    first: jax.Array
    second: jax.Array
    left: jax.Array
    right: jax.Array
    left_root: jax.Array
    right_root: jax.Array


def shampoo(beta1, axes):
    """The direction L^(-1/4) M R^(-1/4) of each block, as long as Adam's."""

    def init(blocks):
        count, rows, columns = blocks.shape
        left, right = jnp.zeros((count, rows, rows)), jnp.zeros((count, columns, columns))
        zero = jnp.zeros_like(blocks)
        return Blocks(zero, zero, left, right, left, right)

    def update(gradient, state, count):
        first = beta1 * state.first + (1 - beta1) * gradient
        second = BETA2 * state.second + (1 - BETA2) * gradient**2
        left = BETA2 * state.left + (1 - BETA2) * gradient @ transposed(gradient)
        right = BETA2 * state.right + (1 - BETA2) * transposed(gradient) @ gradient
        # Also after 1, 2, 4, 8 ... gradients, since the first few say little.
        due = (count % EVERY == 0) | (count & (count + 1) == 0)
        left_root, right_root = jax.lax.cond(
            due,
            lambda: (inverse_root(left, 4), inverse_root(right, 4)),
            lambda: (state.left_root, state.right_root),
        )
        steps = count.astype(jnp.float32) + 1
        adam = first / (1 - beta1**steps) / (jnp.sqrt(second / (1 - BETA2**steps)) + 1e-8)
        direction = left_root @ first @ right_root
        length = norm(adam) / jnp.maximum(norm(direction), 1e-30)
        return length * direction, Blocks(first, second, left, right, left_root, right_root)

    return blocked(init, update, axes, BLOCK)


def norm(blocks):
    """Frobenius norm of each block, (blocks, 1, 1)."""
    return jnp.linalg.norm(blocks, axis=(1, 2), keepdims=True)


def transformation(hp, workload):
    beta1 = 1 - hp.one_minus_beta1
    axes = input_axes(workload)
    directions = {a: shampoo(beta1, a) for a in set(jax.tree.leaves(axes)) - {0}}
    return optax.chain(
        optax.partition({0: optax.scale_by_adam(beta1, BETA2), **directions}, axes),
        optax.add_decayed_weights(hp.weight_decay),
        optax.scale_by_learning_rate(
            warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
        ),
    )


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
