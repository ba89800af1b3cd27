"""How sure a score is: a bootstrap over studies, stratified by submission and workload.

Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile intervals). How
often such an interval holds the truth with so few studies is measured in benchmarks/coverage.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algoperf.rules import Scoring
from scoring.intervals import LEVEL, Floats
from scoring.leaderboard import profiles, times
from scoring.leaderboard.profiles import Suite

_BLOCK = 200
"""Resamples that are held at once: memory does not grow with their number."""


@dataclass(frozen=True)
class Samples:
    """What the resamples say; R resamples, S submissions, B base workloads.

    Attributes:
        ratios: Shape (R, S, B).
        scores: Shape (R, S).
        speedups: Shape (R, S), over the reference.
    """

    ratios: Floats
    scores: Floats
    speedups: Floats


def resample(by_study: Floats, resamples: int, seed: int) -> Iterator[Floats]:
    """Medians over studies drawn with replacement, within each submission and workload.

    Args:
        by_study: Shape (submissions, workloads, studies), padded with NaN where a study is missing.
        resamples: How many.
        seed: Same seed, same draws.

    Yields:
        Blocks of shape (up to 200, submissions, workloads); NaN where nothing was run.
    """
    rng = np.random.default_rng(seed)
    counts = (~np.isnan(by_study)).sum(axis=-1)
    ordered = np.sort(by_study, axis=-1)  # NaN goes last
    # A stratum with fewer studies than the widest draws only as many as it has.
    spare = np.arange(by_study.shape[-1]) >= counts[..., None]
    for start in range(0, resamples, _BLOCK):
        shape = (min(_BLOCK, resamples - start), *by_study.shape)
        drawn = (rng.random(shape) * np.maximum(counts, 1)[..., None]).astype(np.intp)
        values = np.take_along_axis(np.broadcast_to(ordered, shape), drawn, axis=-1)
        yield times.medians(np.where(spare, np.nan, values))


def samples(
    by_study: Floats,
    suite: Suite,
    scoring: Scoring,
    *,
    reference: int,
    unreached: Floats,
    resamples: int,
    seed: int,
) -> Samples:
    """Scores, ratios and speed-ups of each resample.

    Args:
        by_study: As for `resample`.
        suite: What the workloads are.
        scoring: The rules' constants.
        reference: Row of the submission that speed-ups are over.
        unreached: As for `profiles.speedups`.
        resamples: How many.
        seed: Same seed, same draws.
    """
    parts = []
    for medians in resample(by_study, resamples, seed):
        ratios, scores = profiles.score(medians, suite, scoring)
        bases = medians[..., : suite.bases]
        parts.append((ratios, scores, profiles.speedups(bases, reference, unreached)))
    return Samples(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def order_probability(scores: Floats) -> Floats:
    """Shape (S, S): in which share of the resamples the row scores above the column.

    A tie counts half, so that the two directions add up to one.
    """
    left, right = scores[:, :, None], scores[:, None, :]
    return (left > right).mean(axis=0) + (left == right).mean(axis=0) / 2


def rank_distribution(scores: Floats) -> Floats:
    """Shape (S, S): in which share of the resamples the row has rank 1, 2, ...; ties share it."""
    ranks = (scores[:, None, :] > scores[:, :, None]).sum(axis=-1)
    return np.stack([(ranks == rank).mean(axis=0) for rank in range(scores.shape[1])], axis=-1)


def shared_ranks(scores: Floats, probability: Floats) -> NDArray[np.int64]:
    """Ranks, shared by those that cannot be told from the first of their group.

    Down the order of scores, a submission joins the group above it unless the group's first is
    above it in at least `LEVEL` of the resamples.

    Args:
        scores: Shape (S,).
        probability: `order_probability`; NaN where nothing is known: there only equals share.

    Returns:
        Shape (S,): ranks from 1, and after a group of two the next is two further.
    """
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(scores), np.int64)
    first = order[0]
    for place, row in enumerate(order):
        unsure = probability[first, row] < LEVEL
        if scores[row] < scores[first] and not unsure:
            first = row
        ranks[row] = place + 1 if row == first else ranks[first]
    return ranks
