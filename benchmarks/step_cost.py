"""What the harness costs: its loop against a bare jitted loop, per step.

Same model, batches and optimizer, one process that keeps what it frees, in alternation. The ratio
is of wall time, evaluation and compilation aside. The bare loop draws its batches from the same
stream; beside it stands one that goes round sixteen batches which lie on the device already, so
that the ratio to that one has the cost of shuffling and shifting in it, which is the workload's;
and the harness's loop where it makes every step by itself. To reach: at most 1.03 over the bare
loop on the autoencoder, whose step is the shortest, and 1.02 on the pocket workloads.

Two shares stand beside: of the loop's time that the host spent on the next batches (under 2 %),
and of a trial's time that evaluations take, at the rate at which the workload evaluates.

    python benchmarks/step_cost.py [--workload NAME] [--rounds 21] [--seconds 1.0]
                                   [--run-ahead 0.2]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import optax
from alternation import head, median_interval, ratios, rounds, row, spread

from algoperf import allocation, caches, registry, sharding, submission, trial
from algoperf.accounts import Account
from algoperf.clock import RUN_AHEAD_S, Clock
from algoperf.compilation import CompileMeter, use_cache
from algoperf.loop import train_loop
from algoperf.records import TrialSpec
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.workload import Workload, init_model

OPTIMIZER = optax.adamw(1e-4)
WARM_UP = 60
"""Steps before the first round, in which the harness begins to learn how long a step is."""


@dataclass
class Harness:
    """A trial that is trained further whenever it is called.

    Args:
        workload: What to train.
        meter: Hears of compilations.
        ahead_s: How much work may be queued before the clock waits [s].
        together: Whether several steps may be handed over at once.
    """

    workload: Workload
    meter: CompileMeter
    ahead_s: float = RUN_AHEAD_S
    together: bool = True

    def __post_init__(self) -> None:
        self.end = 0
        self.evaluation_s: float | None = None
        algorithm = submission.from_optax(lambda _, __: OPTIMIZER, steps=lambda _: self.end)
        workload = replace(self.workload, eval_every_steps=10**9)
        fixed = WorkloadRules(
            replace(workload.validation, value=float("nan")), workload.test, float("inf"), 1
        )
        spec = TrialSpec(
            "bench", Path(__file__), "", workload.name, 1, 1, 0, None, Ruleset.SELF_TUNING,
            "bench", fixed,
        )  # fmt: skip
        ahead_s = self.ahead_s if sharding.steps_may_overlap() else 0.0
        self.clock = Clock(self.meter, run_ahead_s=ahead_s)
        self.run = trial.prepare(
            spec,
            replace(workload, **vars(fixed)),
            algorithm,
            self.clock,
        )
        if not self.together:
            self.run.several = None

    def __call__(self, steps: int) -> float:
        """Wall time of `steps` further steps [s], without the evaluation that follows the first."""
        self.end += steps
        before = self._at_work()
        train_loop(self.run)
        took = self._at_work() - before
        if self.evaluation_s is None:
            self.evaluation_s = self.clock.accounts[Account.EVALUATION]
            # The next ones would only take time: the loop is told what it knows already.
            metrics = self.run.evaluations[-1].metrics
            known = {name.partition("/")[2]: value for name, value in metrics.items()}
            self.run.evaluate = lambda *_: known
            self.run.workload = replace(self.run.workload, extra=None)
        return took

    def _at_work(self) -> float:
        self.clock.enter(Account.LOGGING)
        accounts = self.clock.accounts
        return self.clock.total_s - accounts[Account.EVALUATION] - accounts[Account.COMPILATION]

    @property
    def data_share(self) -> float:
        """Part of the loop's time in which the host selected data."""
        accounts = self.clock.accounts
        return accounts[Account.DATA] / self.clock.submission_s

    def evaluation_share(self, step_s: float) -> float:
        """Part of a trial's time that evaluations take, where a step takes `step_s`."""
        each_s = self.evaluation_s or 0.0
        return each_s / (each_s + step_s * (self.workload.eval_every_steps or 1))


def bare(workload: Workload, *, draw: bool) -> Callable[[int], float]:
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
    state = jax.device_put((params, model_state, OPTIMIZER.init(params)), sharding.replicated())
    overlap = sharding.steps_may_overlap()

    def more(steps: int) -> float:
        nonlocal state
        start = time.perf_counter()
        for number in range(steps):
            batch = next(stream) if draw else batches[number % 16]
            state = step(*state, batch, keys[number % 16])
            if not overlap:
                jax.block_until_ready(state)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return more


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a loop takes in a round")
    parser.add_argument(
        "--run-ahead", type=float, default=RUN_AHEAD_S, help="queued work, at most [s]"
    )
    arguments = parser.parse_args()
    allocation.keep_freed_memory()  # as a trial's process does
    use_cache(caches.folder_of(caches.HARNESS))
    meter = CompileMeter()
    meter.listen()
    head(
        "workload", "bare [ms/step]", "harness / bare", "quartiles", "range", "of the median",
        "step by step / bare", "/ fixed batches", "data [%]", "evaluation [%]",
    )  # fmt: skip
    for name in arguments.workload or small_workloads():
        workload = registry.workload(name)
        ours, single = (
            Harness(workload, meter, arguments.run_ahead, together=together)
            for together in (True, False)
        )
        measure(workload, ours, single, arguments.rounds, arguments.seconds)


def small_workloads() -> list[str]:
    """The bases of the quick and the pocket suite."""
    return [n for n, w in registry.workloads().items() if w.base is None and w.suite != "full"]


def measure(
    workload: Workload, ours: Harness, one_by_one: Harness, count: int, seconds: float
) -> None:
    """One line of the table."""
    drawing = bare(workload, draw=True)
    loops: dict[str, Callable[[int], float]] = {
        "ours": ours,
        "one by one": one_by_one,
        "bare": drawing,
        "fixed": bare(workload, draw=False),
    }
    if ours.run.several is None:
        del loops["one by one"]  # it would be the same
    for loop in loops.values():
        loop(WARM_UP)
    steps = max(10, round(seconds / (drawing(10) / 10)))
    times = rounds({name: partial(loop, steps) for name, loop in loops.items()}, count)
    step_s = statistics.median(times["bare"]) / steps
    ratio = ratios(times["ours"], times["bare"])
    single = ratios(times["one by one"], times["bare"]) if "one by one" in times else None
    row(
        workload.name,
        f"{step_s * 1e3:.2f}",
        spread(ratio),
        median_interval(ratio),
        f"{statistics.median(single):.3f}" if single else "-",
        f"{statistics.median(ratios(times['ours'], times['fixed'])):.3f}",
        f"{100 * ours.data_share:.1f}",
        f"{100 * ours.evaluation_share(step_s):.0f}",
    )


if __name__ == "__main__":
    main()
