"""How often a score's 95 % interval holds the true score, by simulation with known truth.

A study's time on a workload is log-normal around a true median, or the study misses the target; the
true score is that of the true medians. For each number of studies: how often the interval holds it,
how wide it is, and how often an order that the table calls certain (at least 95 %) is the true one.

    python benchmarks/coverage.py [--repeats 400]
"""

import argparse
import itertools

import numpy as np

from algoperf.rules import Scoring
from scoring.intervals import LEVEL, interval
from scoring.leaderboard import bootstrap, profiles, times
from scoring.leaderboard.profiles import Suite

SUBMISSIONS, WORKLOADS = 5, 8
STUDIES = (2, 3, 5, 7, 10, 20)
SPREADS = (0.05, 0.2)
"""Standard deviation of the logarithm of a study's time."""
MISSES = (0.0, 0.2, 0.4)
"""How often a study misses the target, on the workloads where it may."""
MISSING = 0.4
"""On which share of the workloads a submission may miss it."""


def simulate(studies: int, spread: float, miss: float, repeats: int) -> tuple[float, ...]:
    """(coverage, mean width, share of pairs called certain, share of those that are true)."""
    rng = np.random.default_rng(0)
    suite = Suite(tuple(map(str, range(WORKLOADS))), WORKLOADS, ((),) * WORKLOADS)
    scoring = Scoring()
    held, width, certain, right = [], [], [], []
    for _ in range(repeats):
        medians = np.exp(rng.normal(0, 0.3, (SUBMISSIONS, WORKLOADS)))
        truth = profiles.score(medians, suite, scoring)[1]
        shape = (*medians.shape, studies)
        by_study = medians[..., None] * np.exp(rng.normal(0, spread, shape))
        # Fewer than half of the studies: the true median is that of the times.
        may_miss = rng.random(medians.shape) < MISSING
        missed = may_miss[..., None] & (rng.random(shape) < miss)
        by_study = np.where(missed, np.inf, by_study)
        drawn = np.concatenate(
            [
                profiles.score(block, suite, scoring)[1]
                for block in bootstrap.resample(by_study, 500, int(rng.integers(2**31)))
            ]
        )
        low, high = interval(drawn)
        held.append((low <= truth) & (truth <= high))
        width.append(high - low)
        estimate = profiles.score(times.medians(by_study), suite, scoring)[1]
        above = bootstrap.order_probability(drawn)
        sure = (above >= LEVEL) & (estimate[:, None] > estimate)
        certain.append(sure.sum() / (SUBMISSIONS * (SUBMISSIONS - 1) / 2))
        right.extend((truth[:, None] > truth)[sure])
    return (
        float(np.mean(held)),
        float(np.mean(width)),
        float(np.mean(certain)),
        float(np.mean(right)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    arguments = parser.parse_args()
    print(
        "| spread | misses | studies | holds the truth | width | called certain | of those true |"
    )
    print("|---|---|---|---|---|---|---|")
    for spread, miss in itertools.product(SPREADS, MISSES):
        for studies in STUDIES:
            held, width, certain, right = simulate(studies, spread, miss, arguments.repeats)
            print(
                f"| {spread} | {miss} | {studies} | {held:.3f} | {width:.3f} | {certain:.2f} | "
                f"{right:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
