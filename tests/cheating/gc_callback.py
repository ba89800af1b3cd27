"""Works whenever Python collects garbage, as it does during evaluation."""

import sys


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    sys.modules["gc"].callbacks.append(lambda *_: sum(range(1000)))


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
