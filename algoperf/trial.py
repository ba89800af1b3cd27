"""One training run, start to end: what is made before the loop, and what is told after it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from algoperf import (
    contract,
    dispatch,
    hosts,
    keys,
    machine,
    parameters,
    registry,
    sharding,
    sources,
    tuning,
)
from algoperf.accounts import Account
from algoperf.checkpoint import Checkpoint
from algoperf.clock import RUN_AHEAD_S, Clock, Meter
from algoperf.disk import now
from algoperf.executors.second_clock import READ_EVERY_S
from algoperf.guard import Guard, RuleBroken
from algoperf.loading import load
from algoperf.loop import train_loop
from algoperf.recording import TrialRecord
from algoperf.records import Ending, TrialSpec
from algoperf.resuming import Saver, reporting
from algoperf.running import NOWHERE, Outputs, Report, Run, under_way
from algoperf.spec import TrainState
from algoperf.submission import Algorithm
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, Workload, init_model

INIT_FREE_S = 1.0
"""How long `batch_size` and `init` may take free of charge, without compilation. What is beyond
counts: MLCommons times neither, and so grants work without end."""

INIT_FREE_SHARE = 0.01
"""The same as a share of the budget; the larger of the two holds."""

Find = Callable[[TrainState], Checkpoint | None]
"""(a fresh state) -> where an earlier attempt got to, if there was one."""


@dataclass(frozen=True)
class Listener:
    """Whoever follows a trial from another process; by default nobody.

    Attributes:
        report: Called about twice a second and after every evaluation.
        tell: Called with what became of an earlier attempt, if there was one.
        timed: Called with 0 as the clock is made, and with what it says at the end [s], so that
            it can be compared with another.
        readings: How often it is called at the end.
        compiled: Called with the machine's id and its calibration when the harness's own programs
            are compiled, before the submission is imported.
    """

    report: Report = lambda _: None
    tell: Callable[[str], None] = lambda _: None
    timed: Callable[[float], None] = lambda _: None
    readings: int = 0
    compiled: Callable[[str, Mapping[str, float]], None] = lambda *_: None


def run(
    spec: TrialSpec,
    record: TrialRecord,
    listener: Listener,
    *,
    meter: Meter | None = None,
    clock_now: Callable[[], float] = time.perf_counter,
) -> tuple[Ending, dict[str, Any]]:
    """Trains at one point with one seed, and writes every evaluation into `record`.

    Where `record` has a checkpoint of an earlier attempt, the trial goes on from there.

    Args:
        spec: What to run.
        record: The trial's folder, begun.
        listener: Who follows it.
        meter: Measures compilation.
        clock_now: A monotonic clock [s].

    Returns:
        How it ended, and facts for the manifest. Whatever the submission raises goes through.
    """
    machine_id = machine_facts()["machine_id"]
    calibrate = partial(machine.calibrate, machine.calibration_s(spec.fixed.budget_s))
    before = calibrate()
    carried = {"started": now(), "calibration": {"before": before}}
    used = machine.usage()
    workload = replace(registry.workload(spec.workload), **vars(spec.fixed))
    clock = Clock(
        meter,
        compile_counts=workload.compile_counts,
        run_ahead_s=RUN_AHEAD_S if sharding.steps_may_overlap() else 0.0,
        now=clock_now,
        agreed=hosts.agreed if hosts.joined() else None,
    )
    listener.timed(0.0)
    saver = Saver(spec, workload, record, carried, machine_id)
    evaluator = Evaluator(workload)
    evaluator.compile(*init_model(workload, jax.random.key(spec.seed)))
    listener.compiled(machine_id, before)
    with Guard(sources.root(spec.path), {"workload": workload}) as guard:
        submission = load(spec.path)
        state = prepare(
            spec,
            workload,
            submission.algorithm,
            clock,
            Outputs(
                append=record.append,
                append_table=record.append_table,
                keep=lambda params, model_state: record.keep(parameters.flat(params, model_state)),
                report=reporting(record, listener.report),
                save=saver.save,
            ),
            find=saver.find,
            evaluator=evaluator,
        )
        state.check_rules = guard.check
        state.modules = submission.modules
        state.interruptions = len(record.attempts)
        if record.news:
            listener.tell(record.news)
        ending = train_loop(state)
        clock.enter(Account.LOGGING)
        for _ in range(listener.readings):  # so that one of them is heard at once
            time.sleep(READ_EVERY_S)
            clock.enter(Account.LOGGING)
            listener.timed(clock.lifetime_s)
        guard.check(whole=True)
        if hosts.leads() and (faults := clock.faults()):  # the others have taken over its accounts
            raise RuleBroken(f"The submission broke a rule (docs/rules.md): {faults[0]}.")
    load_meanwhile = machine.load_between(used, machine.usage())
    calibration = {**saver.carried["calibration"], "after": calibrate()}
    return ending, {
        "started": saver.carried["started"],
        "ended": now(),
        **_facts(state),
        "calibration": calibration,
        "calibration_best": machine.best_calibration(machine_id, *calibration.values()),
        "load": load_meanwhile,
        "checkpoints": {"obstacle": saver.obstacle},
    }


def _facts(run: Run) -> dict[str, Any]:
    """What the manifest says of the run itself, when it has ended."""
    workload, clock = run.workload, run.clock
    return {
        "workload": {
            "suite": workload.suite,
            "base": workload.base_name,
            "dataset": workload.dataset.name,
            "dataset_sha256": workload.dataset.sha256,
            "batch_size": run.batch_size,
            "notes": list(run.algorithm.notes(workload)),
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(run.train.params)),
        },
        "clock": {
            "accounts": {str(name): seconds for name, seconds in clock.accounts.items()},
            "submission_s": clock.submission_s,
            "compile_s": clock.compile_s,
            "total_s": clock.total_s,
        },
        "flops_per_step": run.flops_per_step,
        "flops_unknown": run.counted and run.counted.unknown,
    }


def machine_facts() -> dict[str, Any]:
    """The machine as this process sees it, for the manifest."""
    fingerprint = machine.fingerprint([device.device_kind for device in jax.devices()])
    return {"machine": fingerprint, "machine_id": machine.fingerprint_id(fingerprint)}


def prepare(
    spec: TrialSpec,
    workload: Workload,
    algorithm: Algorithm,
    clock: Clock,
    outputs: Outputs = NOWHERE,
    *,
    find: Find = lambda _: None,
    evaluator: Evaluator | None = None,
) -> Run:
    """Model, data, optimizer state: everything before the clock of the submission starts."""
    model_key, data_key, init_key, step_key = jax.random.split(jax.random.key(spec.seed), 4)
    view = WorkloadView(workload, spec.fixed.budget_s)
    clock.enter(Account.INIT)
    batch_size = algorithm.batch_size(view)
    contract.check_batch_size(batch_size)
    train = initial_state(
        algorithm, view, workload, spec.point, model_key=model_key, init_key=init_key
    )
    clock.enter(Account.SETUP, after=(train, under_way()))
    clock.excuse_init(max(INIT_FREE_S, INIT_FREE_SHARE * spec.fixed.budget_s))
    data_seed = int(jax.random.randint(data_key, (), 0, np.iinfo(np.int32).max))
    at = find(train) or Checkpoint(train, 0, 0, 0, (), {}, 0.0, 0.0, {})
    run = Run(
        trial=f"{spec.submission}/study_{spec.study}/{spec.workload}/trial_{spec.trial}",
        workload=workload,
        view=view,
        algorithm=algorithm,
        batches=workload.dataset.training(batch_size, data_seed, at.batches),
        batch_size=batch_size,
        train=at.train,
        keys=keys.step_keys(step_key, at.keys),
        clock=clock,
        evaluate=evaluator or Evaluator(workload),
        budget_s=spec.fixed.budget_s,
        outputs=outputs,
        several=dispatch.several(algorithm, workload, view, train, batch_size),
        step=at.step,
        keys_drawn=at.keys,
        evaluations=at.evaluations,
    )
    if at.step:
        clock.resume(at.accounts, at.compile_s)
        run.saved_at = clock.total_s
    return run


def initial_state(
    algorithm: Algorithm,
    view: WorkloadView,
    workload: Workload,
    point: tuning.Point | None,
    *,
    model_key: jax.Array,
    init_key: jax.Array,
) -> TrainState:
    """Fresh parameters, and what the submission's `init` makes of them, on every device."""
    params, model_state = init_model(workload, model_key)
    hyperparameters = None if point is None else tuning.hyperparameters(point)
    state = algorithm.init(view, params, hyperparameters, init_key)
    # Where a step leaves it, so that the step is compiled once.
    return sharding.put(TrainState(params, model_state, state), sharding.replicated())
