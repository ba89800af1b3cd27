"""Calibration of p_choices: does a model that is 80 % sure get 80 % right?

The binned estimate grows with fewer samples a bin, whatever the model: beside it stand bins of
equal mass and an estimate without that bias.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from scoring.diagnostics import chain
from scoring.diagnostics.table import Block, Booleans, Integers
from scoring.intervals import Floats

BINS = 15
"""Equal-width bins (lo, hi]. Guo et al. 2017, arXiv:1706.04599, section 2."""


def equal_width(confidence: Floats, bins: int = BINS) -> Integers:
    """The bin (lo, hi] of each confidence in [0, 1]; 0 belongs to the first."""
    return np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)


def equal_mass(confidence: Floats, bins: int = BINS) -> Integers:
    """Bins of as equal numbers of samples as can be, by rank; ties in confidence stay together."""
    order = np.argsort(confidence, kind="stable")
    place = np.empty(len(confidence), np.intp)
    place[order] = np.arange(len(confidence)) * bins // len(confidence)
    _, same = np.unique(confidence, return_inverse=True)
    first = np.full(same.max() + 1, bins)
    np.minimum.at(first, same, place)
    return first[same]


def _by_bin(confidence: Floats, hit: Floats, place: Integers) -> tuple[Floats, Floats, Floats]:
    """(count, accuracy, mean confidence) of the bins that hold something."""
    count = np.bincount(place)
    there = count > 0
    n = count[there].astype(float)
    return (
        n,
        np.bincount(place, hit)[there] / n,
        np.bincount(place, confidence)[there] / n,
    )


def expected_error(confidence: Floats, hit: Floats, place: Integers) -> float:
    """ECE = sum_b n_b / N |acc_b - conf_b|.

    Args:
        confidence: Shape (samples,).
        hit: 1 where correct, 0 where not.
        place: The bin of each sample.
    """
    n, accuracy, mean = _by_bin(confidence, hit, place)
    return float((n * np.abs(accuracy - mean)).sum() / n.sum())


def debiased_error(confidence: Floats, hit: Floats, place: Integers) -> float:
    """Root mean square calibration error without the bias of small bins.

    Kumar et al. 2019, arXiv:1909.10155, section 5: from the squared gap of each bin its
    accuracy's sampling variance acc (1 - acc) / (n - 1) is taken. Bins of one sample, whose
    variance nobody knows, are left out. A negative sum is 0.
    """
    n, accuracy, mean = _by_bin(confidence, hit, place)
    many = n > 1
    if not many.any():
        return math.nan
    n, accuracy, mean = n[many], accuracy[many], mean[many]
    squares = (accuracy - mean) ** 2 - accuracy * (1 - accuracy) / (n - 1)
    return math.sqrt(max(float((n * squares).sum() / n.sum()), 0.0))


def of_block(block: Block) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibration of every model, and its reliability diagram.

    Returns:
        One row a model: `ece` (15 equal-width bins), `ece_equal_mass`, `debiased`, `classwise`
        (mean over choice positions, each counted by how many samples have it), `confidence`,
        `accuracy`. And one row a model and bin.
    """
    p = np.exp(chain.log_p_choices(block.loglik))
    hits = chain.accuracy(block.loglik, block.gold)
    rows, diagram = [], []
    for k, model in enumerate(block.models):
        known = ~np.isnan(hits[k])
        base: dict[str, Any] = {"family": block.family, "task": block.task, "model": model}
        if not known.any():
            continue
        each, hit = p[:, k, known], hits[k, known]
        confidence = each.max(axis=0)
        place, mass = equal_width(confidence), equal_mass(confidence)
        rows.append(
            base
            | {
                "compute": block.compute[k],
                "ece": expected_error(confidence, hit, place),
                "ece_equal_mass": expected_error(confidence, hit, mass),
                "debiased": debiased_error(confidence, hit, mass),
                "classwise": _classwise(each, block.gold[known], block.present[:, known]),
                "confidence": float(confidence.mean()),
                "accuracy": float(hit.mean()),
                "bins": BINS,
                "n_samples": int(known.sum()),
            }
        )
        n, accuracy, mean = _by_bin(confidence, hit, place)
        diagram.append(
            pd.DataFrame(
                base | {"confidence": mean, "accuracy": accuracy, "n_samples": n.astype(int)}
            )
        )
    return pd.DataFrame(rows), pd.concat(diagram) if diagram else pd.DataFrame()


def _classwise(p: Floats, gold: Integers, present: Booleans) -> float:
    """Mean over choice positions; one that some samples lack is judged by those that have it."""
    errors = [
        expected_error(own[there], (gold[there] == place).astype(float), equal_width(own[there]))
        for place, (own, there) in enumerate(zip(p, present, strict=True))
        if there.any()
    ]
    return float(np.average(errors, weights=[there.sum() for there in present if there.any()]))
