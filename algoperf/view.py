"""What a submission gets of a workload: its model and loss, and no way to the data."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp

from algoperf import dropout, parameters
from algoperf.features import last_layer_features
from algoperf.metric import SumCount
from algoperf.spec import Batch, ModelState, Params
from algoperf.workload import Workload, boxed_shapes


class WorkloadView:
    """The read-only view of a workload that a submission gets.

    It can be a static argument of `jax.jit` (hashed by identity; a trial has one view). It leads
    neither to the data nor to the evaluation.
    """

    def __init__(self, workload: Workload, budget_s: float) -> None:
        self._workload = workload
        self._model = workload.model
        self._loss = workload.loss
        boxed = boxed_shapes(workload)
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
