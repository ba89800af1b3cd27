"""What the harness costs: its loop against a bare jitted loop, per step.

Same model, batches and optimizer, one process, in alternation. The ratio is of wall time,
evaluation and compilation aside. The bare loop draws its batches from the same stream; beside it
stands one that goes round sixteen batches which lie on the device already, so that the ratio to
that one has the cost of shuffling and shifting in it, which is the workload's. To reach: at most
1.03 over the bare loop on the autoencoder, whose step is the shortest.

    python benchmarks/step_cost.py [--workload NAME] [--rounds 21] [--steps 500]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import optax

from algoperf import registry, submission, trial
from algoperf.clock import Account, Clock
from algoperf.compilation import CompileMeter
from algoperf.records import TrialSpec
from algoperf.rulesets import Ruleset, WorkloadRules
from algoperf.workload import Workload, init_model

OPTIMIZER = optax.adamw(1e-4)


def harness(workload: Workload, steps: int) -> Callable[[], float]:
    """A function that trains `steps` further steps and returns their wall time [s]."""
    end = 0
    algorithm = submission.from_optax(lambda _, __: OPTIMIZER, steps=lambda _: end)
    workload = replace(workload, eval_every_steps=10**9)
    path = Path(__file__)
    fixed = WorkloadRules(
        replace(workload.validation, value=float("nan")), workload.test, float("inf"), 1
    )
    spec = TrialSpec(
        "bench", path, "", workload.name, 1, 1, 0, None, Ruleset.SELF_TUNING, "bench", fixed
    )
    meter = CompileMeter()
    meter.listen()
    clock = Clock(meter)
    run = trial.prepare(
        spec,
        replace(workload, **vars(fixed)),
        algorithm,
        clock,
        append=lambda _: None,
        append_table=lambda _, __: None,
        keep=lambda *_: None,
        report=lambda _: None,
    )

    def more() -> float:
        nonlocal end
        end += steps
        before = _at_work(clock)
        trial.train_loop(run)
        return _at_work(clock) - before

    return more


def _at_work(clock: Clock) -> float:
    """Seconds of everything but evaluation and compilation."""
    clock.enter(Account.LOGGING)
    aside = clock.accounts[Account.EVALUATION] + clock.accounts[Account.COMPILATION]
    return clock.total_s - aside


def bare(workload: Workload, steps: int, *, draw: bool) -> Callable[[], float]:
    """The same with nothing around the step; draws its batches, or goes round sixteen."""

    @partial(jax.jit, donate_argnums=(0, 1, 2))  # as the submission does
    def step(params: Any, model_state: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            outputs, new_state = workload.model.apply(
                {"params": params, **model_state},
                batch,
                train=True,
                rngs={"dropout": key},
                mutable=list(model_state),
            )
            return workload.loss(outputs, batch).mean, new_state

        (_, new_state), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        change, state = OPTIMIZER.update(gradient, state, params)
        return optax.apply_updates(params, change), new_state, state

    params, model_state = init_model(workload, jax.random.key(0))
    stream = workload.dataset.training(workload.batch_size, seed=0)
    batches = [next(stream) for _ in range(16)]
    keys = list(jax.random.split(jax.random.key(1), 16))
    state = (params, model_state, OPTIMIZER.init(params))

    def more() -> float:
        nonlocal state
        start = time.perf_counter()
        for number in range(steps):
            batch = next(stream) if draw else batches[number % 16]
            state = step(*state, batch, keys[number % 16])
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return more


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--steps", type=int, default=500)
    arguments = parser.parse_args()
    names = arguments.workload or [n for n, w in registry.workloads().items() if w.base is None]
    print("| workload | bare [ms/step] | harness / bare | quartiles | range | / fixed batches |")
    print("|---|---|---|---|---|---|")
    for name in names:
        workload = registry.workload(name)
        loops = [
            harness(workload, arguments.steps),
            bare(workload, arguments.steps, draw=True),
            bare(workload, arguments.steps, draw=False),
        ]
        for loop in loops:
            loop()  # compilation, caches
        rounds = []
        for number in range(arguments.rounds):
            # Which goes first changes, so that a machine that slows down favours none.
            order = [(place + number) % 3 for place in range(3)]
            times = {place: loops[place]() for place in order}
            rounds.append([times[place] for place in range(3)])
        ratios = sorted(ours / drawn for ours, drawn, _ in rounds)
        low, middle, high = statistics.quantiles(ratios, n=4)
        each = statistics.median(drawn for _, drawn, _ in rounds) / arguments.steps * 1e3
        fixed = statistics.median(ours / fixed for ours, _, fixed in rounds)
        print(
            f"| {name} | {each:.2f} | {middle:.3f} | {low:.3f} to {high:.3f} "
            f"| {ratios[0]:.3f} to {ratios[-1]:.3f} | {fixed:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
