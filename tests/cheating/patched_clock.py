"""Makes the process's clock run slowly."""

import sys


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    clock = vars(sys.modules["time"])
    true = clock["perf_counter"]
    clock["perf_counter"] = lambda: true() / 2


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
