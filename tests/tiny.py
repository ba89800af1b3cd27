"""A workload that compiles in a moment: two classes in the plane, a linear model."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import numpy as np

from algoperf.data import ArrayDataset, Arrays, hash_of
from algoperf.spec import Batch, LossType, Split, Target
from algoperf.workload import Workload
from workloads.losses import classification_metrics, softmax_cross_entropy
from workloads.models.layers import dense


class Linear(nn.Module):
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(batch["inputs"])
        return dense(2, output=True)(x)


def load() -> Mapping[Split, Arrays]:
    rng = np.random.default_rng(0)

    def part(count: int) -> Arrays:
        targets = rng.integers(0, 2, count).astype(np.int32)
        inputs = rng.normal(size=(count, 6)).astype(np.float32) + targets[:, None]
        return {"inputs": inputs.astype(np.float32), "targets": targets}

    return {split: part(10 + place) for place, split in enumerate(Split)}


dataset = ArrayDataset("plane", load, hash_of(load()))

workload = Workload(
    name="tiny",
    suite="tests",
    model=Linear(),
    dataset=dataset,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=classification_metrics,
    validation=Target("cross_entropy", 0.5, higher_is_better=False),
    test=Target("cross_entropy", 0.5, higher_is_better=False),
    budget_s=1000.0,
    step_hint=500,
    batch_size=4,
    eval_batch_size=8,
    eval_every_steps=5,
)

unreachable = dataclasses.replace(
    workload, validation=dataclasses.replace(workload.validation, value=-1.0)
)


def unreachable_for(steps: int) -> Workload:
    """A workload without a reachable target, with a step hint after which a submission may stop."""
    return dataclasses.replace(unreachable, step_hint=steps)
