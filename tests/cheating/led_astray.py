"""Puts a link in its folder, for others to write through."""

import os
from pathlib import Path


def init(workload, params, hyperparameters, key):
    return ()


def here():
    return Path(os.readlink("/proc/self/fd/1")).parent


def other():
    """Another submission's trial."""
    return next(here().parents[3].glob("honest/*/*/trial_1"))


def cheat(workload):
    (here() / "manifest.json").symlink_to(other() / "manifest.json")


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
