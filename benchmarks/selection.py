"""What selecting data is worth where a tenth of the labels is wrong, against taking all of it.

On `glyphs_resnet`, whose wrong labels this benchmark finds by drawing the data without them; the
submissions do not see which they are. All train at one point (AdamW's part is the same) for the
same number of steps, a few steps each in turn, so that the ratio of their steps' times bends with
no other load on the machine. Then AdamW trains once more for as many steps as it has time for
while each of the others makes its own, with its schedule stretched to them.

    python benchmarks/selection.py [--steps 300] [--seeds 3] [--workload glyphs_resnet]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from algoperf import caches, compilation, loading, registry, trial
from algoperf.data import ArrayDataset, Arrays, hash_of
from algoperf.spec import Batch, Progress, Split
from algoperf.submission import Algorithm
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, Workload
from workloads.datasets import glyphs

POINT = {"learning_rate": 5e-3, "one_minus_beta1": 0.1, "weight_decay": 1e-2, "warmup": 0.05}
CHUNK = 20
"""Steps in turn."""
PLAIN = "none (adamw)"
WAYS: Mapping[str, tuple[str, dict[str, float]]] = {
    PLAIN: ("adamw", {}),
    "loss_selection, lowest": ("loss_selection", {"part": 0.0}),
    "loss_selection, middle": ("loss_selection", {"part": 0.5}),
    "loss_selection, highest": ("loss_selection", {"part": 1.0}),
    "facility_location": ("facility_location", {}),
    "proxy_filter": ("proxy_filter", {}),
}


@cache
def marked(workload: Workload) -> Workload:
    """The workload with `wrong` in its batches, 1 where a label is wrong: models look past it."""
    dataset = workload.dataset
    if not isinstance(dataset, ArrayDataset) or dataset.name != "glyphs":
        raise SystemExit(f"{workload.name} has no wrong labels that are known; try glyphs_resnet")
    splits = dict(dataset.load())
    counts = {s: len(splits[s]["targets"]) for s in (Split.TRAIN, Split.VALIDATION, Split.TEST)}
    right = glyphs.make(counts, noise=110, label_noise=0.0)[Split.TRAIN]
    if not np.array_equal(right["inputs"], splits[Split.TRAIN]["inputs"]):
        raise RuntimeError("without wrong labels other images are drawn")
    wrong = (right["targets"] != splits[Split.TRAIN]["targets"]).astype(np.float32)
    train: Arrays = {**splits[Split.TRAIN], "wrong": wrong}
    splits[Split.TRAIN] = train
    kept = ArrayDataset("marked", lambda: splits, hash_of(splits), prepare=dataset.prepare)
    return replace(workload, dataset=kept)


@cache
def scene(workload: Workload, steps: int) -> tuple[Workload, WorkloadView, Evaluator]:
    """The marked workload with its step hint, seen and evaluated: one compilation for all seeds."""
    hinted = replace(marked(workload), step_hint=steps)
    return hinted, WorkloadView(hinted, float("inf")), Evaluator(hinted)


@cache
def algorithm(name: str) -> Algorithm:
    return loading.load(Path(__file__).parent.parent / "submissions" / f"{name}.py").algorithm


@jax.jit
def share_wrong(batch: Batch) -> jax.Array:
    return batch["wrong"].mean()


class Training:
    """One submission at one point with one seed."""

    def __init__(self, workload: Workload, way: str, seed: int, steps: int) -> None:
        name, selects = WAYS[way]
        self._algorithm = algorithm(name)
        hinted, self._view, self._evaluate = scene(workload, steps)
        model_key, init_key, step_key = jax.random.split(jax.random.key(seed), 3)
        self._train = trial.initial_state(
            self._algorithm,
            self._view,
            hinted,
            {**POINT, **selects},
            model_key=model_key,
            init_key=init_key,
        )
        self._batches = hinted.dataset.training(workload.batch_size, seed)
        self._key = step_key
        self._step = 0
        self._shares: list[jax.Array] = []

    def more(self, steps: int) -> float:
        """Trains so many further steps; their time [s] includes the selection."""
        start = time.perf_counter()
        for _ in range(steps):
            progress = Progress(self._step, 0.0, float("inf"), ())
            choose, change = jax.random.split(jax.random.fold_in(self._key, self._step))
            batch: Any = self._algorithm.select_batch(
                self._view, self._batches, self._train, choose, progress
            )
            self._shares.append(share_wrong(getattr(batch, "batch", batch)))
            self._train = self._algorithm.update(self._view, self._train, batch, change, progress)
            self._step += 1
        jax.block_until_ready(self._train)
        return time.perf_counter() - start

    def accuracy(self) -> float:
        """Of validation, whose labels are right."""
        params, model_state, _ = self._train
        return self._evaluate(params, model_state, Split.VALIDATION)["accuracy"]

    def wrong(self) -> float:
        """Share of wrong labels among all rows that the model learned from."""
        return float(np.mean(jax.device_get(self._shares)))


class Result(NamedTuple):
    """What a way came to with one seed."""

    accuracy: float
    wrong: float
    times_s: list[float]


Run = Mapping[str, Result]
"""Way -> its result, all with the same seed."""


def in_turn(workload: Workload, seed: int, steps: int) -> Run:
    """Trains every way, a chunk of steps each in turn."""
    trainings = {way: Training(workload, way, seed, steps) for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for number, done in enumerate(range(0, steps, CHUNK)):
        # Which goes first changes, so that a machine that slows down favours none.
        order = list(WAYS)[number % len(WAYS) :] + list(WAYS)[: number % len(WAYS)]
        for way in order:
            times[way].append(trainings[way].more(min(CHUNK, steps - done)))
    return {
        # The first chunk compiles.
        way: Result(training.accuracy(), training.wrong(), times[way][1:])
        for way, training in trainings.items()
    }


def longer(workload: Workload, seeds: range, steps: int) -> list[float]:
    """Accuracies of AdamW on all data as it comes, for so many steps."""
    trainings = [Training(workload, PLAIN, seed, steps) for seed in seeds]
    for training in trainings:
        training.more(steps)
    return [training.accuracy() for training in trainings]


def spread(values: Sequence[float]) -> str:
    """Median, and least to greatest."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def better(values: Sequence[float], others: Sequence[float]) -> str:
    """With how many seeds a value is above the other."""
    won = sum(value > other for value, other in zip(values, others, strict=True))
    return f"{won} of {len(values)}"


def same_steps(runs: Sequence[Run]) -> Iterator[str]:
    """The table of what each way came to in the same number of steps, line by line."""
    yield "| selection | wrong labels among the chosen | accuracy | better than adamw |"
    yield "|---|---|---|---|"
    plain = [run[PLAIN].accuracy for run in runs]
    for way in WAYS:
        found = [run[way].accuracy for run in runs]
        won = "" if way == PLAIN else better(found, plain)
        yield f"| {way} | {spread([run[way].wrong for run in runs])} | {spread(found)} | {won} |"


def same_time(workload: Workload, runs: Sequence[Run], steps: int) -> Iterator[str]:
    """The table of what AdamW alone comes to in the same time, line by line."""
    yield (
        "| submission | its step / adamw's: median (quartiles) | adamw's steps | accuracy "
        "| better than that |"
    )
    yield "|---|---|---|---|---|"
    for name in dict.fromkeys(name for name, _ in WAYS.values() if name != WAYS[PLAIN][0]):
        ways = [way for way, (of, _) in WAYS.items() if of == name]
        ratios = [
            own / plain
            for run in runs
            for way in ways
            for own, plain in zip(run[way].times_s, run[PLAIN].times_s, strict=True)
        ]
        low, middle, high = statistics.quantiles(ratios, n=4)
        count = round(middle * steps)
        plain = longer(workload, range(len(runs)), count)
        won = {way: better([run[way].accuracy for run in runs], plain) for way in ways}
        yield (
            f"| {name} | {middle:.2f} ({low:.2f} to {high:.2f}) | {count} | {spread(plain)} "
            f"| {', '.join(f'{way}: {told}' for way, told in won.items())} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", default="glyphs_resnet")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.steps < 3 * CHUNK:
        parser.error(f"--steps {arguments.steps} is too few: the first {CHUNK} are not timed")
    compilation.use_cache(caches.folder_of(caches.HARNESS))
    workload, steps = registry.workload(arguments.workload), arguments.steps
    runs = []
    for seed in range(arguments.seeds):
        runs.append(in_turn(workload, seed, steps))
        for way, (accuracy, wrong, times) in runs[-1].items():
            ratio = sum(times) / sum(runs[-1][PLAIN].times_s)
            told = f"seed {seed}, {way}: accuracy {accuracy:.3f}, wrong {wrong:.3f}, {ratio:.2f}x"
            print(told, file=sys.stderr, flush=True)
    print(f"After {steps} steps, {len(runs)} seeds: median (least to greatest)\n")
    for line in same_steps(runs):
        print(line, flush=True)
    print("\nadamw for as long as their selection and their steps take\n")
    for line in same_time(workload, runs, steps):
        print(line, flush=True)


if __name__ == "__main__":
    main()
