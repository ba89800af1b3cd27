"""What a trial holds on to while it runs; what it measures off the clock, records and reports."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import jax

from algoperf import contract, dispatch, hosts, operations
from algoperf.accounts import Account
from algoperf.checkpoint import Checkpoint
from algoperf.clock import Clock
from algoperf.data import BatchStream
from algoperf.records import Beat
from algoperf.spec import Evaluation, ModelState, Params, Progress, Split, TrainState
from algoperf.submission import Algorithm
from algoperf.view import WorkloadView
from algoperf.workload import Standing, Workload

HEARTBEAT_S = 0.5
"""How long a trial trains at least between two signs of life."""

CHECKPOINT_EVERY_S = 5.0
"""How long a trial runs at least between two checkpoints, which are made after evaluations."""

CHECKPOINT_SHARE = 0.01
"""Which share of the time checkpoints may take: where one takes long, they are made more rarely."""

EVALUATED = {
    Split.TRAIN: Split.EVAL_TRAIN,
    Split.VALIDATION: Split.VALIDATION,
    Split.TEST: Split.TEST,
}
"""Name of the split in the records -> examples that are evaluated for it."""


Report = Callable[[Beat], None]


@dataclass(frozen=True)
class Outputs:
    """Where that goes what a trial yields; by default nowhere.

    Attributes:
        append: Called with each evaluation's row.
        append_table: Called with (name, columns) of what a workload records beside it.
        keep: Called with the parameters and the model's state that reached the target.
        report: Called about twice a second and after every evaluation.
        save: (where training stands) -> what keeps it, as part of a checkpoint. None: there are
            no checkpoints.
    """

    append: Callable[[dict[str, float | int]], None] = lambda _: None
    append_table: Callable[[str, Mapping[str, Sequence[Any]]], None] = lambda *_: None
    keep: Callable[[Params, ModelState], None] = lambda *_: None
    report: Report = lambda _: None
    save: Callable[[TrainState], Callable[[Checkpoint], None]] | None = None


NOWHERE = Outputs()


@dataclass
class Run:
    """What a trial holds on to while it runs."""

    trial: str
    workload: Workload
    view: WorkloadView
    algorithm: Algorithm
    batches: BatchStream
    batch_size: int
    train: TrainState
    keys: Iterator[tuple[jax.Array, jax.Array]]
    clock: Clock
    evaluate: Callable[[Params, ModelState, Split], dict[str, float]]
    budget_s: float
    outputs: Outputs
    several: dispatch.Several | None = None
    check_rules: Callable[[], None] = lambda: None
    interruptions: int = 0
    modules: Sequence[ModuleType] = ()
    counted: operations.Counted | None = None
    step: int = 0
    keys_drawn: int = 0
    evaluations: tuple[Evaluation, ...] = ()
    reported_at: float = -math.inf
    saved_at: float = 0.0
    save_s: float = 0.0

    @property
    def flops_per_step(self) -> float:
        """NaN where they are not counted, or not yet."""
        return math.nan if self.counted is None else self.counted.flops


def count(run: Run) -> None:
    """Counts an update's operations, off the clock; nothing of the submission's is under way."""
    run.clock.enter(Account.SETUP, after=(run.train, under_way()))
    batch = run.workload.dataset.signature(run.batch_size)
    run.counted = operations.of_update(run.algorithm, run.view, run.train, batch, run.modules)
    run.clock.enter(Account.UPDATE)


def evaluate(run: Run) -> Evaluation | None:
    """Evaluates all splits off the clock, and records it; None if the budget is over first."""
    clock = run.clock
    clock.enter(Account.PARAMS_FOR_EVALUATION, after=run.train)
    clock.agree()
    progress = Progress(run.step, clock.submission_s, run.budget_s, run.evaluations)
    evaluated = run.algorithm.params_for_evaluation(run.view, run.train, progress)
    # All that it has set going is waited for on its clock: nothing of it runs off the clock.
    clock.enter(Account.EVALUATION, after=(evaluated, under_way()))
    clock.agree()
    run.check_rules()
    shapes = run.view.parameter_shapes
    params, model_state = contract.check_evaluated(evaluated, shapes, run.view.state_shapes)
    if isinstance(evaluated, TrainState):
        run.train = evaluated
    contract.check_params("`update`", run.train.params, shapes)  # looked at when this is recorded
    if clock.submission_s > run.budget_s:
        return None
    metrics = hosts.agreed(
        {
            f"{name}/{metric}": value
            for name, split in EVALUATED.items()
            for metric, value in run.evaluate(params, model_state, split).items()
        }
    )
    extra = run.workload.extra
    variables = {"params": params, **model_state}
    table = extra and extra.table(run.workload.model, variables, _standing(run))
    clock.enter(Account.LOGGING)
    evaluation = Evaluation(run.step, clock.submission_s, metrics)
    seen = {name: value for name, value in metrics.items() if not name.startswith("test/")}
    run.evaluations = (*run.evaluations, replace(evaluation, metrics=seen))
    run.outputs.append(_row(run, metrics))
    if extra and table:
        run.outputs.append_table(extra.name, table)
    target = run.workload.validation
    if target.met(metrics[f"validation/{target.metric}"]):
        run.outputs.keep(params, model_state)
    _report(run)
    return evaluation


def under_way() -> list[jax.Array]:
    """Whatever the device was given to compute, and has perhaps not yet."""
    return [array for array in jax.live_arrays() if not array.is_deleted()]


def checkpoint(run: Run) -> None:
    """Keeps all that the trial is, off the clock, unless the last time was a moment ago."""
    clock = run.clock
    clock.enter(Account.LOGGING)
    began = clock.total_s
    if run.outputs.save is None or began - run.saved_at < max(
        CHECKPOINT_EVERY_S, run.save_s / CHECKPOINT_SHARE
    ):
        return
    clock.enter(Account.UPDATE)  # to take a state apart runs what its own classes define
    keep = run.outputs.save(run.train)
    clock.enter(Account.LOGGING)
    keep(
        Checkpoint(
            train=run.train,
            step=run.step,
            keys=run.keys_drawn,
            batches=run.batches.position(),
            evaluations=run.evaluations,
            accounts={str(account): seconds for account, seconds in clock.accounts.items()},
            submission_s=clock.submission_s,
            compile_s=clock.compile_s,
            carried={},
        )
    )
    clock.enter(Account.LOGGING)
    run.saved_at, run.save_s = clock.total_s, clock.total_s - began


def _standing(run: Run) -> Standing:
    return Standing(
        trial=run.trial,
        step=run.step,
        examples=run.step * run.batch_size,
        flops=run.step * run.flops_per_step,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(run.train.params)),
    )


def _row(run: Run, metrics: dict[str, float]) -> dict[str, float | int]:
    """A line of `eval_measurements.csv`: MLCommons' columns, and ours."""
    clock, sizes = run.clock, run.workload.dataset.sizes
    return {
        "accumulated_submission_time": clock.submission_s,
        "accumulated_eval_time": clock.accounts[Account.EVALUATION],
        "accumulated_logging_time": clock.accounts[Account.LOGGING],
        "accumulated_data_time": clock.accounts[Account.DATA],
        "accumulated_compile_time": clock.compile_s,
        "total_duration": clock.total_s,
        "score": clock.submission_s,
        "global_step": run.step,
        "examples": run.step * run.batch_size,
        "flops": run.step * run.flops_per_step,
        "preemption_count": run.interruptions,
        **metrics,
        "validation/num_examples": sizes[Split.VALIDATION],
        "test/num_examples": sizes[Split.TEST],
    }


def heartbeat(run: Run) -> None:
    if run.clock.total_s - run.reported_at >= HEARTBEAT_S or run.step == 1:
        run.clock.enter(Account.LOGGING)
        _report(run)


def _report(run: Run) -> None:
    run.reported_at = run.clock.total_s
    metric = f"validation/{run.workload.validation.metric}"
    value = run.evaluations[-1].metrics[metric] if run.evaluations else math.nan
    run.outputs.report(Beat(run.step, run.clock.submission_s, value))
