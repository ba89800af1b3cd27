"""Word error rate of the best path through CTC outputs."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.metric import Metric, gathered, unreduced
from algoperf.spec import Batch

Detokenize = Callable[[np.ndarray], list[str]]
"""Rows of token ids, int (rows, length), to texts; 0 ends a row."""


def best_path(logits: jax.Array, paddings: jax.Array) -> jax.Array:
    """Greedy decoding: the best token of each frame, repetitions merged, blanks (0) removed.

    Args:
        logits: (batch, frames, vocabulary).
        paddings: (batch, frames), 1 on padding.

    Returns:
        int32 (batch, frames): the tokens, then zeros.
    """
    best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    before = jnp.pad(best[:, :-1], ((0, 0), (1, 0)))
    kept = (best != 0) & (best != before) & (paddings == 0)
    first = jnp.argsort(~kept, axis=1, stable=True)
    return jnp.take_along_axis(jnp.where(kept, best, 0), first, axis=1)


def _decoded(outputs: tuple[jax.Array, jax.Array], batch: Batch) -> dict[str, jax.Array]:
    targets = batch["targets"]
    return {
        "hypotheses": best_path(*outputs),
        "references": jnp.where(batch["target_paddings"] > 0, 0, targets),
        "weights": batch.get("weights", jnp.ones(len(targets))),
    }


def _word_errors(decoded: Mapping[str, np.ndarray], detokenize: Detokenize) -> float:
    import jiwer

    real = decoded["weights"] > 0
    references, hypotheses = (
        detokenize(decoded[name][real]) for name in ("references", "hypotheses")
    )
    return float(jiwer.wer(references, hypotheses))


def word_error_rate(detokenize: Detokenize) -> Metric:
    """Edits that turn the decoded words into the spoken ones, over all words of the split.

    Outputs are (logits, paddings); the batch has `targets` and `target_paddings`.
    """
    return Metric(
        _decoded,
        reduce=unreduced,
        combine=gathered,
        finish=partial(_word_errors, detokenize=detokenize),
    )
