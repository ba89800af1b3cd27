"""Works in `init`, which is not meant to be timed."""

import time


def update(workload, train, batch, key, progress):
    return train


def init(workload, params, hyperparameters, key):
    until = time.monotonic() + 4
    while time.monotonic() < until:
        pass
    return ()
