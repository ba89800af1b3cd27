"""Beam search with a length penalty, on the device.

Wu et al. 2016, arXiv:1609.08144, section 7: a finished hypothesis scores its log-probability over
((5 + length) / 6) ** alpha.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Step = Callable[[jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
"""(tokens (rows,), position, cache) -> (logits of the next token (rows, vocabulary), cache)."""

_NEVER = -1e7
"""Score of what is no hypothesis; finite, so that differences of scores stay numbers."""


class _Beams(NamedTuple):
    """Hypotheses of every example, `alive` and `finished`, best first.

    Tokens are int32 (batch, beams, length), scores float32 (batch, beams): log-probabilities of the
    alive, penalised ones of the finished.
    """

    position: jax.Array
    alive: jax.Array
    alive_scores: jax.Array
    finished: jax.Array
    finished_scores: jax.Array
    cache: Any


def _penalty(length: jax.Array | int, alpha: float) -> jax.Array:
    return ((5.0 + jnp.asarray(length, jnp.float32)) / 6.0) ** alpha


def _best(scores: jax.Array, tokens: jax.Array, count: int) -> tuple[jax.Array, ...]:
    """The `count` best scores and their tokens, and where they were."""
    scores, places = jax.lax.top_k(scores, count)
    return scores, jnp.take_along_axis(tokens, places[..., None], axis=1), places


def beam_search(
    step: Step,
    cache: Any,
    *,
    batch: int,
    beams: int,
    length: int,
    alpha: float,
    end: int,
) -> jax.Array:
    """The best hypothesis for every example.

    Args:
        step: Continues every row by a token; row `e * beams + b` is beam `b` of example `e`. The
            first token is 0.
        cache: What `step` keeps; a pytree of arrays whose leading dimension is rows.
        batch: Number of examples.
        beams: Hypotheses kept for each.
        length: Longest hypothesis, the end included.
        alpha: Strength of the length penalty.
        end: The token that finishes a hypothesis.

    Returns:
        int32 (batch, length): tokens up to the end, then zeros. An example without a finished
        hypothesis gets its best alive one.
    """
    scores = jnp.full((batch, beams), _NEVER)
    tokens = jnp.zeros((batch, beams, length), jnp.int32)
    start = _Beams(
        position=jnp.int32(0),
        alive=tokens,
        # All beams are equal at first: only one of them counts.
        alive_scores=scores.at[:, 0].set(0.0),
        finished=tokens,
        finished_scores=scores,
        cache=cache,
    )

    def goes_on(state: _Beams) -> jax.Array:
        # Log-probabilities only fall: no alive hypothesis can end up better than this.
        hope = state.alive_scores[:, 0] / _penalty(length, alpha)
        return (state.position < length) & (hope > state.finished_scores[:, -1]).any()

    def grow(state: _Beams) -> _Beams:
        last = jax.lax.dynamic_index_in_dim(
            state.alive, jnp.maximum(state.position - 1, 0), axis=2, keepdims=False
        )
        last = jnp.where(state.position > 0, last, 0).reshape(-1)
        logits, cache = step(last, state.position, state.cache)
        logs = jax.nn.log_softmax(logits).reshape(batch, beams, -1)
        vocabulary = logs.shape[-1]
        total = (state.alive_scores[..., None] + logs).reshape(batch, -1)
        # Twice as many as beams: even if half of them end, enough stay alive.
        scores, places = jax.lax.top_k(total, min(2 * beams, beams * vocabulary))
        parents, token = places // vocabulary, (places % vocabulary).astype(jnp.int32)
        grown = jnp.take_along_axis(state.alive, parents[..., None], axis=1)
        grown = jax.lax.dynamic_update_index_in_dim(grown, token, state.position, axis=2)
        ended = token == end
        penalised = scores / _penalty(state.position + 1, alpha)
        finished_scores, finished, _ = _best(
            jnp.concatenate([state.finished_scores, jnp.where(ended, penalised, _NEVER)], axis=1),
            jnp.concatenate([state.finished, grown], axis=1),
            beams,
        )
        alive_scores, alive, chosen = _best(jnp.where(ended, _NEVER, scores), grown, beams)
        parents = jnp.take_along_axis(parents, chosen, axis=1)
        rows = (jnp.arange(batch)[:, None] * beams + parents).reshape(-1)
        cache = jax.tree.map(lambda kept: kept[rows], cache)
        return _Beams(state.position + 1, alive, alive_scores, finished, finished_scores, cache)

    state = jax.lax.while_loop(goes_on, grow, start)
    has_end = state.finished_scores[:, :1] > _NEVER
    return jnp.where(has_end, state.finished[:, 0], state.alive[:, 0])
