"""What workloads measure, in a process of its own: so many devices, a few rows of their data.

    python -m tests.on_devices DEVICES FILE

FILE gets, for each workload of the quick and pocket suites, the training losses of a few steps,
every evaluation afterwards, and what batch statistics came to.
"""

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = (
        f"--xla_force_host_platform_device_count={sys.argv[1]} --xla_backend_optimization_level=0"
    )

import jax
import numpy as np

from algoperf import registry, sharding
from algoperf.data import ArrayDataset, Arrays, hash_of
from algoperf.spec import ModelState, Params, Split
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, Workload, model_shapes

STEPS = 3
TRAIN, BATCH = 40, 16
EVALUATED, EVAL_BATCH = 21, 20
"""One device measures a batch of 20 and one of 1 padded to 20; eight, one of 21 padded to 24."""
RATE = 0.005
"""Small, since what is compared is how sums are taken, not how training makes rounding grow."""


def small(dataset: ArrayDataset) -> ArrayDataset:
    """The data set with the first rows of each split only."""

    def few(split: Split, arrays: Arrays) -> Arrays:
        return {n: a[: TRAIN if split == Split.TRAIN else EVALUATED] for n, a in arrays.items()}

    splits = {split: few(split, arrays) for split, arrays in dataset.load().items()}
    return replace(dataset, load=lambda: splits, sha256=hash_of(splits))


@partial(jax.jit, static_argnames="view")
def step(view: WorkloadView, params: Params, state: Any, batch: Any, key: jax.Array) -> Any:
    """Parameters and model state after a step of gradient descent, and the loss before it."""
    (loss, state), gradient = jax.value_and_grad(
        lambda params: view.loss(params, state, batch, key), has_aux=True
    )(params)
    return jax.tree.map(lambda p, g: p - RATE * g, params, gradient), state, loss


def start(workload: Workload) -> tuple[Params, ModelState]:
    """Parameters and model state, drawn here: to compile their own beginnings takes long."""
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if leaf.ndim > 1:
            drawn = rng.normal(scale=np.prod(leaf.shape[:-1]) ** -0.5, size=leaf.shape)
        else:
            drawn = np.full(leaf.shape, path[-1].key in {"scale", "var"})
        return drawn.astype(leaf.dtype)

    drawn = jax.tree_util.tree_map_with_path(draw, model_shapes(workload))
    return sharding.put(drawn, sharding.replicated())


def measured(workload: Workload) -> dict[str, Any]:
    view = WorkloadView(workload, 1.0)
    params, state = start(workload)
    batches = workload.dataset.training(BATCH, seed=0)
    losses = []
    for number in range(STEPS):
        params, state, loss = step(view, params, state, next(batches), jax.random.key(number))
        losses.append(float(loss))
    evaluate = Evaluator(workload)
    return {
        "losses": losses,
        "statistics": [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(state)],
        "evaluations": {
            str(split): evaluate(params, state, split)
            for split in (Split.EVAL_TRAIN, Split.VALIDATION, Split.TEST)
        },
    }


def main(file: Path) -> None:
    data: dict[ArrayDataset, ArrayDataset] = {}
    found: dict[str, Any] = {}
    for name, workload in registry.workloads().items():
        if workload.suite == "full":
            continue
        if workload.dataset not in data:
            data[workload.dataset] = small(workload.dataset)
        few = replace(workload, dataset=data[workload.dataset], eval_batch_size=EVAL_BATCH)
        found[name] = measured(few)
        jax.clear_caches()
    file.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[2]))
