"""Trains on the test split, which it finds behind the view."""

from algoperf.spec import Split


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    split = list(Split)[-1]
    return list(workload._workload.dataset.evaluation(split, 100))


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
