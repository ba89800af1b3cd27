"""What an update costs: each submission's, relative to plain gradient descent's.

One workload, one process: every submission makes `--steps` updates with batches that lie on the
device already, then the next one does, and so on for `--rounds` rounds; which goes first changes. A
ratio is that of a submission's time to gradient descent's in the same round, so that a load on the
machine that lasts longer than a round touches both. Selecting data is in it, and preparing
parameters for evaluation once a round; evaluation and compilation are not. Every round holds what
a submission does only now and then, as long as `--steps` is a multiple of 50.

    python benchmarks/update_cost.py [--workload NAME] [--rounds 9] [--steps 50] [SUBMISSION ...]
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import jax
import optax
from alternation import head, ratios, rounds, row, spread

from algoperf import allocation, registry, tuning
from algoperf.loading import load
from algoperf.spec import Batch, Progress
from algoperf.submission import Algorithm, from_optax
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from algoperf.workload import Workload

DESCENT = from_optax(lambda hp, workload: optax.sgd(1e-3))


class Circle:
    """A stream that goes round batches which lie on the device."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = itertools.cycle(batches)
        self._drawn = 0

    def position(self) -> int:
        return self._drawn

    def __next__(self) -> Batch:
        self._drawn += 1
        return next(self._batches)


def loop(
    algorithm: Algorithm, workload: Workload, point: tuning.Point | None, steps: int
) -> Callable[[], float]:
    """A function that makes `steps` further updates and returns their wall time [s]."""
    view = WorkloadView(workload, float("inf"))
    keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
    train = initial_state(algorithm, view, workload, point, **keys)
    stream = workload.dataset.training(algorithm.batch_size(view), seed=0)
    batches = Circle([next(stream) for _ in range(8)])
    step_keys = list(jax.random.split(jax.random.key(2), 2 * steps))
    done = 0

    def more() -> float:
        nonlocal train, done
        start = time.perf_counter()
        now = Progress(0, 0.0, float("inf"), ())
        for number in range(steps):
            now = Progress(done % workload.step_hint, 0.0, float("inf"), ())
            select_key, key = step_keys[2 * number : 2 * number + 2]
            batch = algorithm.select_batch(view, batches, train, select_key, now)
            train = algorithm.update(view, train, batch, key, now)
            done += 1
        jax.block_until_ready(algorithm.params_for_evaluation(view, train, now))
        return time.perf_counter() - start

    return more


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", default="glyphs_vit")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("submissions", nargs="*", default=registry.submission_names())
    arguments = parser.parse_args()
    allocation.keep_freed_memory()  # as a trial's process does
    workload = registry.workload(arguments.workload)
    loops = {"": loop(DESCENT, workload, None, arguments.steps)}
    for name in arguments.submissions:
        submission = load(name)
        space = submission.search_space
        point = None if space is None else tuning.draw(space, 1, seed=0)[0]
        loops[name] = loop(submission.algorithm, workload, point, arguments.steps)
    for more in loops.values():
        more()  # compilation, caches
    times = rounds(loops, arguments.rounds)
    descent_ms = statistics.median(times[""]) / arguments.steps * 1e3
    print(f"{workload.name}: gradient descent {descent_ms:.2f} ms a step")
    head("submission", "update / gradient descent's", "quartiles", "range")
    found = {name: ratios(times[name], times[""]) for name in arguments.submissions}
    for name in sorted(found, key=lambda name: statistics.median(found[name])):
        row(name, spread(found[name]))


if __name__ == "__main__":
    main()
