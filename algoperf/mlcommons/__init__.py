"""Submissions in the form of MLCommons' AlgoPerf benchmark, JAX, run here unchanged.

Rules v0.6 (`jit`, sharding) and, as far as it goes, v0.5 (`pmap`): docs/mlcommons.md.

    loading.py      the file, its search space, and what is wrong with them
    older.py        names of older rules, and of older versions of jax
    sizes.py        which batch size `get_batch_size` means for a workload that it does not know
    batches.py      our batches in their form and back
    workload.py     the workload as their functions see it
    state.py        their optimizer state as a pytree of arrays
    adapter.py      their five functions as our `Algorithm`
"""
