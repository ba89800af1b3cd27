"""The training loop, on a workload that compiles in a moment and a clock that tests turn."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax.core import frozen_dict

from algoperf import contract, registry, running, trial
from algoperf.accounts import SUBMISSION, Account
from algoperf.clock import Clock
from algoperf.errors import TrainingComplete, UserError
from algoperf.guard import RuleBroken
from algoperf.spec import Status
from algoperf.submission import Algorithm
from algoperf.workload import Extra, Standing
from tests import tiny
from tests.algoperf.conftest import SGD, Time
from tests.small_data import ready
from workloads.models.layers import dense


def update_with(change) -> Algorithm:
    """An algorithm whose update is SGD and then `change(train, progress)`."""

    def update(workload, train, batch, key, progress):
        return change(SGD.update(workload, train, batch, key, progress), progress)

    return dataclasses.replace(SGD, update=update)


def test_a_run_ends_when_the_target_is_reached(run):
    ending, rows, _ = run(SGD)
    assert ending.status == Status.TARGET_REACHED
    reached = rows["validation/cross_entropy"] <= 0.5
    assert reached.tolist() == [False] * (len(rows) - 1) + [True]
    assert ending.steps == rows["global_step"].iloc[-1]
    assert rows["global_step"].tolist() == list(range(5, ending.steps + 1, 5))


def test_the_record_has_mlcommons_columns_in_their_order(run):
    _, rows, _ = run(SGD)
    theirs = [
        "accumulated_eval_time", "accumulated_logging_time", "accumulated_submission_time",
        "global_step", "preemption_count", "score", "test/cross_entropy", "test/error_rate",
        "test/num_examples", "total_duration", "train/cross_entropy", "train/error_rate",
        "validation/cross_entropy", "validation/error_rate", "validation/num_examples",
    ]  # fmt: skip
    assert [column for column in rows.columns if column in theirs] == theirs
    assert list(rows.columns) == sorted(rows.columns)
    assert (rows["score"] == rows["accumulated_submission_time"]).all()
    assert (rows["examples"] == 4 * rows["global_step"]).all()
    assert rows["flops"].iloc[-1] > 0
    assert rows["validation/num_examples"].iloc[0] == 12


def test_every_evaluation_writes_the_workloads_table_off_the_clock(run, tmp_path):
    time = Time(1e-4)

    def table(model, variables, standing):
        time.seconds += 10.0
        bias = variables["params"]["Dense_0"]["bias"]
        return {"who": [standing.trial] * 2, "step": [standing.step] * 2, "bias": bias.tolist()}

    workload = dataclasses.replace(tiny.unreachable_for(10), extra=Extra("biases", table))
    _, rows, facts = run(SGD, workload, time)
    found = pd.read_csv(next(tmp_path.rglob("biases.csv")))
    assert found["step"].tolist() == [5, 5, 10, 10]
    assert set(found["who"]) == {"source/study_1/tiny/trial_1"}
    assert found["bias"].iloc[0] != found["bias"].iloc[2]
    assert facts["clock"]["submission_s"] < 1
    assert facts["clock"]["accounts"]["evaluation"] > 20
    # A model of two classes and six inputs; a batch of four.
    seen: list[Standing] = []

    def note(model, variables, standing):
        seen.append(standing)
        return {"step": [standing.step]}

    run(SGD, dataclasses.replace(workload, extra=Extra("notes", note)), trial_number=2)
    assert [(s.step, s.examples, s.parameters) for s in seen] == [(5, 20, 14), (10, 40, 14)]
    assert [s.flops for s in seen] == rows["flops"].tolist()


def test_the_budget_is_checked_between_steps_not_only_at_evaluations(run):
    never = dataclasses.replace(tiny.unreachable_for(10**6), eval_every_steps=10**9, budget_s=0.5)
    ending, rows, facts = run(SGD, never, Time(1e-3))
    assert ending.status == Status.BUDGET_EXHAUSTED
    assert rows is None
    assert 0.5 <= facts["clock"]["submission_s"] < 0.51


def test_no_evaluation_counts_that_is_past_the_budget(run):
    """An expensive `params_for_evaluation` is on the clock: here it takes the whole budget."""
    time = Time(1e-4)

    def slow(workload, train, progress):
        time.seconds += 10.0
        return train.params, train.model_state

    workload = dataclasses.replace(tiny.workload, budget_s=5.0)
    ending, rows, _ = run(dataclasses.replace(SGD, params_for_evaluation=slow), workload, time)
    assert ending.status == Status.BUDGET_EXHAUSTED
    assert rows is None


def test_nan_meets_no_target_and_ends_the_run_as_diverged(run):
    def nan_at_7(train, progress):
        params = jax.tree.map(lambda x: x * jnp.nan, train.params)
        return train._replace(params=params) if progress.step == 7 else train

    ending, rows, _ = run(update_with(nan_at_7), tiny.unreachable_for(40))
    assert ending.status == Status.DIVERGED
    assert ending.steps == 10
    assert math.isnan(rows["validation/cross_entropy"].iloc[-1])


def test_a_submission_may_finish_early_and_gets_a_last_evaluation(run):
    ending, rows, _ = run(SGD, tiny.unreachable_for(7))
    assert ending.status == Status.FINISHED_EARLY
    assert ending.steps == 7
    assert rows["global_step"].tolist() == [5, 7]


def test_what_was_just_evaluated_is_not_evaluated_again(run):
    ending, rows, _ = run(SGD, tiny.unreachable_for(10))
    assert ending.status == Status.FINISHED_EARLY
    assert rows["global_step"].tolist() == [5, 10]


def test_what_a_submission_raises_goes_through(run):
    def raise_at_3(train, progress):
        if progress.step == 3:
            raise ZeroDivisionError("in the submission")
        return train

    with pytest.raises(ZeroDivisionError, match="in the submission"):
        run(update_with(raise_at_3))


def metrics_of(rows):
    return rows[[c for c in rows.columns if "/" in c or c == "global_step"]]


def test_the_same_seed_gives_the_same_evaluations_bit_for_bit_and_another_does_not(run):
    first = metrics_of(run(SGD, tiny.unreachable_for(40), trial_number=1)[1])
    again = metrics_of(run(SGD, tiny.unreachable_for(40), trial_number=2, now=Time(5e-3))[1])
    other = metrics_of(run(SGD, tiny.unreachable_for(40), trial_number=3, seed=1)[1])
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.slow
def test_steps_to_target_do_not_depend_on_the_load(run):
    quick = run(SGD, trial_number=1, now=Time(1e-6))[1]
    slow = run(SGD, trial_number=2, now=Time(1e-1))[1]
    assert metrics_of(quick).equals(metrics_of(slow))


def test_evaluation_by_time(run):
    timed = dataclasses.replace(
        tiny.unreachable_for(10**6), eval_every_steps=None, eval_every_s=1.0, budget_s=5.0
    )
    _, rows, _ = run(SGD, timed, Time(0.01))
    gaps = rows["accumulated_submission_time"].diff().dropna()
    assert len(gaps) >= 2
    assert ((gaps >= 1.0) & (gaps < 1.2)).all()


def test_the_accounts_add_up_to_the_total(run):
    import time

    _, rows, facts = run(SGD, tiny.unreachable_for(60), now=time.perf_counter)
    clock = facts["clock"]
    assert sum(clock["accounts"].values()) == pytest.approx(clock["total_s"], rel=0.01)
    parts = sum(clock["accounts"][str(account)] for account in SUBMISSION)
    assert parts == pytest.approx(clock["submission_s"])
    times = rows["accumulated_submission_time"]
    assert times.is_monotonic_increasing
    assert (times > 0).all()


def test_select_batch_and_batch_size_are_the_submissions(run):
    seen = []

    def select(workload, batches, train, key, progress):
        next(batches)
        batch = next(batches)
        seen.append(batch["inputs"].shape[0])
        return batch

    algorithm = dataclasses.replace(SGD, batch_size=lambda w: 6, select_batch=select)
    _, rows, facts = run(algorithm, tiny.unreachable_for(10))
    assert set(seen) == {6}
    assert facts["workload"]["batch_size"] == 6
    assert rows["examples"].iloc[-1] == 60


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "must be a positive int"),
        (2.5, "must be a positive int"),
        (3, "2 devices .* 4 would do"),
    ],
)
def test_a_batch_size_that_cannot_be_is_refused(run, size, message):
    with pytest.raises(UserError, match=message):
        run(dataclasses.replace(SGD, batch_size=lambda w: size))


def test_averaged_parameters_are_evaluated_and_training_goes_on_from_its_own(run):
    """The evaluated parameters are all zero, so each loss is log 2; training is not disturbed."""

    def zeros(workload, train, progress):
        return jax.tree.map(jnp.zeros_like, train.params), train.model_state

    workload = tiny.unreachable_for(20)
    _, rows, _ = run(dataclasses.replace(SGD, params_for_evaluation=zeros), workload)
    assert rows["validation/cross_entropy"].tolist() == pytest.approx([math.log(2)] * len(rows))


def test_progress_tells_no_test_metric(run):
    told: list[Any] = []

    def look(train, progress):
        told.append(progress)
        return train

    run(update_with(look), tiny.unreachable_for(20))
    last = told[-1]
    assert last.step == 19
    assert [e.step for e in last.evaluations] == [5, 10, 15]
    names = {name for e in last.evaluations for name in e.metrics}
    assert {name.split("/")[0] for name in names} == {"train", "validation"}
    assert 0 < last.time_s < last.budget_s


def test_randomness_is_independent_by_purpose(run):
    """Another way to draw batches changes neither the initial parameters nor dropout's keys."""
    kept: dict[str, list] = {"a": [], "b": []}

    def keep(name):
        def update(workload, train, batch, key, progress):
            if progress.step == workload.step_hint:
                raise TrainingComplete
            kept[name].append(str(key))
            return train

        return dataclasses.replace(SGD, update=update)

    def skip_one(workload, batches, train, key, progress):
        next(batches)
        return next(batches)

    run(keep("a"), tiny.unreachable_for(10), trial_number=1)
    run(
        dataclasses.replace(keep("b"), select_batch=skip_one),
        tiny.unreachable_for(10),
        trial_number=2,
    )
    assert kept["a"][1:] == kept["b"][1:]  # the first call is the tracing that counts operations
    assert len(set(kept["a"][1:])) == 10


class Flat(nn.Module):
    """A linear model of images."""

    @nn.compact
    def __call__(self, batch, train):
        return dense(10)(batch["inputs"].reshape(len(batch["inputs"]), -1))


@pytest.mark.slow
def test_a_trial_on_data_from_disk_repeats_itself(run, tmp_path):
    dataset = ready("mnist", tmp_path / "data")
    workload = dataclasses.replace(tiny.unreachable_for(11), model=Flat(), dataset=dataset)
    (ending, rows, facts), (_, again, _) = (run(SGD, workload, trial_number=n) for n in (1, 2))
    assert ending.status == Status.FINISHED_EARLY
    assert rows["global_step"].tolist() == [5, 10, 11]
    assert rows["validation/num_examples"].tolist() == [5, 5, 5]
    assert facts["workload"]["dataset_sha256"] == dataset.sha256
    assert rows["validation/cross_entropy"].is_unique
    assert metrics_of(rows).equals(metrics_of(again))


def test_a_trial_without_its_data_says_what_is_missing(run, tmp_path):
    dataset = dataclasses.replace(registry.dataset("mnist"), root=tmp_path)
    workload = dataclasses.replace(tiny.unreachable_for(11), model=Flat(), dataset=dataset)
    with pytest.raises(UserError, match="Not ready: data set 'mnist': .*mnist/3.0.1 is missing"):
        run(SGD, workload)


def test_whatever_is_queued_is_waited_for_before_an_evaluation():
    elsewhere = jax.jit(lambda x: x + 1)(jnp.ones(3))
    assert any(array is elsewhere for array in running.under_way())
    gone = jax.jit(lambda x: x + 1, donate_argnums=0)
    gone(elsewhere)
    assert all(array is not elsewhere for array in running.under_way())


class Text(str):
    """A name that may compute as it is compared."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("params", "state", "what"),
    [
        ({Text("w"): jnp.ones(2)}, {}, "returned a Text"),
        ({"w": np.float32(1)}, {}, "returned a float32"),
        ({"w": jnp.ones(3)}, {}, r"w is float32\[3\]; it was float32\[2\]"),
        ({"w": jnp.ones(2)}, {"more": jnp.ones(1)}, "another model state than the model's"),
        ({"w": jnp.ones(2)}, frozen_dict.freeze({}), "returned a FrozenDict"),
    ],
)
def test_only_the_models_own_kinds_are_evaluated(params, state, what):
    shapes = {"w": jax.ShapeDtypeStruct((2,), jnp.float32)}
    with pytest.raises(UserError, match=what):
        contract.check_evaluated((params, state), shapes, {})


def test_what_init_leaves_queued_is_waited_for_on_its_account(run, monkeypatch):
    queued, waited = [], []
    enter = Clock.enter

    def entered(clock, account, after=None):
        if account is Account.SETUP:
            waited.extend(jax.tree.leaves(after))
        enter(clock, account, after)

    def init(workload, params, hyperparameters, key):
        queued.append(jax.jit(lambda x: x + 1)(jnp.ones(3)))
        return SGD.init(workload, params, hyperparameters, key)

    monkeypatch.setattr(Clock, "enter", entered)
    run(dataclasses.replace(SGD, init=init))
    assert any(array is queued[0] for array in waited)


def test_a_broken_rule_ends_the_trial(monkeypatch, run):
    def update(workload, train, batch, key, progress):
        monkeypatch.setattr(trial.Evaluator, "__call__", lambda *_: {"cross_entropy": 0.0})
        return SGD.update(workload, train, batch, key, progress)

    with pytest.raises(RuleBroken, match="Evaluator"):
        run(dataclasses.replace(SGD, update=update))
