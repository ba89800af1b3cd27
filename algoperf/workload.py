"""Workload: a frozen record of data, model, loss, metrics, targets and budget.

Values are fields, behaviour is functions passed in; nobody subclasses. A variant is
`replace(base, name=..., ...)`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from algoperf import parameters, rulesets, sharding
from algoperf.data import Dataset
from algoperf.errors import UserError
from algoperf.metric import Loss, Metric
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

    @property
    def base_name(self) -> str:
        """Of a variant its base's name, of a base its own."""
        return self.base or self.name


def numbers(rules: str, name: str) -> dict[str, Any]:
    """What the rules fix for workload `name`: fields of `Workload`, for `**`.

    Targets are measured (`algoperf targets`), so they live in the rules' file, not in code.

    Raises:
        UserError: If there are no such rules, or they have no such workload.
    """
    known = rulesets.load(rules).workloads
    if name not in known:
        raise UserError(
            f"The rules {rules!r} have no entry {name!r} under `workloads`: add one "
            "(docs/workloads.md shows how), or correct the name."
        )
    return {"name": name, **vars(known[name])}


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
    shapes = parameters.unboxed(boxed_shapes(workload))
    return shapes.pop("params"), shapes


def boxed_shapes(workload: Workload) -> dict[str, Any]:
    """The same in one tree; a parameter lies in the box that says its type (`parameters`)."""
    return jax.eval_shape(partial(_init, workload), jax.random.key(0))


def _init(workload: Workload, key: jax.Array) -> dict[str, Any]:
    batch = {
        name: jnp.zeros(spec.shape, spec.dtype)
        for name, spec in workload.dataset.signature(batch_size=1).items()
    }
    return dict(workload.model.init(key, batch, train=False))


def count_parameters(workload: Workload) -> int:
    """How many parameters its model has; traced only, so no memory is needed."""
    return sum(leaf.size for leaf in jax.tree.leaves(boxed_shapes(workload)["params"]))


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
