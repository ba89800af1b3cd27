"""Leaves a file for its later trials."""

from pathlib import Path


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    Path("/dev/shm/algoperf-cheat").write_text("what I learned")


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
