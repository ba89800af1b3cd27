"""A score in the form that each use of it needs: its value, its order, and what is linear in it.

p_choices of a sure model is 1 to the last bit, and p_vocab of a long text 0. A rank of such
values is the rank of their rounding, and their correlation is that of nothing. So ranks are taken
of a growing function of the score that stays in log space, and Pearson's correlation, which a
scale and a shift do not change, of a linear one.

With c the correct choice, o = ell_c - logsumexp_{i != c} ell_i its log-odds among the choices,
q = 1 - p_choices(c) and r_i the shares of the incorrect ones:

    p_choices(c) = 1 / (1 + exp(-o)),  Brier = q^2 (1 + sum_{i != c} r_i^2)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoring.diagnostics import chain
from scoring.diagnostics.table import Block, Integers
from scoring.intervals import Floats


@dataclass(frozen=True)
class Form:
    """One score of every sample under every model; arrays of shape (models, samples).

    Attributes:
        value: The score itself, which means are taken of.
        order: Grows with it, and is equal where it is equal in exact arithmetic.
        linear: The score times one number and plus another, which differ by sample.
    """

    value: Floats
    order: Floats
    linear: Floats

    def of(self, method: str) -> Floats:
        """What `method`, one of `correlations.METHODS`, is to be given."""
        return self.linear if method == "pearson" else self.order


def plain(values: Floats) -> Form:
    """A score that is exact as it is."""
    return Form(values, values, values)


def of_block(block: Block, normalisation: str) -> dict[str, Form]:
    """Every step of the chain."""
    ell, gold = chain.normalised(block, normalisation), block.gold
    forms = {name: plain(score(ell, gold)) for name, score in chain.SCORES.items()}
    log_p = forms["log_p_vocab_correct"].value
    odds = chain.log_odds(ell, gold)
    p_vocab, p_choices, brier = (
        forms[name].value for name in ("p_vocab_correct", "p_choices_correct", "brier")
    )
    return forms | {
        "p_vocab_correct": Form(p_vocab, log_p, scaled(log_p)),
        "p_choices_correct": Form(p_choices, odds, linear_in_p(odds)),
        "brier": _brier(brier, ell, gold, odds),
    }


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


def _brier(value: Floats, ell: Floats, gold: Integers, odds: Floats) -> Form:
    """The negated Brier score. Of two choices it ranks as the log-odds do: q^2 is all of it."""
    others = chain.without_gold(ell, gold)
    top = others.max(axis=0)
    mass = np.exp(others - np.where(np.isfinite(top), top, 0.0))
    mass.sort(axis=0)
    total = mass.sum(axis=0)
    spread = np.log1p((mass**2).sum(axis=0) / np.where(total > 0, total, 1.0) ** 2)
    log_brier = spread - 2 * _softplus(odds)
    two = (others > -np.inf).sum(axis=0) == 1
    # Where q is 1 to the last bit the shares decide, and of equal ones the log-odds.
    order = lexicographic(np.where(two, 0.0, -log_brier), odds)
    return Form(value, order, -scaled(log_brier))


def lexicographic(first: Floats, second: Floats) -> Floats:
    """Ranks over the first axis, from 0, by one array and where that is equal by another.

    Returns:
        The same shape; equal ranks where both are equal, NaN where either is.
    """
    sorted_by = np.lexsort((second, first), axis=0)
    a, b = (np.take_along_axis(values, sorted_by, axis=0) for values in (first, second))
    grows = (a[1:] > a[:-1]) | ((a[1:] == a[:-1]) & (b[1:] > b[:-1]))
    ranks = np.concatenate([np.zeros((1, *first.shape[1:])), grows.cumsum(axis=0)])
    found = np.empty_like(ranks)
    np.put_along_axis(found, sorted_by, ranks, axis=0)
    return np.where(np.isnan(first) | np.isnan(second), np.nan, found)


def values_of(forms: Mapping[str, Form]) -> dict[str, Floats]:
    """The scores themselves."""
    return {name: form.value for name, form in forms.items()}
