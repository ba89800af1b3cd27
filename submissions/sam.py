"""SAM over AdamW: the gradient at the worst point nearby. Foret et al. 2020, arXiv:2010.01412."""

import jax
import optax

from algoperf import from_optax, warmup_cosine

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "radius": {"min": 1e-2, "max": 1e-1, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    outer = optax.adamw(rate, b1=0.9, b2=0.99, weight_decay=hp.weight_decay)
    uphill = optax.chain(optax.contrib.normalize(), optax.sgd(hp.radius))
    # Two gradients a step, both of the same batch: twice the time of a step of AdamW.
    sam = optax.contrib.sam(outer, uphill, opaque_mode=True)

    def update(updates, state, params=None, **extra):
        gradient_at = jax.grad(extra["value_fn"])
        return sam.update(updates, state, params, grad_fn=lambda p, _: gradient_at(p))

    return optax.GradientTransformationExtraArgs(sam.init, update)


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
