"""The loop of a training run: the rules page in code."""

import itertools
import math
from collections.abc import Sequence

import jax

from algoperf import contract
from algoperf.accounts import Account
from algoperf.errors import TrainingComplete
from algoperf.records import Ending
from algoperf.running import Run, checkpoint, count, evaluate, heartbeat
from algoperf.spec import Batch, Progress, Status, TrainState

COMPILE_LIMIT_S = 120.0
"""Beyond ten budgets, how much compilation a trial may do."""


def train_loop(run: Run) -> Ending:
    """Trains until the target, the budget or the submission ends it. May be called again."""
    clock, target = run.clock, run.workload.validation
    while True:
        clock.enter(Account.DATA)
        clock.agree()
        if clock.submission_s >= run.budget_s:
            return _ending(run, Status.BUDGET_EXHAUSTED, f"{run.budget_s:g} s of training are used")
        if clock.compile_s > (limit := compile_limit_s(run.budget_s)):
            took = f"compilation took {clock.compile_s:.0f} s; at most {limit:.0f} s are allowed"
            return _ending(run, Status.FAILED, took)
        progress = Progress(run.step, clock.submission_s, run.budget_s, run.evaluations)
        steps = _at_once(run)
        select_keys, update_keys = zip(*itertools.islice(run.keys, steps), strict=True)
        run.keys_drawn += steps
        batches = [
            run.algorithm.select_batch(run.view, run.batches, run.train, key, progress)
            for key in select_keys
        ]
        clock.enter(Account.UPDATE)
        try:
            run.train = _updated(run, batches, update_keys, progress)
            contract.check_state(run.train)
        except TrainingComplete:
            complete = True
        else:
            complete = False
            run.step += steps
            clock.settle(run.train, steps)
            clock.enter(Account.UPDATE)
        if run.counted is None:
            count(run)
        evaluated = _due(run) if not complete else _stale(run)
        if evaluated:
            evaluation = evaluate(run)
            if evaluation is None:
                continue  # the budget ended while the parameters were prepared
            value = evaluation.metrics[f"validation/{target.metric}"]
            if target.met(value):
                return _ending(run, Status.TARGET_REACHED, "reached")
            if names := contract.unfinite(run.train.params):
                return _ending(run, Status.DIVERGED, f"{names[0]} is no longer finite")
        if complete:
            return _ending(run, Status.FINISHED_EARLY, "the submission has nothing more to gain")
        if evaluated:
            checkpoint(run)
        heartbeat(run)


def compile_limit_s(budget_s: float) -> float:
    """How much compilation a trial may do [s]: it is off the clock, but not without end."""
    return COMPILE_LIMIT_S + 10 * min(budget_s, 3600.0)


def _ending(run: Run, status: Status, reason: str) -> Ending:
    target = run.workload.validation
    last = run.evaluations[-1].metrics[f"validation/{target.metric}"] if run.evaluations else None
    measured = "" if last is None else f"; validation {target.metric} {last:.5g}"
    aim = "" if math.isnan(target.value) else f" (target {target.value:.5g})"
    return Ending(status, f"{reason} at step {run.step}{measured}{aim}", run.step)


def _at_once(run: Run) -> int:
    """How many steps go to the device together; never past an evaluation."""
    if run.several is None:
        return 1
    every = run.workload.eval_every_steps
    due = None if every is None else every - run.step % every
    return run.several.count(run.step, due, run.clock.allowed, run.clock.step_s)


def _updated(
    run: Run, batches: Sequence[Batch], keys: Sequence[jax.Array], progress: Progress
) -> TrainState:
    if run.several is not None and len(keys) > 1:
        return run.several(run.train, batches, keys)
    (batch,), (key,) = batches, keys
    return run.algorithm.update(run.view, run.train, batch, key, progress)


def _due(run: Run) -> bool:
    """Whether the workload is to be evaluated now: each so many steps, or so many seconds."""
    if run.workload.eval_every_steps is not None:
        return run.step % run.workload.eval_every_steps == 0
    last = run.evaluations[-1].time_s if run.evaluations else 0.0
    run.clock.agree()
    return run.clock.submission_s - last >= (run.workload.eval_every_s or math.inf)


def _stale(run: Run) -> bool:
    """Whether there were updates since the last evaluation."""
    return not run.evaluations or run.evaluations[-1].step < run.step
