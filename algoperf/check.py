"""Is a submission valid? Three steps on every workload, and every fault at once."""

import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from algoperf import registry, tuning
from algoperf.errors import TrainingComplete, UserError
from algoperf.rulesets import Rules
from algoperf.spec import Params, Progress, TrainState
from algoperf.submission import Submission, load
from algoperf.trial import check_batch_size
from algoperf.workload import Workload, WorkloadView, init_model

STEPS = 3


def check(
    name_or_path: str,
    rules: Rules,
    workloads: Sequence[str],
    on_workload: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Everything that is wrong with a submission, found by loading it and running a few steps.

    Args:
        name_or_path: The submission.
        rules: Say how many points the search space must give.
        workloads: Names of the workloads to try it on.
        on_workload: Called before each.

    Returns:
        One line a fault; empty if there is none.
    """
    try:
        submission = load(name_or_path)
    except UserError as error:
        return [str(error)]
    point, faults = _first_point(submission, rules)
    for name in workloads:
        on_workload(name)
        faults += [f"{name}: {fault}" for fault in _faults_on(submission, point, name, rules)]
    return faults


def _first_point(submission: Submission, rules: Rules) -> tuple[tuning.Point | None, list[str]]:
    if submission.search_space is None:
        return None, []
    granted = rules.tuning[submission.ruleset]
    try:
        points = tuning.draw(submission.search_space, granted.studies * granted.trials, rules.seed)
    except UserError as error:
        return tuning.draw(submission.search_space, 1, rules.seed)[0], [str(error)]
    return points[0], []


def _faults_on(
    submission: Submission, point: tuning.Point | None, name: str, rules: Rules
) -> Iterator[str]:
    """Faults on one workload; stops where going on makes no sense."""
    workload = registry.workload(name)
    view = WorkloadView(workload, rules.fixed(name, submission.ruleset).budget_s)
    stage = "init"
    try:
        stage = "batch_size"
        batch_size = submission.algorithm.batch_size(view)
        check_batch_size(batch_size)
        stage = "init"
        train = _initial(submission, view, workload, point)
        batches = workload.dataset.training(batch_size, seed=0)
        for step in range(STEPS):
            progress = Progress(step, 0.0, view.budget_s, ())
            key = jax.random.key(step)
            stage = "select_batch"
            batch = submission.algorithm.select_batch(view, batches, train, key, progress)
            stage = "update"
            before = jax.tree.map(_shape, train.params)
            train = submission.algorithm.update(view, train, batch, key, progress)
            if found := list(_state_faults(train, before)):
                yield from (f"step {step + 1}: {fault}" for fault in found)
                return
        stage = "params_for_evaluation"
        progress = Progress(STEPS, 0.0, view.budget_s, ())
        found_params = submission.algorithm.params_for_evaluation(view, train, progress)
        yield from _evaluation_faults(found_params, train)
    except TrainingComplete:
        yield f"`{stage}` raises TrainingComplete within {STEPS} steps"
    except UserError as error:
        yield str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's code
        where = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in where if frame.filename == str(submission.path)]
        line = f" (line {own[-1].lineno})" if own else ""
        message = f"{type(error).__name__}: {error}".partition("\n")[0]
        yield f"`{stage}` raises{line} {message}"


def _initial(
    submission: Submission, view: WorkloadView, workload: Workload, point: tuning.Point | None
) -> TrainState:
    params, model_state = init_model(workload, jax.random.key(0))
    hyperparameters = None if point is None else tuning.hyperparameters(point)
    state = submission.algorithm.init(view, params, hyperparameters, jax.random.key(1))
    return TrainState(params, model_state, state)


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def _state_faults(train: object, before: Params) -> Iterator[str]:
    if not isinstance(train, TrainState):
        yield f"`update` returns a {type(train).__name__}, not a TrainState"
        return
    yield from _params_faults("`update`", train.params, before)


def _evaluation_faults(returned: Any, train: TrainState) -> Iterator[str]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        yield "`params_for_evaluation` must return (params, model_state)"
        return
    expected = jax.tree.map(_shape, train.params)
    yield from _params_faults("`params_for_evaluation`", returned[0], expected)


def _params_faults(who: str, params: Params, expected: Params) -> Iterator[str]:
    """Changed structure, shapes or dtypes, and numbers that are not finite."""
    wanted, structure = jax.tree.flatten(expected)
    if jax.tree.structure(params) != structure:
        yield f"{who} changes the tree structure of the parameters"
        return
    for (path, leaf), want in zip(jax.tree_util.tree_leaves_with_path(params), wanted, strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if (got := _shape(leaf)) != want:
            yield f"{who} makes {name} {_text(got)}; it was {_text(want)}"
        elif not math.isfinite(float(jnp.sum(jnp.abs(leaf)))):
            yield f"{who} makes {name} NaN or infinite"


def _text(shape: jax.ShapeDtypeStruct) -> str:
    return f"{shape.dtype}{list(shape.shape)}"
