"""AdamW that warms its rate up again when the data change. Gupta et al. 2023, arXiv:2308.04014.

At every change the schedule starts anew, over the steps that are left. Before a change it is what
it would be without: where data will change is not used before they have. On data that stay the
same this is AdamW.
"""

import math

import optax

from algoperf import from_optax, warmup_cosine

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    changes = [math.ceil(examples / workload.batch_size) for examples in workload.data_changes]
    starts = [0, *(step for step in changes if step < workload.step_hint)]
    schedules = [
        warmup_cosine(hp.learning_rate, workload.step_hint - start, hp.warmup) for start in starts
    ]
    rate = optax.join_schedules(schedules, starts[1:])
    return optax.adamw(rate, b1=1 - hp.one_minus_beta1, b2=0.99, weight_decay=hp.weight_decay)


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
