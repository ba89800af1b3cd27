"""Negative flips: what a better model gets wrong that a worse one got right.

MUSCLE, Echterhoff et al. 2024, arXiv:2407.09435, section 3; backward trust compatibility: Bansal
et al. 2019. Rates are over all samples. acc2 - acc1 = positive - negative flips, always.
"""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from scoring.diagnostics import chain
from scoring.diagnostics.table import Block, Booleans, ScoreBlock, outermost
from scoring.intervals import Floats


def of_block(block: Block) -> pd.DataFrame:
    """All pairs of models, the one with less compute first; correct as under lm-eval's tie rule.

    `outermost` is true for the pair with the least and the most compute.
    """
    hits = chain.accuracy(block.loglik, block.gold) == 1
    chosen = block.loglik.argmax(axis=0)
    p = chain.p_choices_correct(block.loglik, block.gold)
    odds = chain.log_odds(block.loglik, block.gold)
    return pd.DataFrame(
        [
            _names(block, a, b)
            | rates(hits[a], hits[b])
            | {"nfr_mc": float((~hits[b] & (chosen[a] != chosen[b])).mean())}
            | continuous(p[b] - p[a], odds[b] < odds[a], odds[b] > odds[a])
            for a, b in itertools.combinations(range(len(block.models)), 2)
        ]
    )


def of_scores(block: ScoreBlock) -> pd.DataFrame:
    """The same where only whether a sample was correct is known."""
    hits = block.score == 1
    return pd.DataFrame(
        [
            _names(block, a, b) | rates(hits[a], hits[b])
            for a, b in itertools.combinations(range(len(block.models)), 2)
        ]
    )


def _names(block: Block | ScoreBlock, a: int, b: int) -> dict[str, Any]:
    return {
        "family": block.family,
        "task": block.task,
        "first": block.models[a],
        "second": block.models[b],
        "outermost": (a, b) == outermost(block.compute),
        "n_samples": len(block.samples),
    }


def rates(first: Booleans, second: Booleans) -> dict[str, float]:
    """Flip rates between two models.

    Args:
        first: Whether the first model is correct, shape (samples,).
        second: Whether the second is.

    Returns:
        Accuracies; `nfr` and `pfr`, the negative and positive flip rates; `nfr_floor`, the least
        that the accuracies allow; `nfr_independent`, what independent errors would give; `btc`,
        the share of the first's correct answers that the second keeps; `mcnemar_p`, exact and
        two-sided, on the flips.
    """
    lost, won = first & ~second, ~first & second
    one, two = float(first.mean()), float(second.mean())
    return {
        "accuracy_first": one,
        "accuracy_second": two,
        "nfr": float(lost.mean()),
        "pfr": float(won.mean()),
        "nfr_floor": max(0.0, one - two),
        "nfr_independent": one * (1 - two),
        "btc": float(second[first].mean()) if first.any() else math.nan,
        "mcnemar_p": mcnemar(int(lost.sum()), int(won.sum())),
    }


def mcnemar(lost: int, won: int) -> float:
    """Exact McNemar test: of the flips, half are expected each way. 1 if there are none."""
    return float(stats.binomtest(lost, lost + won, 0.5).pvalue) if lost + won else 1.0


def continuous(change: Floats, fall: Booleans, rise: Booleans) -> dict[str, float]:
    """The same of a graded score, here p_choices: how often it falls, and by how much then.

    Args:
        change: Of the score, shape (samples,); NaN where it is not defined.
        fall: Whether it falls: more exactly than by the change, which rounds.
        rise: Whether it rises.

    Returns:
        `fall_rate` and `rise_rate`, `mean_fall` and `mean_rise` over those that do (NaN if none).
    """
    known = ~np.isnan(change)
    if not known.any():
        return dict.fromkeys(("fall_rate", "rise_rate", "mean_fall", "mean_rise"), math.nan)
    fall, rise = fall & known, rise & known
    return {
        "fall_rate": float(fall[known].mean()),
        "rise_rate": float(rise[known].mean()),
        "mean_fall": float(-change[fall].mean()) if fall.any() else math.nan,
        "mean_rise": float(change[rise].mean()) if rise.any() else math.nan,
    }
