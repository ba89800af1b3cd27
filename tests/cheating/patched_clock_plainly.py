"""Replaces the clock where everybody sees it."""

import time


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    time.perf_counter = lambda: 0.0


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
