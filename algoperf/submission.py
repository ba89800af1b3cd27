"""What a training algorithm must and may define.

A submission is one Python file; what is hashed and kept with its results is all of it. The
short form:

    search_space = {"learning_rate": {"min": 1e-4, "max": 1e-1, "scaling": "log"}}
    submission = from_optax(lambda hp, workload: optax.adamw(hp.learning_rate))

The long form defines `init` and `update`, and what it wants of `batch_size`, `select_batch` and
`params_for_evaluation`; their signatures are in `SIGNATURES`. A file without a `search_space`
is a self-tuning submission.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from algoperf import tuning
from algoperf.data import BatchStream
from algoperf.dispatch import Traced
from algoperf.spec import Batch, ModelState, Params, Progress, TrainState
from algoperf.view import WorkloadView
from algoperf.workload import Workload

SIGNATURES = {
    "init": ("workload", "params", "hyperparameters", "key"),
    "update": ("workload", "train", "batch", "key", "progress"),
    "batch_size": ("workload",),
    "select_batch": ("workload", "batches", "train", "key", "progress"),
    "params_for_evaluation": ("workload", "train", "progress"),
}
REQUIRED = ("init", "update")


def _workload_batch_size(workload: WorkloadView) -> int:
    return workload.batch_size


def _next_batch(
    workload: WorkloadView,
    batches: BatchStream,
    train: TrainState,
    key: jax.Array,
    progress: Progress,
) -> Batch:
    return next(batches)


def _current_params(
    workload: WorkloadView,
    train: TrainState,
    progress: Progress,
) -> tuple[Params, ModelState]:
    return train.params, train.model_state


@dataclass(frozen=True)
class Algorithm:
    """The functions of a training algorithm; what a submission leaves out has a default here.

    Attributes:
        init: (workload, params, hyperparameters, key) -> optimizer state, any pytree of arrays.
            `hyperparameters` is a named tuple, or None in self-tuning. On the clock beyond a
            second, or a hundredth of the budget if that is more.
        update: (workload, train, batch, key, progress) -> the next `TrainState`. May raise
            `TrainingComplete`. On the clock.
        batch_size: (workload) -> examples in a batch, over all devices; on the clock as `init` is.
        select_batch: (workload, batches, train, key, progress) -> a batch; `next(batches)` is
            the next one in random order. On the clock. `update` gets what it returns, which may
            be more than a batch if the submission's `update` takes that as well as a batch.
        params_for_evaluation: (workload, train, progress) -> parameters and model state to
            evaluate, training goes on from `train`; or a `TrainState` to evaluate and to go on
            from. On the clock.
        notes: (workload's record) -> what whoever runs it there has to be told, for the harness's
            adapters.
    """

    init: Callable[[WorkloadView, Params, Any, jax.Array], Any]
    update: Callable[[WorkloadView, TrainState, Batch, jax.Array, Progress], TrainState]
    batch_size: Callable[[WorkloadView], int] = _workload_batch_size
    select_batch: Callable[[WorkloadView, BatchStream, TrainState, jax.Array, Progress], Batch] = (
        _next_batch
    )
    params_for_evaluation: Callable[
        [WorkloadView, TrainState, Progress], TrainState | tuple[Params, ModelState]
    ] = _current_params
    notes: Callable[[Workload], tuple[str, ...]] = lambda _: ()


class _OptaxState(flax.struct.PyTreeNode):
    """State of a submission made by `from_optax`.

    Attributes:
        inner: The state of the optax transformation.
        floats: Hyperparameters that jax traces: all points share one compilation.
        fixed: The others, as (name, value).
    """

    inner: optax.OptState
    floats: dict[str, jax.Array]
    fixed: tuple[tuple[str, tuning.Value], ...] = flax.struct.field(pytree_node=False)

    @property
    def hyperparameters(self) -> Any:
        """The point, for functions that a submission defines beside `from_optax`."""
        return _point(self.floats, self.fixed)


def _point(floats: dict[str, jax.Array], fixed: tuple[tuple[str, tuning.Value], ...]) -> Any:
    """The hyperparameters as the submission's function gets them; None in self-tuning."""
    values: dict[str, Any] = {**floats, **dict(fixed)}
    return tuning.hyperparameters(values) if values else None


Transformation = Callable[[Any, WorkloadView], optax.GradientTransformation]

Evaluate = Callable[[Any, Params], Params]
"""(the transformation's state, parameters) -> parameters to evaluate."""


def from_optax(
    transformation: Transformation,
    *,
    steps: Callable[[WorkloadView], int] | None = None,
    evaluate: Evaluate | None = None,
) -> Algorithm:
    """A training algorithm from an optax transformation of the mean loss's gradient.

    A transformation that takes extra arguments is given, beside the gradient, `value`, the loss,
    and `value_fn`, from parameters to the loss of the same batch.

    Args:
        transformation: (hyperparameters, workload) -> `optax.GradientTransformation`. Called
            while jax traces; hyperparameters that are floats are traced values, unless it raises
            then: it gets Python numbers instead, which costs a compilation for each point.
        steps: (workload) -> after how many steps training is complete; None to go on until the
            target or the budget ends it.
        evaluate: (the transformation's state, parameters) -> parameters to evaluate, where they
            are not the ones that are trained; an average of them, for instance. Compiled.
    """

    def init(workload: WorkloadView, params: Params, hyperparameters: Any, key: jax.Array) -> Any:
        del key
        point = {} if hyperparameters is None else hyperparameters._asdict()
        floats = {n: jnp.asarray(v) for n, v in point.items() if isinstance(v, float)}
        fixed = tuple((n, v) for n, v in point.items() if not isinstance(v, float))

        def start(floats: dict[str, jax.Array], params: Params) -> _OptaxState:
            hp = _point(floats, fixed)
            # What a transformation keeps of the parameters is its own: a step gives both away.
            kept = jax.tree.map(jnp.copy, transformation(hp, workload).init(params))
            return _OptaxState(kept, floats, fixed)

        def probe(floats: dict[str, jax.Array], params: Params) -> Any:
            zero = jnp.zeros(())
            return _change(
                transformation,
                workload,
                start(floats, params),
                params=params,
                gradient=params,
                loss=lambda _: zero,
                value=zero,
            )

        try:
            jax.eval_shape(probe, floats, params)
        except Exception:  # what other people's Python says of a traced value may be anything
            if not floats:
                raise
            floats, fixed = {}, tuple(point.items())
        return jax.jit(start)(floats, params)

    update = Traced(partial(_optax_step, transformation), steps)
    if evaluate is None:
        return Algorithm(init, update)

    def params_for_evaluation(
        workload: WorkloadView, train: TrainState, progress: Progress
    ) -> tuple[Params, ModelState]:
        return _evaluated(evaluate, train.optimizer_state, train.params), train.model_state

    return Algorithm(init, update, params_for_evaluation=params_for_evaluation)


@partial(jax.jit, static_argnames="evaluate")
def _evaluated(evaluate: Evaluate, state: _OptaxState, params: Params) -> Params:
    return evaluate(state.inner, params)


@partial(jax.jit, static_argnames=("transformation", "workload"), donate_argnames="train")
def _optax_step(
    transformation: Transformation,
    workload: WorkloadView,
    train: TrainState,
    batch: Batch,
    key: jax.Array,
) -> TrainState:
    def loss(params: Params) -> tuple[jax.Array, ModelState]:
        return workload.loss(params, train.model_state, batch, key)

    (value, model_state), gradient = jax.value_and_grad(loss, has_aux=True)(train.params)
    state: _OptaxState = train.optimizer_state
    change, inner = _change(
        transformation,
        workload,
        state,
        params=train.params,
        gradient=gradient,
        loss=lambda params: loss(params)[0],
        value=value,
    )
    params = optax.apply_updates(train.params, change)
    return TrainState(params, model_state, state.replace(inner=inner))


def _change(
    transformation: Transformation,
    workload: WorkloadView,
    state: _OptaxState,
    *,
    params: Params,
    gradient: Params,
    loss: Callable[[Params], Any],
    value: jax.Array,
) -> tuple[Params, optax.OptState]:
    """What the transformation adds to the parameters, and its next state.

    Line searches (`optax.lbfgs`, `optax.polyak_sgd`) get the loss; others do not look.
    """
    hyperparameters = _point(state.floats, state.fixed)
    # optax raises traced numbers to integer powers, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
        optimizer = optax.with_extra_args_support(transformation(hyperparameters, workload))
        return optimizer.update(
            gradient, state.inner, params, value=value, grad=gradient, value_fn=loss
        )
