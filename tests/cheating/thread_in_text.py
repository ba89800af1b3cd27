"""Starts a thread from code that lies in no file."""


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    exec("import threading; threading.Thread(target=int).start()", {})


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
