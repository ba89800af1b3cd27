"""How well the per-choice forecast does on families whose truth is known: bias and coverage.

The choices rise by lines over compute with normal errors of their own, and the correct ones have an
error that all samples of a model share. The largest model is held out.

    python benchmarks/forecast_coverage.py [--families 400]
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scoring.diagnostics import chain, trend
from scoring.intervals import Floats


@dataclass(frozen=True)
class Case:
    """Families of one kind: sizes, standard deviations of errors [nats], share that is learned.

    A correct choice rises by 0.6 nats a decade more than the others in the mean: by 0.6 / learned
    in the questions that are learned, by nothing in the others.
    """

    models: int
    samples: int
    choices: int
    noise: float
    shared: float
    learned: float = 1.0


GRID = [
    Case(*values)
    for values in itertools.product((5, 8), (150, 2000), (2, 4), (0.3, 1.0, 2.0), (0.0, 0.05, 0.3))
]
UNEVEN = Case(8, 2000, 4, 1.0, 0.0, learned=0.3)
"""Lines that are not normal: what borrowing them as if they were costs."""


@dataclass(frozen=True)
class Done:
    """What forecasts of accuracy and of mean p_choices were worth, each a mean over families."""

    bias: float
    coverage: float
    p_choices_bias: float
    p_choices_coverage: float
    width: float


def family(case: Case, seed: int) -> tuple[Floats, np.ndarray]:
    """Log-likelihoods, shape (choices, models, samples), and the correct choices.

    All choices rise by a nat a decade, the correct ones by more; levels differ with sd 3.
    """
    rng = np.random.default_rng(seed)
    gold = rng.integers(case.choices, size=case.samples)
    correct = np.arange(case.choices)[:, None, None] == gold
    shape = (case.choices, case.models, case.samples)
    start = rng.normal(-30, 3, (case.choices, 1, case.samples))
    more = 0.6 / case.learned * (rng.random(case.samples) < case.learned)
    rise = (1 + more * correct) * np.arange(case.models)[None, :, None]
    shared = correct * rng.normal(0, case.shared, (1, case.models, 1))
    return start + rise + shared + rng.normal(0, case.noise, shape), gold


def tried(case: Case, seeds: Sequence[int]) -> Done:
    """The last model of each family is forecast from the others."""
    return Done(*np.mean(list(_each(case, seeds)), axis=0))


def _each(case: Case, seeds: Sequence[int]) -> Iterator[list[float]]:
    x = np.arange(case.models, dtype=float)
    for seed in seeds:
        loglik, gold = family(case, seed)
        there = np.ones((case.choices, case.samples), bool)
        lines = trend.fit(x[:-1], loglik[:, :-1], there, gold)
        told = trend.predict(lines, float(x[-1]))
        accuracy = float(chain.accuracy(loglik, gold)[-1].mean())
        p = float(chain.p_choices_correct(loglik, gold)[-1].mean())
        (low, high), (p_low, p_high) = told.accuracy_interval, told.p_choices_interval
        yield [
            float(told.hit.mean()) - accuracy, low <= accuracy <= high,
            float(told.p_choices.mean()) - p, p_low <= p <= p_high, high - low,
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", type=int, default=400)
    count = parser.parse_args().families
    print(
        "| models | samples | choices | noise | shared | learned | bias | covered | width "
        "| bias of p_choices | covered |"
    )
    print("|" + "---|" * 11)
    for case in [*GRID, UNEVEN]:
        done = tried(case, range(count))
        print(
            f"| {case.models} | {case.samples} | {case.choices} | {case.noise} | {case.shared} "
            f"| {case.learned} | {done.bias:+.4f} | {done.coverage:.1%} | {done.width:.3f} "
            f"| {done.p_choices_bias:+.4f} | {done.p_choices_coverage:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
