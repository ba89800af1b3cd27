"""Sets itself a target that it meets."""

from algoperf.spec import Target


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    easy = Target("mse", 1e6, higher_is_better=False)
    object.__setattr__(workload._workload, "validation", easy)


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
