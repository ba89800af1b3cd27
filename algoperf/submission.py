"""What a training algorithm must and may define; loading and checking one.

A submission is one Python file; what is hashed and kept with its results is all of it. The
short form:

    search_space = {"learning_rate": {"min": 1e-4, "max": 1e-1, "scaling": "log"}}
    submission = from_optax(lambda hp, workload: optax.adamw(hp.learning_rate))

The long form defines `init` and `update`, and what it wants of `batch_size`, `select_batch` and
`params_for_evaluation`; their signatures are in `SIGNATURES`. A file without a `search_space`
is a self-tuning submission.
"""

import contextlib
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from algoperf import registry, sources, tuning
from algoperf.data import BatchStream
from algoperf.dispatch import Traced
from algoperf.errors import UserError
from algoperf.rulesets import Ruleset
from algoperf.spec import Batch, ModelState, Params, Progress, TrainState
from algoperf.workload import Workload, WorkloadView

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


@dataclass(frozen=True)
class Submission:
    """A training algorithm with its tuning protocol, as loaded from its file.

    Attributes:
        name: The file's stem; names its results folder.
        path: The file.
        sha256: Hash of the file's bytes.
        doc: First line of the file's docstring.
        search_space: None for a self-tuning submission.
        algorithm: Its functions.
        modules: The file's, and of those beside it what it imports.
    """

    name: str
    path: Path
    sha256: str
    doc: str
    search_space: tuning.SearchSpace | None
    algorithm: Algorithm
    modules: tuple[ModuleType, ...] = ()

    @property
    def ruleset(self) -> Ruleset:
        return Ruleset.SELF_TUNING if self.search_space is None else Ruleset.EXTERNAL


def load(name_or_path: str | Path) -> Submission:
    """Loads a submission by registered name or by path; the file may lie anywhere.

    Raises:
        UserError: If it does not exist, does not import, or lists all that is wrong with it.
    """
    submission, faults = examine(name_or_path)
    if faults or submission is None:
        raise UserError.of_many(f"{name_or_path} is not a valid submission:", faults)
    return submission


def examine(name_or_path: str | Path) -> tuple[Submission | None, list[str]]:
    """The submission as far as it can be used, and everything that is wrong with its file.

    Raises:
        UserError: If it does not exist or does not import.
    """
    path = registry.submission_path(str(name_or_path))
    name = registry.submission_name(path)
    faults: list[str] = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        faults.append(f"its name {name!r} cannot name a folder; use letters, digits, _, -, . or +")
    if sources.is_mlcommons(path):
        from algoperf.mlcommons import loading  # which builds on this module

        modules, algorithm, space = loading.parts(path, faults)
    else:
        modules = (module := import_file(path),)
        algorithm = _algorithm(module, faults)
        space = None
        if (raw := getattr(module, "search_space", None)) is not None:
            space, wrong = tuning.read(raw)
            faults += [f"search_space: {fault}" for fault in wrong]
    if algorithm is None:
        return None, faults
    doc = (inspect.getdoc(modules[0]) or "").partition("\n")[0]
    sha256 = registry.source_hash(path)
    return Submission(name, path, sha256, doc, space, algorithm, modules), faults


def import_file(path: Path, package: Path | None = None) -> ModuleType:
    """The submission's module, new each time.

    Args:
        path: Its file.
        package: A folder whose modules it may import as `from . import ...`.

    Raises:
        UserError: If it does not import; says where, or what is not installed.
    """
    # The same in every process: a state that holds its classes is found again by their names.
    place = hashlib.sha256(bytes(path.resolve())).hexdigest()[:16]
    module_name = f"_submission_{registry.submission_name(path)}_{place}"
    search = None if package is None else [str(package)]
    spec = importlib.util.spec_from_file_location(
        module_name, path, submodule_search_locations=search
    )
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported; a submission is a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        raise UserError(
            f"{path} imports {error.name}, which is not installed here. If it is a package: "
            f"pip install {name}"
        ) from error
    except (Exception, SystemExit) as error:
        where = "".join(traceback.format_exception(error)[-2:]).rstrip()
        raise UserError(f"{path} fails when it is imported:\n{where}") from error
    return module


def _algorithm(module: ModuleType, faults: list[str]) -> Algorithm | None:
    own = {n: getattr(module, n) for n in SIGNATURES if hasattr(module, n)}
    short = getattr(module, "submission", None)
    faults += [
        f"`{name}` must take ({', '.join(SIGNATURES[name])}), it is {_signature(function)}"
        for name, function in own.items()
        if not _takes(function, len(SIGNATURES[name]))
    ]
    if isinstance(short, Algorithm):
        return replace(short, **own)
    if short is not None:
        faults.append("`submission` must be what `from_optax(...)` returns")
    elif missing := [name for name in REQUIRED if name not in own]:
        faults.append(
            f"it defines no {' and no '.join(f'`{name}`' for name in missing)} "
            "(or, in the short form, no `submission = from_optax(...)`)"
        )
    if faults:
        return None
    return Algorithm(**own)


def _takes(function: object, count: int) -> bool:
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def _signature(function: object) -> str:
    if callable(function):
        with contextlib.suppress(ValueError):  # a built-in may have none
            return str(inspect.signature(function))
    return f"a {type(function).__name__}"


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
