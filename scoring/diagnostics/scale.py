"""What scale does to each step of the chain: correlations with compute, and means by model.

Schaeffer et al. 2024, arXiv:2406.04391, sections 4 and 5; here with the null and the interval
that belong to each number.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from scoring.diagnostics import chain, correlations, permutations, resample
from scoring.diagnostics.correlations import METHODS, Correlations
from scoring.diagnostics.table import Block, Integers, ScoreBlock
from scoring.intervals import Floats
from scoring.problems import Problem

THRESHOLD = 0.75
"""Above which a sample counts as predictable; Schaeffer et al. 2024, section 5."""
RESAMPLES = 200
SEED = 0
NULL_SAMPLES = 24
"""Samples over which the null of the share is averaged, evenly spaced."""
PAIRS = (
    ("log_p_vocab_correct", "p_choices_correct"),
    ("p_choices_correct", "brier"),
    ("brier", "accuracy"),
    ("p_choices_correct", "accuracy"),
)
"""Steps of the chain that are compared."""
CURVE_POINTS = 201
"""A CCDF with more steps than this is thinned for its table and plot; its area is not."""
WIDE_NATS = math.log(1e6)
"""A sample whose p_vocab spans more than this over the models has its Pearson made by one model."""


def scores_of(block: Block, normalisation: str) -> dict[str, Floats]:
    """Every step of the chain, shape (models, samples) each."""
    ell = chain.normalised(block, normalisation)
    return {name: score(ell, block.gold) for name, score in chain.SCORES.items()}


def usable(block: Block | ScoreBlock) -> tuple[Integers, str]:
    """Places of the models to correlate over, and why there are none ("" if there are)."""
    places = np.flatnonzero(block.compute > 0)
    if len(places) == 0:
        return places, "no model has a compute above 0"
    if len(places) < correlations.FEWEST_MODELS:
        return places, f"{len(places)} models with compute are too few for a correlation"
    if len(set(block.compute[places].tolist())) == 1:
        return places, "all models have equal compute"
    return places, ""


def correlate(
    block: Block | ScoreBlock,
    scores: Mapping[str, Floats],
    normalisation: str,
    problems: list[Problem],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[pd.DataFrame]]:
    """Correlations of every score with log10 of compute.

    Returns:
        Rows of the correlations, rows of the comparisons, CCDFs.
    """
    places, why = usable(block)
    if why:
        if normalisation == "raw":
            problems.append(Problem(block.where, why, "did no correlations with compute"))
        return [], [], []
    x = np.log10(block.compute[places])
    of_models = {name: values[places] for name, values in scores.items()}
    found = _found(x, of_models)
    cluster = block.cluster if isinstance(block, Block) else None
    clustered = cluster is not None
    spread = _intervals(found, cluster)
    base = {"family": block.family, "task": block.task, "normalisation": normalisation}
    rows, curves = [], []
    for (name, method), result in found.items():
        rows.append(
            base
            | {"score": name, "method": method}
            | summary(result, clustered=clustered)
            | {f"{key}_{end}": value for key, end, value in spread[name, method]}
            | _beside(x, of_models[name], method, name)
            | {"n_samples": len(result.by_sample), "n_models": len(x)}
            | {f"null_{key}": value for key, value in _null(x, result, method).items()}
        )
        curves.append(_curve(base | {"score": name, "method": method}, result.by_sample))
    _jackknives(x, of_models, rows)
    pairs = [
        base
        | {"first": first, "second": second, "method": method}
        | permutations.paired(
            x,
            of_models[first],
            of_models[second],
            (found[first, method], found[second, method]),
            method,
        )
        for first, second in PAIRS
        for method in METHODS
        if first in of_models and second in of_models
    ]
    return rows, pairs, curves


def _found(x: Floats, scores: Mapping[str, Floats]) -> dict[tuple[str, str], Correlations]:
    """Correlations by score and method; p_vocab has the ranks of its logarithm."""
    found = {}
    for name, values in scores.items():
        if name == "p_vocab_correct":
            log_p = scores["log_p_vocab_correct"]
            pearson = correlations.correlate(x, chain.scaled_p_vocab(log_p), ("pearson",))
            found[name, "pearson"] = pearson["pearson"]
            for method in METHODS[1:]:
                found[name, method] = found["log_p_vocab_correct", method]
            continue
        for method, result in correlations.correlate(x, values).items():
            found[name, method] = result
    return found


def summary(found: Correlations, *, clustered: bool) -> dict[str, float]:
    """Statistics of a distribution of correlations; NaN where no sample has one."""
    values = found.defined
    n = len(found.by_sample)
    shares = {
        "share_constant": float(found.constant.mean()),
        "share_undefined": float((np.isnan(found.by_sample) & ~found.constant).mean()),
        "n_defined": len(values),
    }
    if not len(values):
        names = (
            "mean", "median", "median_low", "median_high", "q10", "q25", "q75", "q90", "sd", "area",
            "share_above",
        )  # fmt: skip
        return dict.fromkeys(names, math.nan) | shares | {"mean_constant_as_zero": 0.0}
    low, high = (math.nan, math.nan) if clustered else _median_interval(values)
    q10, q25, median, q75, q90 = np.quantile(values, [0.1, 0.25, 0.5, 0.75, 0.9])
    return {
        "mean": float(values.mean()),
        "median": float(median),
        "median_low": low,
        "median_high": high,
        "q10": float(q10),
        "q25": float(q25),
        "q75": float(q75),
        "q90": float(q90),
        "sd": float(values.std()),
        "area": correlations.area(values),
        "share_above": float((values > THRESHOLD + correlations.TOLERANCE).mean()),
        "mean_constant_as_zero": float(values.sum() / n),
    } | shares


def _median_interval(values: Floats) -> tuple[float, float]:
    """95 % by order statistics: how many of n fall below the median is binomial (n, 1/2).

    It holds for any distribution and is where the bootstrap of a median tends to.
    """
    ordered = np.sort(values)
    low, high = (int(stats.binom.ppf(tail, len(ordered), 0.5)) for tail in (0.025, 0.975))
    return float(ordered[low]), float(ordered[min(high, len(ordered) - 1)])


def _intervals(
    found: Mapping[tuple[str, str], Correlations], cluster: Integers | None
) -> dict[tuple[str, str], list[tuple[str, str, float]]]:
    """Bootstrap intervals of mean and share, over samples; all from the same draws."""
    values = np.stack([result.by_sample for result in found.values()], axis=1)
    above = np.where(np.isnan(values), np.nan, values > THRESHOLD + correlations.TOLERANCE)
    columns = np.concatenate([values, above], axis=1)
    low, high = resample.mean_interval(columns, cluster, RESAMPLES, SEED)
    half = len(found)
    return {
        key: [
            (name, end, float(ends[place + shift]))
            for name, shift in (("mean", 0), ("share_above", half))
            for end, ends in (("low", low), ("high", high))
        ]
        for place, key in enumerate(found)
    }


def _beside(x: Floats, values: Floats, method: str, name: str) -> dict[str, float]:
    """What a reader needs beside the share: its null, and what ties make of it."""
    chosen = np.unique(np.linspace(0, values.shape[1] - 1, NULL_SAMPLES).astype(int))
    few = values[:, chosen]
    if name == "p_vocab_correct":
        few = chain.scaled_p_vocab(np.log(np.maximum(few, np.finfo(float).tiny)))
    if name == "accuracy":
        few = values  # of zeros and ones there are few patterns: all samples can be taken
    beside = {"null_share_above": permutations.null_share(x, few, method, THRESHOLD)}
    if name == "accuracy":
        beside["ceiling_mean"] = _mean(correlations.ceiling(x, values, method))
        if method == "kendall":  # a coefficient of its own, and nearest to this one
            beside["gamma_mean"] = _mean(correlations.gamma(x, values))
    if name == "p_vocab_correct":
        with np.errstate(divide="ignore", invalid="ignore"):
            wide = np.ptp(np.log(values), axis=0) > WIDE_NATS
        beside["share_wide"] = float(wide.mean())
    return beside


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _null(x: Floats, found: Correlations, method: str) -> dict[str, Any]:
    return vars(permutations.null_of_mean(x, found, method))


def _jackknives(x: Floats, scores: Mapping[str, Floats], rows: list[dict[str, Any]]) -> None:
    """Adds `jackknife_sd` and the least and the highest mean without one model."""
    for name, values in scores.items():
        if name == "p_vocab_correct":  # whose ranks are those of its logarithm
            log_p = scores["log_p_vocab_correct"]
            scaled = chain.scaled_p_vocab(log_p)
            means = correlations.jackknife(x, scaled, METHODS[:1])
            means |= correlations.jackknife(x, log_p, METHODS[1:])
        else:
            means = correlations.jackknife(x, values, METHODS)
        for row in rows:
            if row["score"] == name:
                own = means[row["method"]]
                row["jackknife_sd"] = correlations.jackknife_sd(own)
                row["jackknife_low"], row["jackknife_high"] = float(own.min()), float(own.max())


def _curve(base: Mapping[str, Any], values: Floats) -> pd.DataFrame:
    """The CCDF as a table, thinned to `CURVE_POINTS`."""
    steps, share = correlations.ccdf(values)
    if len(steps) > CURVE_POINTS:
        kept = np.unique(np.linspace(0, len(steps) - 1, CURVE_POINTS).astype(int))
        steps, share = steps[kept], share[kept]
    return pd.DataFrame(dict(base) | {"correlation": steps, "share_above": share})


def levels(block: Block, scores: Mapping[str, Floats], normalisation: str) -> pd.DataFrame:
    """Means over samples by model: every step of the chain, three tie rules, both Brier scores."""
    ell = chain.normalised(block, normalisation)
    columns = {name: resample.means(values, axis=1) for name, values in scores.items()}
    for name, values in chain.accuracy_by_tie_rule(ell, block.gold).items():
        columns[name] = resample.means(values, axis=1)
    columns["brier_mean_over_choices"] = resample.means(
        scores["brier"] / block.present.sum(axis=0), axis=1
    )
    tied = (chain.ties(ell) > 1) & ~np.isnan(scores["accuracy"])
    return pd.DataFrame(
        {
            "family": block.family,
            "task": block.task,
            "normalisation": normalisation,
            "model": block.models,
            "compute": block.compute,
            **columns,
            "n_tied": tied.sum(axis=1),
            "n_undefined": np.isnan(scores["accuracy"]).sum(axis=1),
            "n_samples": len(block.samples),
        }
    )


def orderings(comparisons: pd.DataFrame) -> pd.DataFrame:
    """In how many families and tasks each step of the chain correlates less than the one before.

    Schaeffer et al. 2024 report it of log p_vocab > p_choices >= Brier > accuracy.
    """
    keys = ["normalisation", "method", "first", "second"]
    if comparisons.empty:
        return pd.DataFrame(columns=[*keys, "share_of_tasks", "n_tasks"])
    known = comparisons[comparisons["n_samples"] > 0]
    higher = known.assign(higher=known["difference"] > 0).groupby(keys, sort=False)["higher"]
    return higher.agg(share_of_tasks="mean", n_tasks="size").reset_index()
