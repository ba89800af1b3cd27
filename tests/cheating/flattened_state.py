"""Evaluates a model state whose class computes whenever it is taken apart, off the clock."""

import jax


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    pass


class Odd(dict):
    pass


def flatten(odd):
    sum(range(1000))
    return (), None


jax.tree_util.register_pytree_node(Odd, flatten, lambda _, __: Odd())


def params_for_evaluation(workload, train, progress):
    return train.params, Odd()


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
