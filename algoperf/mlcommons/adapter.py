"""The five functions of an MLCommons submission as our `Algorithm`.

Called as MLCommons' runner calls them: `init_optimizer_state` and `data_selection` by position,
`update_params` and `prepare_for_eval` by name.
"""

import inspect
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property, partial
from types import MappingProxyType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from algoperf import sharding
from algoperf.data import BatchStream
from algoperf.errors import UserError
from algoperf.mlcommons import batches as forms
from algoperf.mlcommons import sizes
from algoperf.mlcommons.state import State, pack, unpack
from algoperf.mlcommons.workload import Workload
from algoperf.spec import Batch, Evaluation, ModelState, Params, Progress, TrainState
from algoperf.submission import Algorithm
from algoperf.view import WorkloadView, record_of
from algoperf.workload import Workload as Record
from algoperf.workload import init_model


def algorithm(module: ModuleType, *, spread: bool) -> Algorithm:
    """The submission's functions as the harness calls them.

    Args:
        module: The submission, with the functions that it must have.
        spread: Whether it is of the v0.5 form: arrays have a leading axis of devices.
    """
    adapter = _Adapter(module, spread=spread)
    return Algorithm(
        init=adapter.init,
        update=adapter.update,
        batch_size=adapter.batch_size,
        select_batch=adapter.select_batch,
        params_for_evaluation=adapter.params_for_evaluation,
        notes=adapter.notes,
    )


class _Facts(dict[str, Any]):
    """What `train_state` tells here; anything else is an error that says so."""

    def __missing__(self, key: str) -> Any:
        raise UserError(
            f"The submission reads train_state[{key!r}], which is not known here. It has "
            f"{', '.join(self)}."
        )

    def get(self, key: str, default: Any = None) -> Any:
        """Without a default: at MLCommons the entry is there."""
        del default
        return self[key]


class _Adapter:
    """Holds the module, and nothing that a training changes: all of that is in `TrainState`."""

    def __init__(self, module: ModuleType, *, spread: bool) -> None:
        self._module = module
        self._spread = spread
        self._takes_train_state = _takes(module.update_params, "train_state")
        self._workloads = cache(Workload)
        self._results: tuple[tuple[Evaluation, ...], list[Any]] = ((), [])

    @cached_property
    def _devices(self) -> int | None:
        """v0.5: the length of the leading axis. Asked late: counting devices takes hold of them."""
        if self._spread and jax.process_count() > 1:
            raise UserError("A submission that uses pmap (rules v0.5) trains on one host only.")
        return jax.local_device_count() if self._spread else None

    def _workload(self, view: WorkloadView, hyperparameters: Any) -> Workload:
        # v0.5's runner, and not the submission, hands the rate to the model.
        rate = getattr(hyperparameters, "dropout_rate", None) if self._spread else None
        return self._workloads(view, rate, self._devices)

    def batch_size(self, view: WorkloadView) -> Any:
        return sizes.batch_size(self._module.get_batch_size, record_of(view))

    def notes(self, workload: Record) -> tuple[str, ...]:
        note = sizes.asked(self._module.get_batch_size, workload).note
        return () if note is None else (note,)

    def init(
        self, view: WorkloadView, params: Params, hyperparameters: Any, key: jax.Array
    ) -> State:
        workload = self._workload(view, hyperparameters)
        # Statistics begin at the same values, whatever the parameters were drawn with.
        _, model_state = init_model(record_of(view), jax.random.key(0))
        spread, model_state = None, model_state or None
        if self._devices is not None:
            params, model_state = spread = _spread_out((params, model_state), self._devices)
        rng = jax.random.key_data(key)
        arguments = (workload, params, model_state, hyperparameters, rng)
        with _theirs(hyperparameters):
            theirs = self._module.init_optimizer_state(*arguments)
        return pack(theirs, hyperparameters, rng, spread)

    def select_batch(
        self,
        view: WorkloadView,
        batches: BatchStream,
        train: TrainState,
        key: jax.Array,
        progress: Progress,
    ) -> forms.Chosen:
        state: State = train.optimizer_state
        workload = self._workload(view, state.hyperparameters)
        queue = (self._converted(workload, next(batches)) for _ in itertools.count())
        if not hasattr(self._module, "data_selection"):
            return forms.Chosen(next(queue))
        params, model_state = _current(train)
        with _theirs(state.hyperparameters):
            batch = self._module.data_selection(
                workload,
                queue,
                unpack(state),
                params,
                model_state,
                state.hyperparameters,
                progress.step,
                jax.random.key_data(key),
            )
        if not isinstance(batch, Mapping):
            raise UserError(
                f"`data_selection` returned a {type(batch).__name__}; it must return a batch, a "
                "dictionary of arrays as `next(input_queue)` gives one."
            )
        return forms.Chosen(batch)

    def update(
        self,
        view: WorkloadView,
        train: TrainState,
        batch: Batch,
        key: jax.Array,
        progress: Progress,
    ) -> TrainState:
        state: State = train.optimizer_state
        workload = self._workload(view, state.hyperparameters)
        chosen = isinstance(batch, forms.Chosen)
        theirs = dict(batch) if chosen else self._converted(workload, batch)
        rng = jax.random.key_data(key)
        arguments = self._arguments(workload, train, progress) | {"batch": theirs, "rng": rng}
        if self._takes_train_state:
            arguments["train_state"] = _train_state(progress)
        with _theirs(state.hyperparameters), workload.silent(isinstance(key, Tracer)):
            returned = self._module.update_params(**arguments)
        return self._next("update_params", returned, state.hyperparameters, rng)

    def params_for_evaluation(
        self, view: WorkloadView, train: TrainState, progress: Progress
    ) -> TrainState | tuple[Params, ModelState]:
        if not hasattr(self._module, "prepare_for_eval"):
            return train.params, train.model_state
        state: State = train.optimizer_state
        workload = self._workload(view, state.hyperparameters)
        # The step's key is used up; another is drawn from it.
        rng = jax.random.key_data(jax.random.fold_in(jax.random.wrap_key_data(state.key), 1))
        arguments = self._arguments(workload, train, progress) | {"rng": rng}
        with _theirs(state.hyperparameters):
            returned = self._module.prepare_for_eval(**arguments)
        return self._next("prepare_for_eval", returned, state.hyperparameters, state.key)

    def _arguments(
        self, workload: Workload, train: TrainState, progress: Progress
    ) -> dict[str, Any]:
        """What `update_params` and `prepare_for_eval` are both given."""
        params, model_state = _current(train)
        if self._results[0] is not progress.evaluations:
            self._results = (progress.evaluations, _eval_results(progress))
        return {
            "workload": workload,
            "current_param_container": params,
            "current_params_types": workload.model_params_types,
            "model_state": model_state,
            "hyperparameters": train.optimizer_state.hyperparameters,
            "loss_type": workload.loss_type,
            "optimizer_state": unpack(train.optimizer_state),
            "eval_results": self._results[1],
            "global_step": progress.step,
        }

    def _converted(self, workload: Workload, batch: Batch) -> dict[str, Any]:
        theirs = workload.form.to_theirs(batch)
        if self._devices is None:
            return theirs
        if self._devices > 1 and "senders" in batch:
            raise UserError(
                "A submission that uses pmap (rules v0.5) cannot train on a workload of graphs "
                f"with {self._devices} devices: a graph's nodes would be torn apart. Give it one."
            )
        return forms.split(theirs, self._devices)

    def _next(self, name: str, returned: Any, hyperparameters: Any, key: jax.Array) -> TrainState:
        """The state after a call."""
        if not isinstance(returned, tuple) or len(returned) != 3:
            raise UserError(
                f"`{name}` returned a {type(returned).__name__}; it must return a tuple "
                "(optimizer_state, params, model_state)."
            )
        theirs, params, model_state = returned
        spread = None
        if self._devices is not None:
            spread = params, model_state
            params, model_state = _collected(params, model_state)
        state = pack(theirs, hyperparameters, key, spread)
        return TrainState(params, model_state or {}, state)


def _takes(function: Any, argument: str) -> bool:
    return argument in inspect.signature(function).parameters


def _current(train: TrainState) -> tuple[Params, Any]:
    """Parameters and model state as the submission has them."""
    spread = train.optimizer_state.spread
    if spread is None:
        return train.params, train.model_state or None
    return jax.device_put(spread, sharding.batch_sharded())  # where the steps leave it


@contextmanager
def _theirs(hyperparameters: Any) -> Iterator[None]:
    """Within, the submission's own code runs: as it would at MLCommons, and blamed on it."""
    try:
        # Whoever tests this harness may have these set to something stricter.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            yield
    except AttributeError as error:
        missing = f"hyperparameters.{error.name}"
        if hyperparameters is None and str(error).startswith("'NoneType' object"):
            raise UserError(
                f"The submission reads {missing} or the like of None ({error}). Hyperparameters "
                "are None in self-tuning: to be tuned from outside, it needs a "
                "tuning_search_space.json beside it."
            ) from error
        if hyperparameters is not None and error.obj is hyperparameters:
            raise UserError(
                f"The submission reads {missing}, which tuning_search_space.json does not give. "
                f"It gives {', '.join(hyperparameters._fields)}."
            ) from error
        raise


def _train_state(progress: Progress) -> Mapping[str, Any]:
    return MappingProxyType(
        _Facts(
            accumulated_submission_time=progress.time_s,
            is_time_remaining=progress.time_s < progress.budget_s,
            last_eval_time=progress.evaluations[-1].time_s if progress.evaluations else 0.0,
            validation_goal_reached=False,  # the trial would have ended
            training_complete=False,
        )
    )


def _eval_results(progress: Progress) -> list[tuple[int, dict[str, float]]]:
    """Evaluations so far as pairs of step and metrics, without the test split."""
    return [
        (
            evaluation.step,
            {
                **evaluation.metrics,
                "score": evaluation.time_s,
                "accumulated_submission_time": evaluation.time_s,
            },
        )
        for evaluation in progress.evaluations
    ]


@partial(jax.jit, static_argnames="devices")
def _spread_out(tree: Any, devices: int) -> Any:
    """Each array once for each device, along a new leading axis."""
    spread = jax.tree.map(lambda x: jnp.broadcast_to(x, (devices, *x.shape)), tree)
    return jax.lax.with_sharding_constraint(spread, sharding.batch_sharded())


@jax.jit
def _collected(params: Any, model_state: Any) -> tuple[Params, Any]:
    """The first device's parameters, and the mean over devices of the statistics."""
    collected = (
        jax.tree.map(lambda x: x[0], params),
        jax.tree.map(lambda x: x.mean(axis=0), model_state),
    )
    return jax.lax.with_sharding_constraint(collected, sharding.replicated())
