"""ADOPT: Adam, divided by the moment of a step before. Taniguchi et al. 2024, arXiv:2411.02853."""

import optax

from algoperf import from_optax, warmup_cosine

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    return optax.chain(
        optax.contrib.scale_by_adopt(b1=1 - hp.one_minus_beta1, b2=0.99),
        optax.add_decayed_weights(hp.weight_decay),
        optax.scale_by_learning_rate(rate),
    )


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
