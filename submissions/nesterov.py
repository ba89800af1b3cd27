"""SGD with Nesterov momentum. Nesterov 1983; Sutskever et al. 2013 (ICML) for the form."""

import optax

from algoperf import from_optax, warmup_cosine

search_space = {
    "learning_rate": {"min": 5e-2, "max": 4e-1, "scaling": "log"},
    "one_minus_beta1": {"min": 0.08, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 1e-6, "max": 1e-4, "scaling": "log"},
    "warmup": {"feasible_points": [0.05, 0.1]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    momentum = optax.sgd(rate, momentum=1 - hp.one_minus_beta1, nesterov=True)
    return optax.chain(optax.add_decayed_weights(hp.weight_decay), momentum)


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
