"""Has jax's tree functions ask the server that forks trials for a process outside the sandbox."""

import os

import jax


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    library = __import__("multi" + "processing")
    server = __import__("multi" + "processing.forkserver", fromlist=["_forkserver"])._forkserver
    server.ensure_running = lambda: None
    process = library.get_context("forkserver").Process(target=os.listdir)
    jax.tree.map(type(process).start, process)


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
