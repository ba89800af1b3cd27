"""Works while jax traces, which counts as compilation."""

import jax


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    jax.jit(lambda x: x + sum(range(10_000_000)) * 0.0)(1.0)


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
