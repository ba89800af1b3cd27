"""NAdamW at one setting for all workloads. Dozat 2016 (ICLR workshop); arXiv:1711.05101."""

import optax

from algoperf import from_optax, warmup_cosine


def transformation(_, workload):
    rate = warmup_cosine(5e-3, workload.step_hint, warmup=0.05)
    return optax.nadamw(rate, b1=0.9, b2=0.99, weight_decay=1e-2)


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
