"""Reads the data set by itself, test split and all."""

import sklearn.datasets


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    return sklearn.datasets.load_digits()


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
