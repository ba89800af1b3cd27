"""The control: breaks no rule."""

import optax
from algoperf import from_optax

submission = from_optax(lambda hp, workload: optax.sgd(0.1))
