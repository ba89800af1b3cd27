"""Lion: the sign of a momentum, found by program search. Chen et al. 2023, arXiv:2302.06675."""

import optax

from algoperf import from_optax, warmup_cosine

# A third of AdamW's rates, and larger decay (section 5 of the paper).
search_space = {
    "learning_rate": {"min": 1e-3, "max": 4e-3, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 1e-2, "max": 1.0, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    return optax.lion(rate, b1=1 - hp.one_minus_beta1, b2=0.99, weight_decay=hp.weight_decay)


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
