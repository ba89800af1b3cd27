"""What workloads measure on a few rows of their data, in a process with devices of its own.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m tests.on_devices FILE WORKLOAD...

FILE gets, for each workload, the training losses of a few steps, the norms of the first gradients,
every evaluation afterwards, and what batch statistics came to; vocabularies are left beside it.
Those of the full suite have their own models (the largest with fewer like parts) on made-up batches
of smaller pictures, shorter speech and text. Its ResNets are in double precision: of the gradient
of the one of 50 layers, two per cent are rounding in single precision, on one device too.
"""

import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from algoperf import registry, sharding
from algoperf.data import ArrayDataset, Arrays, Dataset, hash_of
from algoperf.inputs.extra import DATA_VARIABLE, data_root
from algoperf.spec import ModelState, Params, Split
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, Workload, model_shapes
from tests import batches
from workloads.datasets import vocabularies
from workloads.models.dlrm import DLRM
from workloads.models.language import LanguageModel
from workloads.models.resnet import ResNet
from workloads.models.transformer import Transformer

STEPS = 3
TRAIN, BATCH = 40, 16
EVALUATED, EVAL_BATCH = 21, 20
"""One device measures a batch of 20 and one of 1 padded to 20; eight, one of 21 padded to 24."""
MADE_UP = 8
"""Rows of a made-up batch; of the second one that is evaluated, five count."""
LOSS_SHARE = 1e-3
"""Of its loss that a step takes away, about. Little, since what is compared is how sums are taken,
not how training makes rounding grow."""

SMALLER: Mapping[type, Mapping[str, int]] = {
    DLRM: {"table_rows": 1000},
    LanguageModel: {"layers": 2, "vocabulary": 1000},
    Transformer: {"layers": 2, "vocabulary": 1000, "max_length": 16},
}
"""Of the full suite's models, what eight devices' memory would have to hold eight times."""


ENDING = {"librispeech": False, "wmt": True}
"""Data sets with a vocabulary, and whether one of its words ends a sentence."""


def small(dataset: ArrayDataset) -> ArrayDataset:
    """The data set with the first rows of each split only."""

    def few(split: Split, arrays: Arrays) -> Arrays:
        return {n: a[: TRAIN if split == Split.TRAIN else EVALUATED] for n, a in arrays.items()}

    splits = {split: few(split, arrays) for split, arrays in dataset.load().items()}
    return replace(dataset, load=lambda: splits, sha256=hash_of(splits))


def exact(tree: Any) -> Any:
    """Numbers as precise as this process has them."""
    most = jax.dtypes.canonicalize_dtype(np.float64)
    return jax.tree.map(lambda x: x.astype(most) if x.dtype == np.float32 else x, tree)


class MadeUp(batches.Given):
    """The same batch in every step; two to evaluate, the second of which is part padding.

    Of a mixture of examples in training, evaluation has none.
    """

    def training(self, batch_size: int, seed: int, position: int = 0) -> Iterator[Any]:
        return itertools.repeat(sharding.spread(exact(self.make(MADE_UP))))

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Any]:
        make = batches.of(batches.SHORT, self.name.removesuffix("_mixup"))
        for counted in (MADE_UP, MADE_UP - 3):
            weights = (np.arange(MADE_UP) < counted).astype(np.float32)
            yield sharding.spread(exact({**make(MADE_UP), "weights": weights}))


def made_up(dataset: Dataset) -> MadeUp:
    """One in the form of `dataset`, whose vocabulary it makes where there are metrics of text."""
    name = dataset.name
    if name in ENDING:
        folder = data_root() / name / "prepared"
        folder.mkdir(parents=True, exist_ok=True)
        letters = np.random.default_rng(0).integers(97, 123, (2000, 8), np.uint8)
        texts = (row.tobytes().decode() for row in letters)
        vocabularies.trained(folder, texts, 1000, eos=ENDING[name])
    return MadeUp(batches.of(batches.SHORT, name), name)


@partial(jax.jit, static_argnames="view")
def step(view: WorkloadView, params: Params, state: Any, batch: Any, key: jax.Array) -> Any:
    """Parameters and model state after a step of gradient descent; before it, the loss, and the
    norm of each parameter's gradient."""
    (loss, state), gradient = jax.value_and_grad(
        lambda params: view.loss(params, state, batch, key), has_aux=True
    )(params)
    rate = LOSS_SHARE * loss / optax.tree.norm(gradient, squared=True)
    after = jax.tree.map(lambda p, g: p - rate * g, params, gradient)
    return after, state, loss, jax.tree.map(optax.tree.norm, gradient)


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
    return sharding.put(exact(drawn), sharding.replicated())


def measured(workload: Workload) -> dict[str, Any]:
    view = WorkloadView(workload, 1.0)
    params, state = start(workload)
    training = workload.dataset.training(BATCH, seed=0)
    losses, gradient_norms = [], []
    for number in range(STEPS):
        key = jax.random.key(number)
        params, state, loss, norms = step(view, params, state, next(training), key)
        jax.block_until_ready((params, state))
        losses.append(float(loss))
        gradient_norms = gradient_norms or [float(norm) for norm in jax.tree.leaves(norms)]
    evaluate = Evaluator(workload)
    return {
        "losses": losses,
        "gradient_norms": gradient_norms,
        "statistics": [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(state)],
        "evaluations": {
            str(split): evaluate(params, state, split)
            for split in (Split.EVAL_TRAIN, Split.VALIDATION, Split.TEST)
        },
    }


def reduced(workload: Workload, data: dict[Any, Any]) -> Workload:
    """The workload on less data. `data` keeps what became of a data set, for its other variants."""
    whole, model = workload.dataset, workload.model
    if workload.suite == "full":
        model = replace(model, **SMALLER.get(type(model), {}))
    if whole not in data:
        data[whole] = small(whole) if isinstance(whole, ArrayDataset) else made_up(whole)
    return replace(workload, model=model, dataset=data[whole], eval_batch_size=EVAL_BATCH)


def main(file: Path, names: list[str]) -> None:
    os.environ[DATA_VARIABLE] = str(file.absolute().parent)  # no one's real data
    data: dict[Any, Any] = {}
    found: dict[str, Any] = {}
    for name in names:
        workload = registry.workloads()[name]
        double = workload.suite == "full" and isinstance(workload.model, ResNet)
        jax.config.update("jax_enable_x64", double)
        jax.config.update("jax_numpy_dtype_promotion", "standard" if double else "strict")
        found[name] = measured(reduced(workload, data))
        jax.clear_caches()
    file.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
