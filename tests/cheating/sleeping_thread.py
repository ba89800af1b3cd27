"""Lets a thread wait for the evaluation, to work then."""

import threading
import time


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    threading.Thread(target=lambda: time.sleep(100)).start()


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
