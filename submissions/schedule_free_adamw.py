"""Schedule-free AdamW: an average for a schedule. Defazio et al. 2024, arXiv:2405.15682."""

import jax.numpy as jnp
import optax

from algoperf import from_optax

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "beta1": {"feasible_points": [0.9, 0.95]},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    def rate(count):
        return hp.learning_rate * jnp.minimum(1.0, (count + 1) / (hp.warmup * workload.step_hint))

    adamw = optax.chain(
        optax.scale_by_rms(decay=0.99, eps_in_sqrt=False, bias_correction=True),
        optax.add_decayed_weights(hp.weight_decay),
        optax.scale_by_learning_rate(rate),
    )
    return optax.contrib.schedule_free(adamw, rate, b1=hp.beta1)  # the average's momentum


# No rate falls to 0: it goes on to the target or the end of the budget.
submission = from_optax(transformation, evaluate=optax.contrib.schedule_free_eval_params)
