"""Benchmark harness: which training algorithm reaches the target first, and how sure is that?

Where to look for what (a name with a slash is a package):

    workloads       workload, data, inputs/, metric, parameters, dropout, features, rules,
                    rulesets, held_out, targets, settling, registry, counting
    submissions     submission, contract, view, loading, declarations, sources, tuning, schedules,
                    averaging, preconditioning, selection, mlcommons/, jax_sharding_utils
    a training run  trial, loop, running, dispatch, clock, accounts, keys, operations, flops,
                    compilation, caches, checkpoint, resuming, hosts, sharding
    its folder      records, recording, manifests, tables, attempts, origin, checkpoint_files,
                    publishing, disk
    many runs       study, share, granted, slowed, claims, executors/, processes
    what is allowed check, inspection, guard, sandbox, verify
    the machine     machine, allocation
    command line    cli/, arguments, listing, planned, console
    all of them     spec, errors

The names below are all that a submission needs. They are looked up on first use, so that
reading results (`scoring/`) never imports jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from algoperf.errors import TrainingComplete, UserError
    from algoperf.schedules import warmup_cosine
    from algoperf.spec import TrainState
    from algoperf.submission import from_optax

_HOME = {
    "TrainState": "algoperf.spec",
    "TrainingComplete": "algoperf.errors",
    "UserError": "algoperf.errors",
    "from_optax": "algoperf.submission",
    "warmup_cosine": "algoperf.schedules",
}

__all__ = ["TrainState", "TrainingComplete", "UserError", "from_optax", "warmup_cosine"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'algoperf' has no attribute {name!r}")
