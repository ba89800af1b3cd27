"""Leaves a file as soon as anybody looks at its search space."""

from pathlib import Path

import optax

from algoperf import from_optax

Path("/dev/shm/algoperf-cheat").write_text("I was planned")

search_space = {"learning_rate": {"min": 1e-3, "max": 1e-1, "scaling": "log"}}
submission = from_optax(lambda hp, workload: optax.sgd(hp.learning_rate))
