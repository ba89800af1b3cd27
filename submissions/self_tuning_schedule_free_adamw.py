"""Schedule-free AdamW at one setting for all workloads. Defazio et al. 2024, arXiv:2405.15682."""

import jax.numpy as jnp
import optax

from algoperf import from_optax


def transformation(_, workload):
    def rate(count):
        return 6e-3 * jnp.minimum(1.0, (count + 1) / (0.05 * workload.step_hint))

    adamw = optax.chain(
        optax.scale_by_rms(decay=0.99, eps_in_sqrt=False, bias_correction=True),
        optax.add_decayed_weights(1e-2),
        optax.scale_by_learning_rate(rate),
    )
    return optax.contrib.schedule_free(adamw, rate, b1=0.9)  # the average's momentum


# No rate falls to 0: it goes on to the target or the end of the budget.
submission = from_optax(transformation, evaluate=optax.contrib.schedule_free_eval_params)
