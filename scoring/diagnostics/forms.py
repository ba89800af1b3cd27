"""A score in the form that each use of it needs: its value, its order, and what is linear in it.

p_choices of a sure model is 1 to the last bit, and p_vocab of a long text 0. A rank of such
values is the rank of their rounding, and their correlation is that of nothing. So ranks are taken
of a growing function of the score that stays in log space, and Pearson's correlation, which a
scale and a shift do not change, of a linear one.

With c the correct choice, o = ell_c - logsumexp_{i != c} ell_i its log-odds among the choices,
p = 1 / (1 + exp(-o)) its p_choices, r_i the shares of the incorrect ones and e that of all of these
but the largest, the Brier score is

    B = (1 - p)^2 (1 + sum_i r_i^2) = 2 - D,  D = 2 P + H (1 - P),
    P = p (2 - p),  H = 1 - sum_i r_i^2 = 2 e - e^2 - sum_{i not largest} r_i^2

Near 0 it is known by log B, near 2 by log D.
"""

from dataclasses import dataclass

import numpy as np

from scoring.diagnostics import chain
from scoring.diagnostics.table import Block, Booleans, Integers
from scoring.intervals import Floats

ROUNDING = 32 * np.finfo(float).eps
"""What log-likelihoods are rounded by, as a part of the largest: less makes no order."""


@dataclass(frozen=True)
class Form:
    """One score of every sample under every model; arrays of shape (models, samples).

    Attributes:
        order: Grows with the score, and is equal where that is but for rounding.
        linear: The score times one number and plus another, which differ by sample.
    """

    order: Floats
    linear: Floats

    def of(self, method: str) -> Floats:
        """What `method`, one of `correlations.METHODS`, is to be given."""
        return self.linear if method == "pearson" else self.order


def plain(values: Floats) -> Form:
    """A score that is exact as it is."""
    return Form(values, values)


def of_block(block: Block, normalisation: str) -> dict[str, Form]:
    """Every step of the chain, of the models whose compute is known; none if there are none."""
    places = block.with_compute()
    ell = chain.normalised(block, normalisation)[:, places]
    return of_choices(np.ascontiguousarray(ell), block.gold) if len(places) else {}


def of_choices(ell: Floats, gold: Integers) -> dict[str, Form]:
    """Every step of the chain.

    Args:
        ell: Log-likelihoods, shape (choices, models, samples).
        gold: Shape (samples,).
    """
    log_p = chain.log_p_vocab_correct(ell, gold)
    odds, margin = chain.log_odds(ell, gold), chain.margin(ell, gold)
    largest = np.abs(np.where(np.isfinite(ell), ell, 0.0)).max(axis=(0, 1))
    least = ROUNDING * largest
    return {
        "log_p_vocab_correct": plain(log_p),
        "p_vocab_correct": Form(log_p, scaled(log_p)),
        "log_p_vocab_incorrect": plain(chain.log_p_vocab_incorrect(ell, gold)),
        "p_choices_correct": _ranked(odds, linear_in_p(odds), least),
        "brier": _brier(ell, gold, odds, least),
        "accuracy": plain(chain.accuracy(ell, gold)),
        "margin": _ranked(margin, margin, least),
    }


def _ranked(order: Floats, linear: Floats, least: Floats) -> Form:
    """What has no order but by rounding has nothing to correlate with either."""
    ranked = ranks(order, least)
    return Form(ranked, np.where((ranked == 0).all(axis=0), 0.0, linear))


def ranks(values: Floats, least: Floats) -> Floats:
    """Ranks over the models, from 0; equal where neighbours are not further apart than `least`.

    Args:
        values: Shape (models, samples).
        least: Shape (samples,).
    """
    order = np.argsort(values, axis=0)
    with np.errstate(invalid="ignore"):  # of two infinities, which are equal
        apart = np.diff(np.take_along_axis(values, order, axis=0), axis=0) > least
    found = np.empty(values.shape)
    steps = np.concatenate([np.zeros((1, values.shape[1])), apart.cumsum(axis=0)])
    np.put_along_axis(found, order, steps, axis=0)
    return np.where(np.isnan(values), np.nan, found)


def scaled(log_p: Floats) -> Floats:
    """exp(log_p) over its largest among the models: none underflows that counts beside it."""
    top = log_p.max(axis=0)
    return np.exp(log_p - np.where(np.isfinite(top), top, 0.0))


def linear_in_p(odds: Floats) -> Floats:
    """p = 1 / (1 + exp(-odds)), or p - 1 where every model has p above a half; scaled."""
    sure = (odds > 0).all(axis=0)
    return np.where(sure, -scaled(-_softplus(odds)), scaled(-_softplus(-odds)))


def _softplus(values: Floats) -> Floats:
    """log(1 + exp(values)): of log-odds it is -log(1 - p)."""
    with np.errstate(invalid="ignore"):  # of what is not defined
        return np.logaddexp(0.0, values)


def _brier(ell: Floats, gold: Integers, odds: Floats, least: Floats) -> Form:
    """The negated Brier score; where the incorrect choices share alike, a function of the odds."""
    others = chain.without_gold(ell, gold)
    top = others.max(axis=0)
    away = np.sort(others - np.where(np.isfinite(top), top, 0.0), axis=0)  # the largest last
    log_p, log_q = -_softplus(-odds), -_softplus(odds)
    with np.errstate(invalid="ignore", divide="ignore"):  # of what is impossible or not defined
        log_total = chain.logsumexp(away)
        log_e, log_squares = _small(away), _small(2 * away)
        log_e = np.where(np.isneginf(log_e), -np.inf, log_e - log_total)
        # H / e = 2 - e - (sum of the squares) / e
        share = np.where(np.isneginf(log_e), 0.0, np.exp(log_squares - 2 * log_total - log_e))
        log_h = log_e + np.log(2 - np.exp(log_e) - share)
        log_big_p = log_p + np.log(2 - np.exp(log_p))
        log_d = np.logaddexp(np.log(2) + log_big_p, log_h + 2 * log_q)
        log_b = 2 * log_q + np.log(2 - np.exp(log_h))
    alike = _alike(away, least)
    bad = log_b > 0
    order = np.where(alike, odds, np.where(bad, log_d, -log_b))
    linear = np.where(bad.all(axis=0), scaled(log_d), -scaled(log_b))
    hopeless = alike & (odds < 0).all(axis=0)
    return _ranked(order, np.where(hopeless, scaled(log_big_p), linear), 2 * least)


def _small(away: Floats) -> Floats:
    """logsumexp of all but the last, which is the largest."""
    return chain.logsumexp(away[:-1]) if len(away) > 1 else np.full(away.shape[1:], -np.inf)


def _alike(away: Floats, least: Floats) -> Booleans:
    """In which samples the incorrect choices stand to each other as in the first model."""
    first = away[:, :1]
    with np.errstate(invalid="ignore"):
        return ((away == first) | (np.abs(away - first) <= least)).all(axis=(0, 1))
