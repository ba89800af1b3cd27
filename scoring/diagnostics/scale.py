"""What scale does to each step of the chain: correlations with compute, and means by model.

Schaeffer et al. 2024, arXiv:2406.04391, sections 4 and 5; here with the null and the interval
that belong to each number.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from scoring.diagnostics import chain, correlations, permutations, resample
from scoring.diagnostics.correlations import METHODS, Correlations
from scoring.diagnostics.forms import Form
from scoring.diagnostics.table import Block, Integers, ScoreBlock, evenly
from scoring.intervals import Floats
from scoring.problems import Problem

THRESHOLD = 0.75
"""Above which a sample counts as predictable; Schaeffer et al. 2024, section 5."""
RESAMPLES = 200
SEED = 0
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


def usable(block: Block | ScoreBlock) -> tuple[Integers, str]:
    """Places of the models to correlate over, and why there are none ("" if there are)."""
    places = np.flatnonzero(block.compute > 0)
    if len(places) == 0:
        return places, "no model has a compute above 0"
    if len(places) < correlations.FEWEST_MODELS:
        return places, f"{len(places)} models with compute are too few for a correlation"
    if len(set(np.log10(block.compute[places]).tolist())) == 1:  # what is correlated with
        return places, "all models have equal compute"
    return places, ""


def correlate(
    block: Block | ScoreBlock,
    scores: Mapping[str, Form],
    normalisation: str,
    problems: list[Problem],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[pd.DataFrame]]:
    """Correlations of every score with log10 of compute.

    Args:
        block: Whose compute.
        scores: Of its models with compute; see `forms`.
        normalisation: Of the scores.
        problems: Where it is told why there are none.

    Returns:
        Rows of the correlations, rows of the comparisons, CCDFs.
    """
    places, why = usable(block)
    if why:
        if normalisation == "raw":
            problems.append(Problem(block.where, why, "did no correlations with compute"))
        return [], [], []
    x = np.log10(block.compute[places])
    found = _found(x, scores)
    spread = _intervals(found, block.cluster)
    base = {"family": block.family, "task": block.task, "normalisation": normalisation}
    rows, curves = [], []
    for (name, method), result in found.items():
        rows.append(
            base
            | {"score": name, "method": method}
            | summary(result)
            | spread[name, method]
            | _beside(x, scores[name], method, name)
            | {"n_samples": len(result.by_sample), "n_models": len(x)}
            | {f"null_{key}": value for key, value in _null(x, result, method).items()}
        )
        curves.append(_curve(base | {"score": name, "method": method}, result.by_sample))
    _jackknives(x, scores, rows)
    pairs = [
        base
        | {"first": first, "second": second, "method": method}
        | permutations.paired(
            x,
            scores[first].of(method),
            scores[second].of(method),
            (found[first, method], found[second, method]),
            method,
        )
        for first, second in PAIRS
        for method in METHODS
        if first in scores and second in scores
    ]
    return rows, pairs, curves


def _found(x: Floats, scores: Mapping[str, Form]) -> dict[tuple[str, str], Correlations]:
    """Correlations by score and method."""
    found = {}
    for name, form in scores.items():
        by_method = correlations.correlate(x, form.linear, METHODS[:1])
        by_method |= correlations.correlate(x, form.order, METHODS[1:])
        constant = correlations.constant(form.order)
        for method in METHODS:
            found[name, method] = replace(by_method[method], constant=constant)
    return found


def summary(found: Correlations) -> dict[str, float]:
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
            "mean", "median", "q10", "q25", "q75", "q90", "sd", "area", "minus_distance",
            "share_above",
        )  # fmt: skip
        return dict.fromkeys(names, math.nan) | shares | {"mean_constant_as_zero": 0.0}
    q10, q25, median, q75, q90 = np.quantile(values, [0.1, 0.25, 0.5, 0.75, 0.9])
    return {
        "mean": float(values.mean()),
        "median": float(median),
        "q10": float(q10),
        "q25": float(q25),
        "q75": float(q75),
        "q90": float(q90),
        "sd": float(values.std()),
        "area": correlations.area(values),
        "minus_distance": abs(float(values.mean())) - 1,
        "share_above": float((values > THRESHOLD + correlations.TOLERANCE).mean()),
        "mean_constant_as_zero": float(values.sum() / n),
    } | shares


def _intervals(
    found: Mapping[tuple[str, str], Correlations], cluster: Integers | None
) -> dict[tuple[str, str], dict[str, float]]:
    """Intervals of mean, median and share over samples, by score and method."""
    values = np.stack([result.by_sample for result in found.values()], axis=1)
    above = np.where(np.isnan(values), np.nan, values > THRESHOLD + correlations.TOLERANCE)
    both = np.concatenate([values, above], axis=1)
    of_means = np.array(resample.mean_interval(both, cluster, RESAMPLES, SEED))
    mean, share = np.split(of_means, 2, axis=1)
    median = resample.median_interval(values, cluster, RESAMPLES, SEED)
    return {
        key: {
            f"{name}_{end}": float(ends[k][place])
            for name, ends in (("mean", mean), ("median", median), ("share_above", share))
            for k, end in enumerate(("low", "high"))
        }
        for place, key in enumerate(found)
    }


def _beside(x: Floats, form: Form, method: str, name: str) -> dict[str, Any]:
    """What a reader needs beside the share: its null, and what ties make of it."""
    values = form.of(method)
    share, exact = permutations.null_share(x, values, method, THRESHOLD)
    beside: dict[str, Any] = {"null_share_above": share, "null_share_exact": exact}
    if name == "accuracy":
        beside["ceiling_mean"] = _mean(correlations.ceiling(x, values, method))
        if method == "kendall":  # a coefficient of its own, and nearest to this one
            beside["gamma_mean"] = _mean(correlations.gamma(x, values))
    if name == "p_vocab_correct":
        with np.errstate(invalid="ignore"):  # of two impossible ones
            beside["share_wide"] = float((np.ptp(form.order, axis=0) > WIDE_NATS).mean())
    return beside


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _null(x: Floats, found: Correlations, method: str) -> dict[str, Any]:
    return vars(permutations.null_of_mean(x, found, method))


def _jackknives(x: Floats, scores: Mapping[str, Form], rows: list[dict[str, Any]]) -> None:
    """Adds `jackknife_sd` and the least and the highest mean without one model."""
    for name, form in scores.items():
        means = correlations.jackknife(x, form.linear, METHODS[:1])
        means |= correlations.jackknife(x, form.order, METHODS[1:])
        for row in rows:
            if row["score"] == name:
                own = means[row["method"]]
                row["jackknife_sd"] = correlations.jackknife_sd(own)
                row["jackknife_low"], row["jackknife_high"] = float(own.min()), float(own.max())


def _curve(base: Mapping[str, Any], values: Floats) -> pd.DataFrame:
    """The CCDF as a table, thinned to `CURVE_POINTS`."""
    steps, share = correlations.ccdf(values)
    kept = evenly(len(steps), CURVE_POINTS)
    return pd.DataFrame(dict(base) | {"correlation": steps[kept], "share_above": share[kept]})


def levels(block: Block, normalisation: str) -> pd.DataFrame:
    """Means over samples by model: every step of the chain, three tie rules, both Brier scores."""
    ell = chain.normalised(block, normalisation)
    scores = {name: score(ell, block.gold) for name, score in chain.SCORES.items()}
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
