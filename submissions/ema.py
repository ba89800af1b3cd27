"""AdamW, evaluated at a moving average of its weights. Ajroldi et al. 2025, arXiv:2502.06761."""

import optax

from algoperf import from_optax, warmup_cosine
from algoperf.averaging import moving_average

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "one_minus_decay": {"min": 1e-2, "max": 1e-1, "scaling": "log"},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, warmup=0.05)
    return optax.chain(
        optax.adamw(rate, b1=1 - hp.one_minus_beta1, b2=0.99, weight_decay=hp.weight_decay),
        moving_average(1 - hp.one_minus_decay),
    )


submission = from_optax(
    transformation,
    steps=lambda workload: workload.step_hint,
    evaluate=lambda state, params: state[-1].average,
)
