"""Workload: a frozen record of data, model, loss, metrics, targets and budget.

Values are fields, behaviour is functions passed in; nobody subclasses. A variant is
`replace(base, name=..., ...)`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from algoperf import dropout, parameters, rulesets, sharding
from algoperf.data import Dataset
from algoperf.features import last_layer_features
from algoperf.metric import Loss, Metric, SumCount
from algoperf.spec import Batch, LossType, ModelState, Params, Split, Target


@dataclass(frozen=True)
class Standing:
    """Where a trial stands at an evaluation.

    Attributes:
        trial: `<submission>/study_<n>/<workload>/trial_<k>`.
        step: Updates done.
        examples: Training examples seen.
        flops: Floating-point operations done; NaN where they cannot be counted.
        parameters: How many the model has.
    """

    trial: str
    step: int
    examples: int
    flops: float
    parameters: int


@dataclass(frozen=True)
class Extra:
    """A table that every evaluation writes beside its metrics; nothing depends on it.

    Attributes:
        name: The records keep it as `<name>.csv`, evaluation after evaluation.
        table: (model, variables, standing) -> column names to values, all equally many, on the
            host; the same columns each time. It is called off the clock, as part of evaluation.
    """

    name: str
    table: Callable[[nn.Module, Mapping[str, Any], Standing], Mapping[str, Sequence[Any]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """Data, model, loss and metrics, and the result that counts.

    Compared and hashed by identity, so that it can be a static argument of `jax.jit`.

    Attributes:
        name: Unique; the file that defines it bears its base's name.
        suite: The suite that it belongs to.
        base: Name of the workload that this is a variant of; None for a base.
        mirrors: The full suite's workload that this one is a small relative of, if any.
        model: Called as `model(batch, train)`; declares every parameter's type.
        dataset: Where examples come from.
        loss_type: Which kind of loss, for submissions that depend on it.
        loss: Per-example training loss.
        metrics: What an evaluation measures, by name.
        extra: What it writes beside them, if anything.
        validation: The target that ends a trial.
        test: The target of the test split; reported, not scored.
        budget_s: Submission time allowed in external tuning [s].
        step_hint: How many steps a tuned baseline needs, for schedules.
        batch_size: Examples in a training batch unless the submission chooses.
        eval_batch_size: Examples in an evaluation batch.
        eval_every_steps: Evaluate each so many steps; None to evaluate by time.
        eval_every_s: Evaluate each so many seconds of submission time; None to go by steps.
        compile_counts: Whether compilation is charged to the submission, as the full suite does.
    """

    name: str
    suite: str
    base: str | None = None
    mirrors: str | None = None
    model: nn.Module
    dataset: Dataset
    loss_type: LossType
    loss: Loss
    metrics: Mapping[str, Metric]
    validation: Target
    test: Target
    budget_s: float
    step_hint: int
    batch_size: int
    eval_batch_size: int
    eval_every_steps: int | None = None
    eval_every_s: float | None = None
    compile_counts: bool = False
    extra: Extra | None = None


def numbers(rules: str, name: str) -> dict[str, Any]:
    """What the rules fix for workload `name`: fields of `Workload`, for `**`.

    Targets are measured (`algoperf targets`), so they live in the rules' file, not in code.
    """
    return {"name": name, **vars(rulesets.load(rules).workloads[name])}


# Run once, and every parameter is a program of its own: most of the time is the compiler's.
_QUICKLY_COMPILED = {"xla_backend_optimization_level": 1}


@partial(jax.jit, static_argnames="workload", compiler_options=_QUICKLY_COMPILED)
def init_model(workload: Workload, key: jax.Array) -> tuple[Params, ModelState]:
    """Fresh parameters and model state, replicated over the devices."""
    variables = parameters.unboxed(_init(workload, key))
    variables = jax.lax.with_sharding_constraint(variables, sharding.replicated())
    return variables.pop("params"), variables


def model_shapes(workload: Workload) -> tuple[Params, ModelState]:
    """What `init_model` returns, as `jax.ShapeDtypeStruct`; computes nothing."""
    variables = parameters.unboxed(jax.eval_shape(partial(_init, workload), jax.random.key(0)))
    return variables.pop("params"), variables


def _init(workload: Workload, key: jax.Array) -> dict[str, Any]:
    batch = {
        name: jnp.zeros(spec.shape, spec.dtype)
        for name, spec in workload.dataset.signature(batch_size=1).items()
    }
    return dict(workload.model.init(key, batch, train=False))


def count_parameters(workload: Workload) -> int:
    """How many parameters its model has; traced only, so no memory is needed."""
    shapes = jax.eval_shape(partial(_init, workload), jax.random.key(0))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def describe(workload: Workload, parameters: int) -> dict[str, Any]:
    """What `algoperf list workloads --json` shows; a target that is not set is None."""
    target = workload.validation
    return {
        "name": workload.name,
        "suite": workload.suite,
        "base": workload.base,
        "mirrors": workload.mirrors,
        "dataset": workload.dataset.name,
        "loss_type": str(workload.loss_type),
        "parameters": parameters,
        "metric": target.metric,
        "target": None if math.isnan(target.value) else target.value,
        "higher_is_better": target.higher_is_better,
        "test_target": None if math.isnan(workload.test.value) else workload.test.value,
        "budget_s": workload.budget_s if math.isfinite(workload.budget_s) else None,
        "step_hint": workload.step_hint,
        "data_ready": workload.dataset.missing() is None,
    }


class WorkloadView:
    """The read-only view of a workload that a submission gets.

    It can be a static argument of `jax.jit` (hashed by identity; a trial has one view). It leads
    neither to the data nor to the evaluation.
    """

    def __init__(self, workload: Workload, budget_s: float) -> None:
        self._workload = workload
        self._model = workload.model
        self._loss = workload.loss
        boxed = jax.eval_shape(partial(_init, workload), jax.random.key(0))
        self._boxed = boxed.pop("params")
        self._model_state = boxed
        self._one, self._two = (dict(workload.dataset.signature(count)) for count in (1, 2))
        self.loss_type = workload.loss_type
        self.step_hint = workload.step_hint
        self.batch_size = workload.batch_size
        self.budget_s = budget_s
        self.validation_target = workload.validation
        self.data_changes = workload.dataset.changes

    @cached_property
    def parameter_types(self) -> Params:
        """Tree of `ParameterType`, the structure of the parameters."""
        return parameters.types_of(self._boxed)

    @cached_property
    def output_parameters(self) -> Params:
        """Tree of bool, the structure of the parameters: whether it is the last layer's."""
        return parameters.outputs_of(self._boxed)

    @cached_property
    def parameter_shapes(self) -> Params:
        """Tree of `jax.ShapeDtypeStruct`, the structure of the parameters."""
        return parameters.unboxed(self._boxed)

    @cached_property
    def state_shapes(self) -> ModelState:
        """The same of the model's state."""
        return parameters.unboxed(self._model_state)

    @cached_property
    def row_shapes(self) -> Mapping[str, jax.ShapeDtypeStruct] | None:
        """Of each array of a batch, what one example has; None where examples are not rows.

        A graph has its nodes and edges anywhere in a batch's arrays: it cannot be taken out.
        """
        if any(array.shape[:1] != (2,) for array in self._two.values()):
            return None
        return {n: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for n, a in self._one.items()}

    @cached_property
    def output_shapes(self) -> Any:
        """What `apply` returns for a batch of one example, as `jax.ShapeDtypeStruct`."""
        apply = partial(self.apply, train=False)
        return jax.eval_shape(apply, self.parameter_shapes, self._model_state, self._one)[0]

    def apply(
        self,
        params: Params,
        model_state: ModelState,
        batch: Batch,
        key: jax.Array | None = None,
        *,
        train: bool,
        dropout_rate: float | jax.Array | None = None,
    ) -> tuple[Any, ModelState]:
        """The model's outputs, and its state after the call.

        Args:
            params: Parameters.
            model_state: Model state; unchanged unless `train`.
            batch: `inputs`, `targets`, optionally `weights`.
            key: Randomness for dropout; needed if `train`.
            train: Whether dropout is on and batch statistics are of this batch.
            dropout_rate: Instead of the workload's, wherever the model has dropout; without effect
                on models that have none. May be traced by jax.
        """
        variables = {"params": params, **model_state}
        if not train:
            return self._model.apply(variables, batch, train=False), model_state
        model = self._model
        if dropout_rate is not None and hasattr(model, "dropout_rate"):
            model = model.clone(dropout_rate=dropout_rate)
        rngs = None if key is None else {"dropout": key}
        with dropout.traceable(dropout_rate):
            return model.apply(variables, batch, train=True, rngs=rngs, mutable=list(model_state))

    def per_example_loss(
        self,
        params: Params,
        model_state: ModelState,
        batch: Batch,
        key: jax.Array | None = None,
        *,
        train: bool,
        dropout_rate: float | jax.Array | None = None,
    ) -> tuple[SumCount, ModelState]:
        """Loss and weight of each example, both (batch,), and the model state after the call.

        Arguments as in `apply`.
        """
        outputs, model_state = self.apply(
            params, model_state, batch, key, train=train, dropout_rate=dropout_rate
        )
        return self._loss(outputs, batch), model_state

    def loss(
        self,
        params: Params,
        model_state: ModelState,
        batch: Batch,
        key: jax.Array,
        *,
        dropout_rate: float | jax.Array | None = None,
    ) -> tuple[jax.Array, ModelState]:
        """Mean training loss (scalar) and the new model state.

        In the form that `jax.value_and_grad(..., has_aux=True)` takes; arguments as in `apply`.
        """
        losses, model_state = self.per_example_loss(
            params, model_state, batch, key, train=True, dropout_rate=dropout_rate
        )
        return losses.mean, model_state

    def example_losses(self, params: Params, model_state: ModelState, batch: Batch) -> jax.Array:
        """Mean loss of each example, (batch,), without dropout: one pass forward, to select by.

        0 where an example has no weight.
        """
        (total, weight), _ = self.per_example_loss(params, model_state, batch, train=False)
        return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), 0)

    def features(self, params: Params, model_state: ModelState, batch: Batch) -> jax.Array:
        """What the last layer sees of each example, (batch, width), without dropout.

        A mean over places where outputs have places. What is jitted together with
        `example_losses` shares its pass.
        """
        return last_layer_features(self._model, {"params": params, **model_state}, batch)


def record_of(view: WorkloadView) -> Workload:
    """The workload behind a view: for adapters of the harness, not for submissions."""
    return view._workload  # noqa: SLF001 - the view is of this module


class Evaluator:
    """Measures parameters on the harness's own copy of the workload.

    Works on one batch at a time, so a split never has to fit on the device.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        model, metrics = workload.model, workload.metrics

        @jax.jit
        def totals(params: Params, model_state: ModelState, batch: Batch) -> dict[str, Any]:
            variables = {"params": params, **model_state}
            outputs = {
                predict: predict(model, variables, batch)
                for predict in dict.fromkeys(metric.predict for metric in metrics.values())
            }
            left = {
                n: m.reduce(m.per_example(outputs[m.predict], batch)) for n, m in metrics.items()
            }
            # Whole on every device, since a process can fetch only what its own devices hold.
            return jax.lax.with_sharding_constraint(left, sharding.replicated())

        self._totals = totals

    def compile(self, params: Params, model_state: ModelState) -> None:
        """Compiles what evaluates such parameters, for every size of batch that there is."""
        workload = self._workload
        sizes = workload.dataset.sizes
        evaluated = (Split.EVAL_TRAIN, Split.VALIDATION, Split.TEST)
        splits = {min(sizes[split], workload.eval_batch_size): split for split in evaluated}
        for split in splits.values():
            batches = workload.dataset.evaluation(split, workload.eval_batch_size)
            jax.block_until_ready(self._totals(params, model_state, next(iter(batches))))

    def __call__(self, params: Params, model_state: ModelState, split: Split) -> dict[str, float]:
        """Every metric on `split`, by name."""
        batches = self._workload.dataset.evaluation(split, self._workload.eval_batch_size)
        # Fetched one by one: no more than one batch is ever held or under way.
        parts = [jax.device_get(self._totals(params, model_state, batch)) for batch in batches]
        return {
            name: metric.finish(metric.combine([part[name] for part in parts]))
            for name, metric in self._workload.metrics.items()
        }
