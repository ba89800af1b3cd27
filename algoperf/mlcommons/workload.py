"""A workload as the functions of an MLCommons submission see it: their names for our record."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from algoperf import spec
from algoperf.errors import UserError
from algoperf.mlcommons.batches import TheirBatch, form_of
from algoperf.spec import ForwardPassMode, LossType, ParameterType, ShapeTuple, Split
from algoperf.view import WorkloadView, record_of
from algoperf.workload import init_model, model_shapes

_WEIGHTS = {
    ParameterType.WEIGHT,
    ParameterType.CONV_WEIGHT,
    ParameterType.EMBEDDING,
    ParameterType.ATTENTION_OUT,
}
_ACTIVATIONS = {
    LossType.SOFTMAX_CROSS_ENTROPY: jax.nn.softmax,
    LossType.CTC_LOSS: jax.nn.softmax,
    LossType.SIGMOID_CROSS_ENTROPY: jax.nn.sigmoid,
}


class MetricsLogger:
    """Writes what a submission measures to standard output: a trial keeps it in `output.txt`."""

    def append_scalar_metrics(
        self,
        metrics: Mapping[str, Any],
        global_step: int,
        preemption_count: int | None = None,
        is_eval: bool = False,
    ) -> None:
        """A line of JSON: the step and the scalars, which the device is waited for."""
        line = {"global_step": global_step} | {k: float(v) for k, v in metrics.items()}
        sys.stdout.write(json.dumps(line) + "\n")

    def finish(self) -> None:
        """Nothing is left to write."""


class Workload(spec.Workload):
    """What MLCommons' functions get as `workload`; compared and hashed by identity.

    Args:
        view: Our view of it.
        dropout_rate: Instead of the workload's own, unless `model_fn` is given one.
        devices: v0.5: arrays have a leading axis of that length. None: they have none.
    """

    def __init__(
        self, view: WorkloadView, dropout_rate: float | None = None, devices: int | None = None
    ) -> None:
        self._view = view
        self._record = record_of(view)
        self._dropout_rate = dropout_rate
        self._devices = devices
        self.form = form_of(self._record)
        self.metrics_logger: Any = MetricsLogger()

    @contextmanager
    def silent(self, whether: bool) -> Iterator[None]:
        """Within, there is no logger: where jax traces a step there is nothing to log."""
        logger, self.metrics_logger = self.metrics_logger, None if whether else self.metrics_logger
        try:
            yield
        finally:
            self.metrics_logger = logger

    def attach_metrics_logger(self, metrics_logger: Any) -> None:
        self.metrics_logger = metrics_logger

    @property
    def loss_type(self) -> LossType:
        return self._record.loss_type

    @property
    def step_hint(self) -> int:
        return self._view.step_hint

    @property
    def max_allowed_runtime_sec(self) -> float:
        """What the ruleset grants, in self-tuning more than in external tuning [s]."""
        return self._view.budget_s

    @property
    def eval_period_time_sec(self) -> float:
        """Between evaluations; where they go by steps, their share of the budget [s]."""
        if self._record.eval_every_s is not None:
            return self._record.eval_every_s
        share = (self._record.eval_every_steps or self.step_hint) / self.step_hint
        return self._view.budget_s * share

    @property
    def target_metric_name(self) -> str:
        return self._record.validation.metric

    @property
    def validation_target_value(self) -> float:
        return self._record.validation.value

    @property
    def test_target_value(self) -> float:
        return self._record.test.value

    def has_reached_validation_target(self, eval_result: Mapping[str, float]) -> bool:
        """Whether an evaluation, as in `eval_results`, met the target."""
        target = self._record.validation
        return target.met(eval_result[f"validation/{target.metric}"])

    def has_reached_test_target(self, eval_result: Mapping[str, float]) -> bool:
        """The same for the test split, which `eval_results` never have: False without it."""
        target = self._record.test
        return target.met(eval_result.get(f"test/{target.metric}", float("nan")))

    @property
    def eval_batch_size(self) -> int:
        return self._record.eval_batch_size

    @property
    def num_train_examples(self) -> int:
        return self._record.dataset.sizes[Split.TRAIN]

    @property
    def num_eval_train_examples(self) -> int:
        return self._record.dataset.sizes[Split.EVAL_TRAIN]

    @property
    def num_validation_examples(self) -> int:
        return self._record.dataset.sizes[Split.VALIDATION]

    @property
    def num_test_examples(self) -> int:
        return self._record.dataset.sizes[Split.TEST]

    @cached_property
    def param_shapes(self) -> Any:
        """Tree of `ShapeTuple`, the structure of the parameters."""
        return jax.tree.map(lambda leaf: ShapeTuple(leaf.shape), self._view.parameter_shapes)

    @property
    def model_params_types(self) -> Any:
        """Tree of `ParameterType`, the structure of the parameters."""
        return self._view.parameter_types

    def is_output_params(self, param_key: str) -> bool:
        """Whether that is the output layer: its name, or its path with slashes."""
        return param_key in (self._output[-1], "/".join(self._output))

    @cached_property
    def _output(self) -> tuple[str, ...]:
        """Path of the layer with a matrix that is called last."""
        called: list[tuple[str, ...]] = []

        def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            node = self._view.parameter_types
            for name in context.module.path:
                node = node.get(name, {})
            if any(isinstance(kind, ParameterType) and kind in _WEIGHTS for kind in node.values()):
                called.append(context.module.path)
            return call(*args, **kwargs)

        def outputs(variables: Any, batch: Any) -> Any:
            with nn.intercept_methods(note):
                return self._record.model.apply(variables, batch, train=False)

        params, model_state = model_shapes(self._record)
        variables = {"params": params, **model_state}
        jax.eval_shape(outputs, variables, self._record.dataset.signature(batch_size=2))
        return called[-1]

    def init_model_fn(
        self,
        rng: jax.Array,
        dropout_rate: float | None = None,
        aux_dropout_rate: float | None = None,
    ) -> spec.ModelInitState:
        """Fresh parameters and model state; rates are the harness's to set (v0.5)."""
        params, model_state = init_model(self._record, as_key(rng))
        state = model_state or None
        if self._devices is None:
            return params, state
        return jax.tree.map(lambda x: jnp.stack([x] * (self._devices or 1)), (params, state))

    def model_fn(  # noqa: PLR0917 - called by position
        self,
        params: Any,
        augmented_and_preprocessed_input_batch: TheirBatch,
        model_state: Any,
        mode: ForwardPassMode,
        rng: jax.Array | None,
        update_batch_norm: bool,
        dropout_rate: float | jax.Array | None = None,
        use_running_average_bn: bool | None = None,
    ) -> tuple[Any, Any]:
        """The model's outputs and its state: None where it has none.

        Batch statistics are this batch's in training, and where `update_batch_norm` or
        `use_running_average_bn=False` asks for them outside of it; they are kept only if the first
        does.
        """
        state = model_state or {}
        training = mode == ForwardPassMode.TRAIN
        own = bool(state) and (update_batch_norm or use_running_average_bn is False)
        if state and use_running_average_bn and (training or update_batch_norm):
            raise UserError(
                "model_fn was called with use_running_average_bn=True in training or to update the "
                "averages. Here batch norm uses them in evaluation only: leave the argument out."
            )
        rate = self._dropout_rate if dropout_rate is None else dropout_rate
        logits, new_state = self._view.apply(
            params,
            state,
            self.form.to_ours(augmented_and_preprocessed_input_batch),
            as_key(rng),
            train=training or own,
            dropout_rate=rate if training else 0.0,
        )
        return logits, (new_state if update_batch_norm else state) or None

    def loss_fn(
        self,
        label_batch: Any,
        logits_batch: Any,
        mask_batch: jax.Array | None = None,
        label_smoothing: float | jax.Array = 0.0,
    ) -> dict[str, jax.Array]:
        """Loss without regularisation, summed over examples, tokens or known labels.

        Returns:
            `summed` and `n_valid_examples`, scalars whose quotient is the mean, and `per_example`
            (batch,), sums over an example's labels.
        """
        logits = logits_batch[0] if isinstance(logits_batch, tuple) else logits_batch
        batch = self.form.labelled(label_batch, mask_batch, logits.dtype)
        smoothing = {"label_smoothing": label_smoothing} if self.form.smooths else {}
        losses = self._record.loss(logits_batch, batch, **smoothing)
        return {
            "summed": losses.total.sum(),
            "n_valid_examples": losses.weight.sum(),
            "per_example": losses.total,
        }

    def output_activation_fn(self, logits_batch: jax.Array, framework: str = "jax") -> jax.Array:
        """Logits as probabilities, where the loss is a cross-entropy."""
        activation = _ACTIVATIONS.get(self.loss_type)
        return logits_batch if activation is None else activation(logits_batch)


def as_key(rng: jax.Array | None) -> Any:
    """A typed key of what may be a raw one, uint32 (2,)."""
    if rng is None or jnp.issubdtype(rng.dtype, jax.dtypes.prng_key):
        return rng
    return jax.random.wrap_key_data(rng)
