"""Knows the workload by the shapes of its parameters."""


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    import jax

    count = sum(leaf.size for leaf in jax.tree.leaves(workload.parameter_shapes))
    return {402_782: 0.1}.get(count, 0.01)


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
