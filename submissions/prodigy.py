"""Prodigy: Adam that finds its learning rate. Mishchenko & Defazio 2023, arXiv:2306.06101."""

import optax

from algoperf import from_optax, warmup_cosine

search_space = {
    "coefficient": {"min": 0.5, "max": 2.0, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    return optax.contrib.prodigy(
        warmup_cosine(1.0, workload.step_hint, hp.warmup),
        betas=(1 - hp.one_minus_beta1, 0.99),
        beta3=0.999**0.5,  # the memory of the estimate, the paper's also where beta2 is not
        estim_lr0=1e-4,  # the paper's 1e-6 would spend many of a short training's steps on growing
        estim_lr_coef=hp.coefficient,
        weight_decay=hp.weight_decay,
        safeguard_warmup=True,
    )


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
