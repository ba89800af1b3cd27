"""The types that all packages share. No jax at run time: scoring reads this module too.

The second half are the names that MLCommons' submissions import from `algoperf.spec`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from algoperf.errors import TrainingComplete

if TYPE_CHECKING:
    import jax

Batch = Mapping[str, "jax.Array"]
"""Arrays, most with a leading batch dimension: `inputs`, `targets` and, in evaluation, `weights`
(float, shape (batch,), 0 for a padded row). Graphs have nodes and edges instead of inputs."""

Params = Any
"""Pytree of float arrays: the trainable parameters."""

ModelState = Any
"""Pytree of arrays that the model updates itself (batch-norm statistics); `{}` if it has none."""


class Split(StrEnum):
    """Which examples. `EVAL_TRAIN` is the part of `TRAIN` on which train metrics are taken."""

    TRAIN = "train"
    EVAL_TRAIN = "eval_train"
    VALIDATION = "validation"
    TEST = "test"


class LossType(StrEnum):
    SOFTMAX_CROSS_ENTROPY = "softmax_cross_entropy"
    SIGMOID_CROSS_ENTROPY = "sigmoid_cross_entropy"
    MEAN_SQUARED_ERROR = "mean_squared_error"
    MEAN_ABSOLUTE_ERROR = "mean_absolute_error"
    CTC_LOSS = "ctc_loss"


class ParameterType(StrEnum):
    """What a parameter is for, as its layer declares it (the 15 types of AlgoPerf's rules)."""

    WEIGHT = "weight"
    BIAS = "bias"
    CONV_WEIGHT = "conv_weight"
    BATCH_NORM_SCALE = "batch_norm_scale"
    BATCH_NORM_BIAS = "batch_norm_bias"
    LAYER_NORM_SCALE = "layer_norm_scale"
    LAYER_NORM_BIAS = "layer_norm_bias"
    EMBEDDING = "embedding"
    ATTENTION_Q = "attention_q"
    ATTENTION_K = "attention_k"
    ATTENTION_V = "attention_v"
    ATTENTION_OUT = "attention_out"
    ATTENTION_QKV = "attention_qkv"
    ATTENTION_KV = "attention_kv"
    ATTENTION_BIAS = "attention_bias"


class Status(StrEnum):
    """How a trial ended."""

    TARGET_REACHED = "target_reached"
    BUDGET_EXHAUSTED = "budget_exhausted"
    DIVERGED = "diverged"
    FINISHED_EARLY = "finished_early"
    FAILED = "failed"


@dataclass(frozen=True)
class Target:
    """The value of a metric that counts as the result."""

    metric: str
    value: float
    higher_is_better: bool

    def met(self, value: float) -> bool:
        """Whether `value` is at or beyond the target. NaN never is."""
        return value >= self.value if self.higher_is_better else value <= self.value

    def better(self, left: float, right: float) -> bool:
        """Whether `left` is strictly better than `right`; anything is better than NaN."""
        if math.isnan(left) or math.isnan(right):
            return not math.isnan(left)
        return left > right if self.higher_is_better else left < right


class TrainState(NamedTuple):
    """Everything that training changes; a pytree.

    `optimizer_state` is whatever the submission's `init` returned: any pytree of arrays.
    """

    params: Params
    model_state: ModelState
    optimizer_state: Any


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: where the trial stood and what it measured.

    Attributes:
        step: Updates done.
        time_s: Submission time [s].
        metrics: `"<split>/<metric>"` to value, splits `train`, `validation`, `test`.
    """

    step: int
    time_s: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Progress:
    """What a submission may know about the run at the start of a step. Read-only.

    Attributes:
        step: Updates done so far.
        time_s: Submission time so far [s], to within the work still queued on the device.
        budget_s: Submission time at which the trial is ended [s].
        evaluations: Train and validation metrics so far, oldest first; never the test split.
    """

    step: int
    time_s: float
    budget_s: float
    evaluations: tuple[Evaluation, ...]


# What follows is for submissions in MLCommons' form (algoperf/mlcommons), which annotate their
# functions with these names and compare with these members; nothing else here uses them.


class ForwardPassMode(StrEnum):
    """What a call of MLCommons' `model_fn` is for."""

    TRAIN = "train"
    EVAL = "eval"


@dataclass(frozen=True)
class ShapeTuple:
    """A parameter's shape; a leaf of a pytree, which a tuple is not."""

    shape_tuple: tuple[int, ...]


class Workload:
    """The class of what MLCommons' submissions get as `workload`; made in algoperf/mlcommons."""


TrainingCompleteError = TrainingComplete
"""Raised by `update_params`: it has nothing more to gain."""

Tensor = Any
Shape = tuple[int, ...] | ShapeTuple
ParameterKey = str
ParameterContainer = Any
ParameterShapeTree = Mapping[str, Any]
ParameterTypeTree = Mapping[str, Any]
RandomState = Any
OptimizerState = Any
Hyperparameters = Any
Timing = int
Steps = int
ModelAuxiliaryState = Any
ModelInitState = tuple[ParameterContainer, ModelAuxiliaryState]
UpdateReturn = tuple[OptimizerState, ParameterContainer, ModelAuxiliaryState]
InitOptimizerFn = Callable[..., OptimizerState]
UpdateParamsFn = Callable[..., UpdateReturn]
PrepareForEvalFn = Callable[..., UpdateReturn]
DataSelectionFn = Callable[..., Mapping[str, Any]]
InputQueue = Iterator[Mapping[str, Any]]
