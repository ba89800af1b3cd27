"""Starts a process, and keeps the refusal to itself."""

import os


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    try:
        getattr(os, "fo" + "rk")()
    except Exception:
        pass


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
