"""Ten steps in one dispatch against ten dispatches, and whether they leave the same bits.

On every workload of the quick and the pocket suite, also where a trial does not do it: what the
rule in algoperf/dispatch.py rests on. In alternation in one process that keeps what it frees.

    python benchmarks/together_cost.py [--workload NAME] [--rounds 9]
"""

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import jax
import numpy as np
import optax
from alternation import head, ratios, rounds, row, spread
from step_cost import small_workloads

from algoperf import allocation, caches, registry
from algoperf.compilation import use_cache
from algoperf.dispatch import STEPS, Several, Traced
from algoperf.spec import TrainState
from algoperf.submission import from_optax
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from algoperf.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

ADAMW = from_optax(lambda _, __: optax.adamw(1e-3))


class Loop:
    """Goes round the same ten batches: ten steps at each call, together or one by one."""

    def __init__(self, workload: Workload, *, together: bool) -> None:
        self._view = WorkloadView(workload, float("inf"))
        keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
        self.train = initial_state(ADAMW, self._view, workload, None, **keys)
        stream = workload.dataset.training(workload.batch_size, seed=0)
        self._batches = [next(stream) for _ in range(STEPS)]
        self._keys = list(jax.random.split(jax.random.key(2), STEPS))
        self._advance: Callable[[], TrainState] = self._at_once if together else self._one_by_one

    def __call__(self) -> float:
        start = time.perf_counter()
        self.train = self._advance()
        jax.block_until_ready(self.train)
        return time.perf_counter() - start

    def _at_once(self) -> TrainState:
        assert isinstance(ADAMW.update, Traced)
        return Several(self._view, ADAMW.update)(self.train, self._batches, self._keys)

    def _one_by_one(self) -> TrainState:
        assert isinstance(ADAMW.update, Traced)
        train = self.train
        for batch, key in zip(self._batches, self._keys, strict=True):
            train = ADAMW.update.step(self._view, train, batch, key)
        return train


def measure(workload: Workload, count: int) -> None:
    """One line of the table."""
    one, many = Loop(workload, together=False), Loop(workload, together=True)
    one()
    many()
    leaves = [jax.tree.leaves(jax.device_get(loop.train)) for loop in (one, many)]
    same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*leaves, strict=True))
    times = rounds({"one": one, "many": many}, count)
    row(
        workload.name,
        f"{statistics.median(times['one']) / STEPS * 1e3:.2f}",
        spread(ratios(times["many"], times["one"])),
        "yes" if same else "no",
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    allocation.keep_freed_memory()  # as a trial's process does
    use_cache(caches.folder_of(caches.HARNESS))
    head("workload", "one by one [ms/step]", "together / one by one", "quartiles", "range", "same")
    for name in arguments.workload or small_workloads():
        measure(registry.workload(name), arguments.rounds)


if __name__ == "__main__":
    main()
