"""Looks through the process's memory for the harness's objects."""

import gc


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    return [found for found in gc.get_objects() if type(found).__name__ == "Clock"]


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
