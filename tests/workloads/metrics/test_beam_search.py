"""Against every hypothesis there is, for a tiny model of random logits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.metrics.beam_search import beam_search

WORDS, LENGTH, END = 4, 3, 2


def log_probabilities(table: np.ndarray, prefix: tuple[int, ...]) -> np.ndarray:
    """Of the next token, given all tokens before: their sum picks the row."""
    logits = table[len(prefix), sum(prefix) % len(table[0])]
    return logits - np.log(np.exp(logits).sum())


def penalised(table: np.ndarray, hypothesis: tuple[int, ...], alpha: float) -> float:
    total = sum(
        log_probabilities(table, hypothesis[:place])[token]
        for place, token in enumerate(hypothesis)
    )
    return total / ((5 + len(hypothesis)) / 6) ** alpha


def best_of_all(table: np.ndarray, alpha: float) -> list[int]:
    others = [token for token in range(WORDS) if token != END]
    hypotheses = [
        (*prefix, END)
        for length in range(LENGTH)
        for prefix in itertools.product(others, repeat=length)
    ]
    best = max(hypotheses, key=lambda hypothesis: penalised(table, hypothesis, alpha))
    return [*best, *[0] * (LENGTH - len(best))]


@jax.jit
def found(tables: jax.Array, alpha: float) -> jax.Array:
    """With as many beams as there are hypotheses; the cache is the sum of the tokens so far."""
    beams = WORDS**LENGTH

    def step(tokens, position, sums):
        sums = sums + tokens
        rows = jnp.repeat(tables[:, position], beams, axis=0)
        picked = jnp.take_along_axis(rows, (sums % rows.shape[1])[:, None, None], axis=1)
        return picked[:, 0], sums

    start = jnp.zeros(len(tables) * beams, jnp.int32)
    return beam_search(
        step, start, batch=len(tables), beams=beams, length=LENGTH, alpha=alpha, end=END
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), alpha=st.sampled_from([0.0, 0.6, 1.5]))
def test_with_beams_enough_it_finds_the_best_there_is(seed, alpha):
    tables = np.random.default_rng(seed).normal(0, 2, (2, LENGTH, 5, WORDS)).astype(np.float32)
    expected = [best_of_all(table, alpha) for table in tables]
    assert found(tables, alpha).tolist() == expected


def search(logits: np.ndarray, beams: int) -> list[int]:
    """With logits (position, vocabulary) that do not depend on the tokens before."""

    def step(tokens, position, cache):
        row = jnp.asarray(logits)[position]
        return jnp.broadcast_to(row, (len(tokens), len(row))), cache

    (best,) = beam_search(
        step, jnp.zeros(beams), batch=1, beams=beams, length=len(logits), alpha=0.6, end=END
    )
    return best.tolist()


def test_a_hypothesis_that_never_ends_is_better_than_none():
    never = np.full((3, WORDS), -1.0, np.float32)
    never[:, END] = -1e9
    never[:, 3] = 5.0
    assert search(never, beams=1) == [3, 3, 3]


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_certain_is_found_by_any_number_of_beams(beams):
    certain = np.full((4, WORDS), -50.0, np.float32)
    for place, token in enumerate([1, 3, END, 1]):
        certain[place, token] = 50.0
    assert search(certain, beams) == [1, 3, END, 0]
