"""Changes the examples that it is measured on."""


def init(workload, params, hyperparameters, key):
    return ()


def cheat(workload):
    splits = workload._workload.dataset._splits
    for arrays in splits.values():
        for array in arrays.values():
            array.flags.writeable = True
            array[...] = 0


def update(workload, train, batch, key, progress):
    if progress.step == 3:
        cheat(workload)
    return train
