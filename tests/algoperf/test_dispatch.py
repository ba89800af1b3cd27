"""Several steps in one dispatch: the same bits, when it is done, and all else as before."""

import dataclasses
import itertools
from functools import partial
from pathlib import Path
from typing import NoReturn

import jax
import jax.numpy as jnp
import optax
import pytest

from algoperf import dispatch, loading, registry, running, trial, tuning
from algoperf.accounts import Account
from algoperf.clock import Clock
from algoperf.dispatch import SHORT_S, STEPS, Several, Traced
from algoperf.loop import train_loop
from algoperf.records import TrialSpec
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.spec import Status
from algoperf.submission import Algorithm, from_optax
from algoperf.view import WorkloadView
from algoperf.workload import Workload
from tests import tiny
from tests.algoperf.conftest import SGD, Time
from tests.states import AVERAGED, bits

WITHOUT_CONVOLUTION = ("clicks", "facts_lm", "molecules", "translation")


def made(algorithm: Algorithm, workload: Workload, point: tuning.Point | None = None):
    view = WorkloadView(workload, 10.0)
    keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
    train = trial.initial_state(algorithm, view, workload, point, **keys)
    together = dispatch.several(algorithm, workload, view, train, workload.batch_size)
    return view, train, together


def same_bits(algorithm: Algorithm, workload: Workload, point: tuning.Point | None = None) -> bool:
    """Whether two dispatches leave the state that twice as many steps leave."""
    view, train, together = made(algorithm, workload, point)
    _, copy, _ = made(algorithm, workload, point)
    assert together is not None
    stream = workload.dataset.training(workload.batch_size, seed=0)
    batches = [next(stream) for _ in range(2 * STEPS)]
    keys = list(jax.random.split(jax.random.key(2), 2 * STEPS))
    for batch, key in zip(batches, keys, strict=True):
        train = submission_step(algorithm)(view, train, batch, key)
    for part in (slice(STEPS), slice(STEPS, None)):
        copy = together(copy, batches[part], keys[part])
    return bits(train) == bits(copy)


def submission_step(algorithm: Algorithm) -> dispatch.Step:
    assert isinstance(algorithm.update, Traced)
    return algorithm.update.step


def test_they_leave_the_same_bits():
    assert same_bits(AVERAGED, tiny.workload)


def traced_submissions() -> list[str]:
    names = registry.submission_names()
    return [n for n in names if isinstance(loading.load(n).algorithm.update, Traced)]


@pytest.mark.table
@pytest.mark.parametrize("name", traced_submissions())
def test_they_leave_the_same_bits_for_every_submission(name):
    loaded = loading.load(name)
    space = loaded.search_space
    point = None if space is None else tuning.draw(space, 1, seed=0)[0]
    algorithm = dataclasses.replace(loaded.algorithm, select_batch=Algorithm.select_batch)
    assert same_bits(algorithm, registry.workload("digits_autoencoder"), point)


@pytest.mark.table
@pytest.mark.parametrize("name", WITHOUT_CONVOLUTION)
def test_they_leave_the_same_bits_on_every_workload_that_may(name):
    adamw = from_optax(lambda hp, workload: optax.adamw(1e-3))
    assert same_bits(adamw, registry.workload(name))


@pytest.mark.table
def test_the_workloads_that_may_are_those_without_convolution():
    names = [n for n, w in registry.workloads().items() if w.base is None and w.suite != "full"]
    may = {name for name in names if made(SGD, registry.workload(name))[2] is not None}
    assert may == {*WITHOUT_CONVOLUTION, "digits_autoencoder"}


def test_who_does_anything_between_steps_makes_them_one_by_one():
    def update(workload, train, batch, key, progress):
        return SGD.update(workload, train, batch, key, progress)

    def select_batch(workload, batches, train, key, progress):
        return next(batches)

    assert made(SGD, tiny.workload)[2] is not None
    assert made(dataclasses.replace(SGD, update=update), tiny.workload)[2] is None
    assert made(dataclasses.replace(SGD, select_batch=select_batch), tiny.workload)[2] is None
    charged = dataclasses.replace(tiny.workload, compile_counts=True)
    assert made(SGD, charged)[2] is None

    def breaks(*_) -> NoReturn:
        raise ZeroDivisionError

    broken = dataclasses.replace(SGD, update=Traced(breaks))
    assert made(broken, tiny.workload)[2] is None  # its first step says so


def test_never_past_an_evaluation_the_limit_or_what_may_be_queued():
    view = WorkloadView(tiny.workload, 10.0)
    several = Several(view, Traced(submission_step(SGD), lambda _: 100))
    count = partial(several.count, step=0, due=10, allowed=20, step_s=SHORT_S)
    assert count() == 10
    assert count(due=9) == 1
    assert count(due=None) == 10
    assert count(allowed=19) == 1
    assert count(step_s=1.01 * SHORT_S) == 1
    assert count(step=90) == 10
    assert count(step=91) == 1
    assert count(step=100) == 1  # which says that it is complete


@pytest.mark.parametrize(("step_s", "together"), [(1e-4, True), (6e-4, False)])
def test_short_steps_go_together_however_often_they_are_evaluated(monkeypatch, step_s, together):
    """At every 30th step the device is waited for anyway."""
    now, queued = Time(), 0

    def wait(_):
        nonlocal queued
        now.seconds += step_s * queued
        queued = 0

    monkeypatch.setattr(jax, "block_until_ready", wait)
    several = Several(WorkloadView(tiny.workload, 10.0), Traced(submission_step(SGD)))
    clock = Clock(now=now)
    clock.enter(Account.UPDATE)
    step, counts = 0, []
    while step < 3000:
        counts.append(several.count(step, 30 - step % 30, clock.allowed, clock.step_s))
        step += counts[-1]
        queued += counts[-1]
        clock.settle((), counts[-1])
        if step % 30 == 0:
            clock.enter(Account.EVALUATION, after=())
            clock.enter(Account.UPDATE)
    assert counts[-1] == (10 if together else 1)
    assert counts.count(10) == (pytest.approx(300, abs=10) if together else 0)


def prepared(workload: Workload, **options) -> running.Run:
    fixed = WorkloadRules(workload.validation, workload.test, 1e9, workload.step_hint)
    spec = TrialSpec(
        "s", Path(tiny.__file__), "", "tiny", 1, 1, 0, None, Ruleset.SELF_TUNING, "tests", fixed
    )
    return trial.prepare(
        spec,
        dataclasses.replace(workload, **vars(fixed)),
        AVERAGED,
        Clock(run_ahead_s=0.0),
        **options,
    )


@pytest.fixture
def dispatches(monkeypatch):
    """Numbers of steps that are dispatched together, in order, as if steps were short."""
    made_: list[int] = []
    call = Several.__call__

    def counted(self, train, batches, keys):
        made_.append(len(keys))
        return call(self, train, batches, keys)

    monkeypatch.setattr(Several, "__call__", counted)
    monkeypatch.setattr(Clock, "allowed", 2 * STEPS)
    monkeypatch.setattr(Clock, "step_s", 0.0)
    return made_


@pytest.mark.slow
def test_a_trial_is_the_same_and_ends_at_its_limit(run, dispatches, monkeypatch):
    # 25 are 10, 10 and five times 1, and the 12 after 125 are 10 and twice 1.
    workload = dataclasses.replace(tiny.unreachable_for(137), eval_every_steps=25)
    ending, rows, facts = run(AVERAGED, workload)
    assert dispatches == [STEPS] * 11
    assert ending.status == Status.FINISHED_EARLY
    assert ending.steps == 137
    monkeypatch.setattr(dispatch, "several", lambda *_: None)
    other_ending, other, other_facts = run(AVERAGED, workload, trial_number=2)
    assert len(dispatches) == 11
    assert other_ending == ending
    assert other_facts["flops_per_step"] == facts["flops_per_step"]
    same = [name for name in rows if "/" in name] + ["global_step", "examples", "flops"]
    assert rows[same].equals(other[same])
    assert rows["global_step"].tolist() == [25, 50, 75, 100, 125, 137]


@pytest.mark.slow
def test_from_any_checkpoint_it_goes_on_to_the_same_bits(dispatches, monkeypatch):
    monkeypatch.setattr(running, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(running, "CHECKPOINT_SHARE", float("inf"))
    workload = dataclasses.replace(tiny.unreachable_for(150), eval_every_steps=27)
    kept = []

    def save(train):
        copied = jax.tree.map(jnp.copy, train)
        return lambda point: kept.append(dataclasses.replace(point, train=copied))

    whole = prepared(workload, outputs=running.Outputs(save=save))
    train_loop(whole)
    assert [point.step for point in kept] == [27, 54, 81, 108, 135]
    assert all(point.keys == point.batches == point.step for point in kept)
    for point in kept:
        dispatches.clear()
        rest = prepared(workload, find=lambda _, point=point: point)
        train_loop(rest)
        assert bits(rest.train) == bits(whole.train)
        assert rest.step == whole.step == 150
        assert len(dispatches) == 2 * (5 - point.step // 27) + 1  # what the whole had left


def test_what_is_queued_is_bounded_however_much_goes_together(monkeypatch):
    """With steps of 1 ms, ten at a time: never more than 200 of them."""
    now, queued, waits = Time(), 0, []

    def wait(_):
        nonlocal queued
        now.seconds += 1e-3 * queued
        waits.append(queued)
        queued = 0

    monkeypatch.setattr(jax, "block_until_ready", wait)
    clock = Clock(now=now)
    for _ in itertools.repeat(None, 300):
        count = STEPS if clock.allowed >= 2 * STEPS else 1
        queued += count
        clock.settle(None, count)
    assert 190 <= max(waits) <= 200
