"""Is a submission valid? Three steps on every workload, and every fault at once."""

import itertools
import math
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from algoperf import contract, inspection, operations, registry, rulesets, sources, tuning
from algoperf.data import BatchStream
from algoperf.errors import TrainingComplete, UserError, few
from algoperf.guard import Guard, RuleBroken
from algoperf.loading import Submission, examine
from algoperf.rules import Rules
from algoperf.spec import Batch, Progress, Split, TrainState
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator

STEPS = 3

_GROWTH = 0.05
"""How much more memory a step may keep, as a share of the parameters'."""


def check(
    name_or_path: str,
    rules: Rules,
    workloads: Sequence[str],
    on_workload: Callable[[str], None] = lambda _: None,
    studies: int | None = None,
) -> list[str]:
    """Everything that is wrong with a submission, found by loading it and running a few steps.

    Args:
        name_or_path: The submission.
        rules: Say how many points the search space must give.
        workloads: Names of the workloads to try it on.
        on_workload: Called before each.
        studies: For how many there must be points, if not for all that the rules grant.

    Returns:
        One line a fault; empty if there is none.
    """
    faults: list[str] = []
    try:
        path = registry.submission_path(name_or_path)
        faults += [str(finding) for finding in _findings(path) if finding.breaks]
        with Guard(sources.root(path)) as guard:
            faults += _faults(name_or_path, rules, workloads, on_workload, studies)
            guard.check(whole=True)
    except RuleBroken as error:
        faults.append(str(error))
    except UserError as error:
        return [str(error)]
    return faults


def to_read(name_or_path: str) -> list[str]:
    """Places in a submission that no program can judge; a line each."""
    path = registry.submission_path(name_or_path)
    return [str(finding) for finding in _findings(path) if not finding.breaks]


def _findings(path: Path) -> list[inspection.Finding]:
    files = [file for file in sources.files(path).values() if file.suffix == ".py"]
    names = rulesets.workload_names()
    # A small relative of another workload may be called what many things are called.
    words = {name for name in names if name.isalpha() and registry.workload(name).mirrors}
    try:
        return [found for f in files for found in inspection.inspect_source(f, names, words)]
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from None


def _faults(
    name_or_path: str,
    rules: Rules,
    workloads: Sequence[str],
    on_workload: Callable[[str], None],
    studies: int | None,
) -> list[str]:
    submission, faults = examine(name_or_path)
    if submission is None:
        return faults
    point, too_few = _first_point(submission, rules, studies)
    if not faults:
        faults = too_few
    if point and not sources.is_mlcommons(submission.path):  # other files may read them there
        faults += [
            f"search_space: {name!r} is read nowhere in the file; remove it, or use it"
            for name in inspection.unread(submission.path, list(point))
        ]
    for name in workloads:
        on_workload(name)
        faults += [f"{name}: {fault}" for fault in _Probe(submission, point, name, rules).run()]
    return faults


def _first_point(
    submission: Submission, rules: Rules, studies: int | None
) -> tuple[tuning.Point | None, list[str]]:
    if submission.search_space is None:
        return None, []
    granted = rules.tuning[submission.ruleset]
    try:
        needed = min(studies or granted.studies, granted.studies) * granted.trials
        points = tuning.draw(submission.search_space, needed, rules.seed)
    except UserError as error:
        whole = isinstance(submission.search_space, tuning.Box) or submission.search_space.points
        return tuning.draw(submission.search_space, 1, rules.seed)[0] if whole else {}, [str(error)]
    return points[0], []


class _Probe:
    """A few steps of a submission on one workload; a stage that fails does not hide the next."""

    def __init__(
        self, submission: Submission, point: tuning.Point | None, name: str, rules: Rules
    ) -> None:
        self._path = str(submission.path)
        self._algorithm = submission.algorithm
        self._modules = submission.modules
        self._point = point
        self._workload = registry.workload(name)
        budget_s = rules.fixed(name, submission.ruleset).budget_s
        self._view = WorkloadView(self._workload, budget_s)
        self._faults: list[str] = []

    def run(self) -> list[str]:
        """All faults found."""
        batch_size = self._try("batch_size", self._batch_size) or self._workload.batch_size
        batches = self._workload.dataset.training(batch_size, seed=0)
        train = self._try("init", self._init)
        held: list[int] = []
        for step in range(STEPS):
            if train is None:
                return self._faults
            arguments = (train, jax.random.key(step), Progress(step, 0.0, self._view.budget_s, ()))
            before = len(self._faults)
            batch = self._try("select_batch", self._select_batch, batches, *arguments)
            batch = next(batches) if batch is None else batch
            train = self._try("update", self._update, batch, *arguments)
            del batch, arguments  # they hold the step before
            held.append(sum(a.nbytes for a in jax.live_arrays() if not a.is_deleted()))
            if len(self._faults) > before:
                break
            if step == 0:  # as a trial does, for what it leaves behind
                operations.of_update(
                    self._algorithm,
                    self._view,
                    train,
                    self._workload.dataset.signature(batch_size),
                    self._modules,
                )
        else:
            self._faults += self._growth(held)
        if train is not None:
            self._try("params_for_evaluation", self._params_for_evaluation, train)
        return self._faults

    def _growth(self, held: list[int]) -> list[str]:
        """Memory that every step takes and none gives back.

        Args:
            held: Bytes on the devices after each step.
        """
        model = sum(
            math.prod(s.shape) * s.dtype.itemsize
            for s in jax.tree.leaves(self._view.parameter_shapes)
        )
        grown = [after - before for before, after in itertools.pairwise(held)]
        if min(grown) < _GROWTH * model:
            return []
        fault = (
            f"`update` keeps {min(grown):,} bytes more after every step (the parameters are "
            f"{model:,}): keep arrays in `optimizer_state`, not in lists or globals"
        )
        return [fault]

    def _try(self, stage: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """The call's result, or None and a fault more."""
        try:
            return call(*arguments)
        except TrainingComplete:
            self._faults.append(f"`{stage}` raises TrainingComplete within {STEPS} steps")
        except UserError as error:
            self._faults.append(str(error).replace("\n", "\n  "))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's code
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame.lineno for frame in frames if frame.filename == self._path]
            line = f" (line {own[-1]})" if own else ""
            message = f"{type(error).__name__}: {error}".partition("\n")[0]
            self._faults.append(f"`{stage}` raises{line} {message}")
        return None

    def _batch_size(self) -> int:
        batch_size = self._algorithm.batch_size(self._view)
        contract.check_batch_size(batch_size)
        return batch_size

    def _init(self) -> TrainState:
        return initial_state(
            self._algorithm,
            self._view,
            self._workload,
            self._point,
            model_key=jax.random.key(0),
            init_key=jax.random.key(1),
        )

    def _select_batch(
        self, batches: BatchStream, train: TrainState, key: jax.Array, progress: Progress
    ) -> Batch:
        return self._algorithm.select_batch(self._view, batches, train, key, progress)

    def _update(
        self, batch: Batch, train: TrainState, key: jax.Array, progress: Progress
    ) -> TrainState:
        train = self._algorithm.update(self._view, train, batch, key, progress)
        jax.block_until_ready(train)
        contract.check_state(train)
        contract.check_params("`update`", train.params, self._view.parameter_shapes)
        if names := contract.unfinite(train.params):
            self._faults.append(
                f"`update` makes parameters NaN or infinite at step {progress.step + 1}: "
                f"{few(names, 3)}"
            )
        return train

    def _params_for_evaluation(self, train: TrainState) -> None:
        progress = Progress(STEPS, 0.0, self._view.budget_s, ())
        evaluated = self._algorithm.params_for_evaluation(self._view, train, progress)
        shapes = self._view.parameter_shapes, self._view.state_shapes
        params, model_state = contract.check_evaluated(evaluated, *shapes)
        Evaluator(self._workload)(params, model_state, Split.VALIDATION)
