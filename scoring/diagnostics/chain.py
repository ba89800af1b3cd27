"""The chain of transformations from a log-likelihood to a metric, in log space throughout.

Schaeffer et al. 2024, arXiv:2406.04391, section 3. With ell_i the sum of token log-probabilities
of choice i and c the correct one:

    log p_vocab(c) = ell_c  ->  p_vocab(c) = exp(ell_c)
    ->  p_choices(c) = exp(ell_c - logsumexp_i ell_i)
    ->  Brier = sum_i (1[i = c] - p_choices(i))^2,  accuracy = 1[c = argmax_i ell_i]

Arrays of choices have shape (choices, models, samples), scores (models, samples). Each step loses
something. Every score is such that up is better: Brier is negated.
"""

from collections.abc import Callable, Mapping

import numpy as np

from scoring.diagnostics.table import Block, Booleans, Integers
from scoring.intervals import Floats

NORMALISATIONS: Mapping[str, tuple[str, str]] = {
    "raw": ("", "the log-likelihood of the choice's text, in nats"),
    "per_token": ("n_tokens", "log-likelihood per token: no probability of a text"),
    "per_char": ("n_chars", "log-likelihood per character: no probability of a text"),
    "per_byte": ("n_bytes", "log-likelihood per UTF-8 byte: no probability of a text"),
    "pmi": ("loglik_uncond", "log-likelihood ratio to the choice without its question"),
}
"""What a log-likelihood can be normalised by: the column it takes, and what it then is. p_choices
of any but the raw one is a softmax over normalised scores, a tempered posterior."""


def available(block: Block) -> list[str]:
    """The normalisations whose column is known for every choice of the block."""
    return [
        name
        for name, (column, _) in NORMALISATIONS.items()
        if not column
        or (column in block.extra and bool((~np.isnan(block.extra[column][_there(block)])).all()))
    ]


def not_above_0(block: Block, column: str) -> int:
    """How many samples have a choice by whose count nothing can be divided."""
    return int(((block.extra[column] <= 0) & _there(block)).any(axis=(0, 1)).sum())


def _there(block: Block) -> Booleans:
    return np.broadcast_to(block.present[:, None], block.loglik.shape)


def normalised(block: Block, normalisation: str) -> Floats:
    """Log-likelihoods as normalised, -inf where there is no choice, NaN where divided by 0."""
    column, _ = NORMALISATIONS[normalisation]
    if not column:
        return block.loglik
    other = block.extra[column]
    with np.errstate(invalid="ignore"):
        values = block.loglik - other if normalisation == "pmi" else _divide(block.loglik, other)
    return np.where(block.present[:, None], values, -np.inf)


def _divide(loglik: Floats, count: Floats) -> Floats:
    return np.divide(loglik, count, out=np.full_like(loglik, np.nan), where=count > 0)


def logsumexp(ell: Floats, *, in_any_order: bool = False) -> Floats:
    """Over the first axis; -inf where all are.

    Args:
        ell: Values.
        in_any_order: Whether the result is to be the same to the last bit in whatever order the
            values stand, so that it can be ranked.
    """
    top = ell.max(axis=0)
    shift = np.where(np.isfinite(top), top, 0.0)
    terms = np.exp(ell - shift)
    if in_any_order:
        terms.sort(axis=0)
    with np.errstate(divide="ignore"):
        return shift + np.log(terms.sum(axis=0))


def of_gold(ell: Floats, gold: Integers) -> Floats:
    """The correct choice's values, shape (models, samples)."""
    return np.take_along_axis(ell, gold[None, None, :], axis=0)[0]


def without_gold(ell: Floats, gold: Integers) -> Floats:
    """The same array with the correct choice taken out (-inf)."""
    correct = np.arange(len(ell))[:, None, None] == gold
    return np.where(correct, -np.inf, ell)


def log_odds(ell: Floats, gold: Integers) -> Floats:
    """log p_choices / (1 - p_choices) of the correct choice [nats].

    It grows with p_choices, and does not end where that is 1 or 0 to the last bit. What all
    choices share leaves no trace in it. +inf where no other choice is possible, -inf where the
    correct one is not, NaN where none is.
    """
    own, others = of_gold(ell, gold), without_gold(ell, gold)
    with np.errstate(invalid="ignore"):
        rest = logsumexp(others - own, in_any_order=True)
    impossible = np.isneginf(own)
    return np.where(impossible, np.where(_undefined(ell), np.nan, -np.inf), -rest)


def log_p_choices(ell: Floats) -> Floats:
    """log p_choices of every choice; NaN where all are impossible: not 1/K."""
    total = logsumexp(ell)
    return ell - np.where(np.isneginf(total), np.nan, total)


def log_p_vocab_correct(ell: Floats, gold: Integers) -> Floats:
    return of_gold(ell, gold)


def p_vocab_correct(ell: Floats, gold: Integers) -> Floats:
    """Underflows to 0 below about -745 nats, in a mean; for correlations see `forms`."""
    return np.exp(of_gold(ell, gold))


def log_p_vocab_incorrect(ell: Floats, gold: Integers) -> Floats:
    """log of the summed p_vocab of the incorrect choices; -inf where there is none."""
    return logsumexp(without_gold(ell, gold), in_any_order=True)


def p_choices_correct(ell: Floats, gold: Integers) -> Floats:
    return np.exp(of_gold(log_p_choices(ell), gold))


def brier(ell: Floats, gold: Integers) -> Floats:
    """The Brier score, summed over choices, negated: 0 is perfect, -2 is worst."""
    p = np.exp(log_p_choices(ell))
    correct = np.arange(len(ell))[:, None, None] == gold
    return -((correct - p) ** 2).sum(axis=0)


def accuracy(ell: Floats, gold: Integers) -> Floats:
    """1 where the first of the most likely choices is correct, as in lm-evaluation-harness."""
    hit = (ell.argmax(axis=0) == gold).astype(float)
    return np.where(_undefined(ell), np.nan, hit)


def margin(ell: Floats, gold: Integers) -> Floats:
    """log p_vocab of the correct choice less that of the likeliest incorrect one [nats].

    +inf where there is no incorrect choice, NaN where both are impossible.
    """
    with np.errstate(invalid="ignore"):
        return of_gold(ell, gold) - without_gold(ell, gold).max(axis=0)


SCORES: Mapping[str, Callable[[Floats, Integers], Floats]] = {
    "log_p_vocab_correct": log_p_vocab_correct,
    "p_vocab_correct": p_vocab_correct,
    "log_p_vocab_incorrect": log_p_vocab_incorrect,
    "p_choices_correct": p_choices_correct,
    "brier": brier,
    "accuracy": accuracy,
    "margin": margin,
}
"""The steps of the chain, in the order in which they lose; then the distance to a change."""


def _undefined(ell: Floats) -> Booleans:
    """Where the choices cannot be compared: all impossible, or one not a number."""
    top = ell.max(axis=0)  # NaN if any is
    return np.isneginf(top) | np.isnan(top)


def ties(ell: Floats) -> Floats:
    """How many choices share the highest log-likelihood, compared as stored."""
    return (ell == ell.max(axis=0)).sum(axis=0).astype(float)


def accuracy_by_tie_rule(ell: Floats, gold: Integers) -> dict[str, Floats]:
    """Accuracy under three rules for ties: first choice, drawn at random, always wrong."""
    tied = ties(ell)
    among = (of_gold(ell, gold) == ell.max(axis=0)).astype(float)
    unknown = np.where(_undefined(ell), np.nan, 0.0)
    return {
        "accuracy": accuracy(ell, gold),
        "accuracy_expected": among / np.maximum(tied, 1) + unknown,
        "accuracy_pessimistic": among * (tied == 1) + unknown,
    }
