"""Adafactor: second moments by rows and columns only. Shazeer & Stern 2018, arXiv:1804.04235."""

import optax

from algoperf import from_optax, warmup_cosine

search_space = {
    "learning_rate": {"min": 3e-2, "max": 2e-1, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    # The rate is relative to a parameter's size; decay as in AdamW, so that it falls with the rate.
    return optax.chain(
        optax.scale_by_factored_rms(min_dim_size_to_factor=32),
        optax.clip_by_block_rms(1.0),
        optax.scale_by_param_block_rms(),
        optax.ema(1 - hp.one_minus_beta1, debias=False),
        optax.add_decayed_weights(hp.weight_decay),
        optax.scale_by_learning_rate(rate),
    )


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
