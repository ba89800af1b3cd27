"""Starts a thread below what `threading` watches."""

import sys


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    thread = __import__("_" + "thread")
    thread.start_new_thread(int, ())


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
