"""SOAP: Adam in Shampoo's eigenbasis. Vyas et al. 2024, arXiv:2409.11321."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from algoperf import from_optax, warmup_cosine
from algoperf.preconditioning import blocked, input_axes, one_by_one, transposed

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}

BETA2 = 0.99
BLOCK = 64
EVERY = 10  # steps from one basis to the next


class Blocks(NamedTuple):
    """First moment of the gradient, second moment in the basis, G G^T and G^T G, their bases."""

    first: jax.Array
    second: jax.Array
    left: jax.Array
    right: jax.Array
    left_basis: jax.Array
    right_basis: jax.Array


def soap(beta1, axes):
    """Adam's direction of each block, in the eigenbases of G G^T and G^T G."""

    def init(blocks):
        count, rows, columns = blocks.shape
        left, right = jnp.zeros((count, rows, rows)), jnp.zeros((count, columns, columns))
        zero = jnp.zeros_like(blocks)
        return Blocks(zero, zero, left, right, left, right)

    def update(gradient, state, count):
        left = BETA2 * state.left + (1 - BETA2) * gradient @ transposed(gradient)
        right = BETA2 * state.right + (1 - BETA2) * transposed(gradient) @ gradient
        old = state.left_basis, state.right_basis
        left_basis, right_basis = jax.lax.switch(
            jnp.where(count == 0, 2, (count % EVERY == 0).astype(jnp.int32)),
            [
                lambda: old,
                lambda: (turned(left, old[0]), turned(right, old[1])),
                lambda: (eigenbasis(left), eigenbasis(right)),
            ],
        )

        def rotated(blocks):
            return transposed(left_basis) @ blocks @ right_basis

        # The first gradient makes the basis and no step: in a basis of its own it is diagonal, and
        # what rounding leaves beside the diagonal would be scaled up to Adam's full step.
        used = (count > 0).astype(gradient.dtype)
        first = beta1 * state.first + used * (1 - beta1) * gradient
        second = BETA2 * state.second + used * (1 - BETA2) * rotated(gradient) ** 2
        steps = jnp.maximum(count, 1).astype(jnp.float32)
        scale = jnp.sqrt(second / (1 - BETA2**steps)) + 1e-8
        direction = rotated(first) / (1 - beta1**steps) / scale
        change = left_basis @ direction @ transposed(right_basis)
        return change, Blocks(first, second, left, right, left_basis, right_basis)

    return blocked(init, update, axes, BLOCK)


def eigenbasis(matrices):
    """Eigenvectors as columns, those of the largest eigenvalues first."""
    return one_by_one(jnp.linalg.eigh, matrices)[1][..., ::-1]


def turned(matrices, basis):
    """A basis one power iteration nearer to the eigenvectors (algorithm 4 of the paper)."""
    return one_by_one(jnp.linalg.qr, matrices @ basis)[0]


def transformation(hp, workload):
    beta1 = 1 - hp.one_minus_beta1
    axes = input_axes(workload)
    directions = {a: soap(beta1, a) for a in set(jax.tree.leaves(axes)) - {0}}
    return optax.chain(
        optax.partition({0: optax.scale_by_adam(beta1, BETA2), **directions}, axes),
        optax.add_decayed_weights(hp.weight_decay),
        optax.scale_by_learning_rate(
            warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
        ),
    )


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
