"""LAWA: AdamW, evaluated at the mean of its latest weights. Kaddour 2022, arXiv:2209.14981."""

import optax

from algoperf import from_optax, warmup_cosine
from algoperf.averaging import average_of, latest

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "checkpoints": {"feasible_points": [4, 8]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, warmup=0.05)
    return optax.chain(
        optax.adamw(rate, b1=1 - hp.one_minus_beta1, b2=0.99, weight_decay=hp.weight_decay),
        latest(hp.checkpoints, every=max(1, workload.step_hint // 100)),
    )


submission = from_optax(
    transformation,
    steps=lambda workload: workload.step_hint,
    evaluate=lambda state, params: average_of(state[-1], params),
)
