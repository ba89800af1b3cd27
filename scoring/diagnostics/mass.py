"""Mass on the incorrect choices: how it moves with scale, and what that does to the metric.

Schaeffer et al. 2024, arXiv:2406.04391, section 6: the mass on the correct choice alone does not
tell the accuracy, since the incorrect ones move too. Attribution freezes one side at a time, which
that paper leaves open.
"""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd

from scoring.diagnostics import chain, correlations, resample
from scoring.diagnostics.table import Block, Booleans, Integers, evenly, outermost
from scoring.intervals import Floats

RESAMPLES = 200
SEED = 0
ATTRIBUTED = ("accuracy", "p_choices_correct")
"""Scores whose change is attributed."""
POINTS = 250
"""Samples of a family and task that are drawn."""
QUANTILES = (0.1, 0.5, 0.9)


def joint(block: Block) -> pd.DataFrame:
    """Correct and incorrect mass of each model: quantiles [nats], and how they hang together.

    `correlation` is Pearson's of the two logarithms over samples. `spread` is the standard
    deviation of the incorrect log mass at a given correct one [nats]: what is left of it after
    a straight line. Impossible choices (-inf) are left out of both and counted.
    """
    correct = chain.log_p_vocab_correct(block.loglik, block.gold)
    incorrect = chain.log_p_vocab_incorrect(block.loglik, block.gold)
    rows = []
    for k, model in enumerate(block.models):
        finite = np.isfinite(correct[k]) & np.isfinite(incorrect[k])
        row: dict[str, Any] = {
            "family": block.family, "task": block.task, "model": model,
            "compute": block.compute[k],
        }  # fmt: skip
        for name, values in (("correct", correct[k]), ("incorrect", incorrect[k])):
            known = values[finite]
            ends = np.quantile(known, QUANTILES) if len(known) else [math.nan] * 3
            row |= {
                f"{name}_q{q * 100:.0f}": float(v) for q, v in zip(QUANTILES, ends, strict=True)
            }
        rows.append(
            row
            | _line(correct[k][finite], incorrect[k][finite])
            | {"n_impossible": int((~finite).sum()), "n_samples": len(finite)}
        )
    return pd.DataFrame(rows)


def points(block: Block) -> pd.DataFrame:
    """Correct and incorrect log mass of evenly spaced samples, for a picture [nats]."""
    chosen = evenly(len(block.samples), POINTS)
    loglik, gold = block.loglik[:, :, chosen], block.gold[chosen]
    table = pd.DataFrame(
        {
            "family": block.family,
            "task": block.task,
            "model": np.repeat(block.models, len(chosen)),
            "compute": np.repeat(block.compute, len(chosen)),
            "sample_id": np.tile(block.samples[chosen], len(block.models)),
            "correct": chain.log_p_vocab_correct(loglik, gold).ravel(),
            "incorrect": chain.log_p_vocab_incorrect(loglik, gold).ravel(),
        }
    )
    return table[np.isfinite(table["correct"]) & np.isfinite(table["incorrect"])]


def _line(x: Floats, y: Floats) -> dict[str, float]:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return {"correlation": math.nan, "spread": math.nan}
    r = float(np.corrcoef(x, y)[0, 1])
    return {"correlation": r, "spread": float(y.std() * math.sqrt(max(1 - r * r, 0.0)))}


def slopes(x: Floats, loglik: Floats) -> tuple[Floats, Floats]:
    """Least-squares lines of log-likelihoods over x.

    Args:
        x: Shape (models,), not constant.
        loglik: Shape (..., models, samples).

    Returns:
        Intercept at x = 0 and slope, shape (..., samples); NaN where a value is not finite.
    """
    centred = x - x.mean()
    with np.errstate(invalid="ignore"):
        slope = np.einsum("m,...ms->...s", centred, loglik) / (centred @ centred)
        slope = np.where(np.isfinite(slope), slope, np.nan)
        return loglik.mean(axis=-2) - slope * x.mean(), slope


def trends(block: Block) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How the log-likelihood of a choice moves per decade of compute.

    Returns:
        By side, of the correct choices, of the incorrect ones, and of the margin to the likeliest
        incorrect one: mean and quantiles of the slopes [nats per decade], share rising. And of
        every choice its slope, and its log-likelihood in the middle of the models [nats].
    """
    places = block.with_compute()
    x = np.log10(block.compute[places])
    if len(places) < correlations.FEWEST_MODELS or np.ptp(x) == 0:
        return pd.DataFrame(), pd.DataFrame()
    loglik = block.loglik[:, places]
    _, slope = slopes(x, loglik)
    correct = np.arange(len(slope))[:, None] == block.gold
    _, of_margin = slopes(x, chain.margin(loglik, block.gold))
    sides = {
        "correct": slope[correct & block.present],
        "incorrect": slope[~correct & block.present],
        "margin": of_margin,
    }
    rows = []
    for side, values in sides.items():
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        low, middle, high = np.quantile(known, QUANTILES)
        rows.append(
            {
                "family": block.family, "task": block.task, "side": side,
                "mean": known.mean(), "q10": low, "q50": middle, "q90": high,
                "share_rising": (known > 0).mean(), "n": len(known),
                "n_undefined": len(values) - len(known),
            }
        )  # fmt: skip
    sample, choice = np.nonzero(block.present.T)
    by_choice = pd.DataFrame(
        {
            "family": block.family,
            "task": block.task,
            "sample_id": block.samples[sample],
            "choice_idx": choice,
            "is_gold": correct[choice, sample],
            "level": loglik.mean(axis=1)[choice, sample],
            "slope": slope[choice, sample],
        }
    )
    return pd.DataFrame(rows), by_choice


def pairs_of(block: Block) -> list[tuple[int, int]]:
    """Each model and the next by compute; last the first and the last whose compute is known."""
    far = outermost(block.compute)
    near = itertools.pairwise(range(len(block.models)))
    return [*(pair for pair in near if pair != far), far] if far[0] < far[1] else []


def stability(block: Block) -> pd.DataFrame:
    """How far two models order the choices alike.

    `kendall` is the mean over samples of tau-b between the two orders; `same_top` and `same_order`
    are shares of samples.
    """
    signs = correlations.pair_signs(block.loglik)  # (pairs of choices, models, samples)
    first, second = np.triu_indices(len(block.loglik), 1)
    both = block.present[first] & block.present[second]
    signs *= both[:, None]
    length = np.sqrt((signs**2).sum(axis=0))
    top = block.loglik.argmax(axis=0)
    rows = []
    for a, b in pairs_of(block):
        size = length[a] * length[b]
        tau = np.divide(
            (signs[:, a] * signs[:, b]).sum(axis=0), size,
            out=np.full(len(size), np.nan), where=size > 0,
        )  # fmt: skip
        known = tau[~np.isnan(tau)]
        rows.append(
            {
                "family": block.family, "task": block.task,
                "first": block.models[a], "second": block.models[b],
                "kendall": known.mean() if len(known) else math.nan,
                "same_top": (top[a] == top[b]).mean(),
                "same_order": (signs[:, a] == signs[:, b]).all(axis=0).mean(),
                "n_samples": len(block.samples), "n_defined": len(known),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def mixed(loglik: Floats, gold: Integers, correct: int, incorrect: int) -> Floats:
    """The correct choice's log-likelihood of one model and the incorrect ones' of another.

    Returns:
        Shape (choices, 1, samples).
    """
    of_gold: Booleans = np.arange(len(loglik))[:, None] == gold
    return np.where(of_gold, loglik[:, correct], loglik[:, incorrect])[:, None]


def attribution(block: Block) -> pd.DataFrame:
    """The change of a score between two models, by side.

    With v(c, i) the score when the correct choice is as in model c and the incorrect ones are as
    in model i, the sides' shares are Shapley values of a game of two:

        correct = ((v(B, A) - v(A, A)) + (v(B, B) - v(A, B))) / 2

    and likewise for the incorrect side; they add up to v(B, B) - v(A, A). `only_correct` is
    v(B, A) - v(A, A), with the incorrect side frozen at the first model. Intervals: bootstrap
    over samples.
    """
    rows, games = [], []
    for a, b in pairs_of(block):
        for name in ATTRIBUTED:
            score = chain.SCORES[name]
            v = {
                (c, i): score(mixed(block.loglik, block.gold, c, i), block.gold)[0]
                for c in (a, b)
                for i in (a, b)
            }
            games.append(_game(v[a, a], v[b, a], v[a, b], v[b, b]))
            rows.append(
                {
                    "family": block.family, "task": block.task,
                    "first": block.models[a], "second": block.models[b], "score": name,
                }
            )  # fmt: skip
    if not games:
        return pd.DataFrame()
    parts = {name: np.stack([game[name] for game in games], axis=1) for name in games[0]}
    table = pd.DataFrame(rows).assign(
        **{name: resample.means(values, axis=0) for name, values in parts.items()}
    )
    for side in ("correct", "incorrect"):
        low, high = resample.mean_interval(parts[side], block.cluster, RESAMPLES, SEED)
        table[f"{side}_low"], table[f"{side}_high"] = low, high
    return table.assign(n_samples=(~np.isnan(parts["before"])).sum(axis=0))


def _game(
    before: Floats, only_correct: Floats, only_incorrect: Floats, after: Floats
) -> dict[str, Floats]:
    """What each side adds, sample by sample; NaN where any of the four scores is not defined."""
    parts = {
        "before": before,
        "after": after,
        "only_correct": only_correct - before,
        "only_incorrect": only_incorrect - before,
        "correct": ((only_correct - before) + (after - only_incorrect)) / 2,
        "incorrect": ((only_incorrect - before) + (after - only_correct)) / 2,
    }
    known = ~np.isnan(before + only_correct + only_incorrect + after)
    return {name: np.where(known, values, np.nan) for name, values in parts.items()}
