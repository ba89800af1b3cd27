"""BLEU of translations found by beam search.

Papineni et al. 2002, doi:10.3115/1073083.1073135, as sacreBLEU computes it (Post 2018,
arXiv:1804.08771): over the whole corpus, its default tokenisation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.metric import Metric, gathered, unreduced
from algoperf.spec import Batch
from workloads.metrics.beam_search import beam_search
from workloads.metrics.word_error_rate import Detokenize

_IMPOSSIBLE = -1e7


@dataclass(frozen=True)
class Translate:
    """Beam search with a model that has `encode`, `decode` and `max_length`.

    Attributes:
        end: The token that finishes a sentence.
        beams: Hypotheses kept.
        alpha: Strength of the length penalty.
    """

    end: int
    beams: int = 4
    alpha: float = 0.6

    def __call__(self, model: Any, variables: Mapping[str, Any], batch: Batch) -> jax.Array:
        """Translations of `inputs` (batch, length): int32 (batch, longest), 0 after the end."""
        encoded = model.apply(variables, batch, train=False, method="encode")
        encoded, real = (jnp.repeat(x, self.beams, axis=0) for x in (encoded, batch["inputs"] > 0))

        def step(tokens: jax.Array, position: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
            logits, kept = model.apply(
                {**variables, **cache},
                encoded,
                real,
                tokens,
                position,
                method="decode",
                mutable=["cache"],
            )
            # Padding is no word, and where it stood, the text would end.
            return logits.at[:, 0].set(_IMPOSSIBLE), kept

        start = jnp.zeros(len(encoded), jnp.int32)
        shapes = jax.eval_shape(partial(step, cache={}), start, jnp.int32(0))[1]
        return beam_search(
            step,
            jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes),
            batch=len(batch["inputs"]),
            beams=self.beams,
            length=model.max_length,
            alpha=self.alpha,
            end=self.end,
        )


def _translated(translations: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    targets = batch["targets"]
    return {
        "hypotheses": translations,
        "references": targets,
        "weights": batch.get("weights", jnp.ones(len(targets))),
    }


def _bleu(translated: Mapping[str, np.ndarray], detokenize: Detokenize) -> float:
    import sacrebleu

    real = translated["weights"] > 0
    hypotheses, references = (
        detokenize(translated[name][real]) for name in ("hypotheses", "references")
    )
    return float(sacrebleu.corpus_bleu(hypotheses, [references]).score)


def bleu(detokenize: Detokenize, translate: Translate) -> Metric:
    """BLEU in [0, 100] of the translations of `inputs`, against `targets`, (batch, length)."""
    return Metric(
        _translated,
        reduce=unreduced,
        combine=gathered,
        finish=partial(_bleu, detokenize=detokenize),
        predict=translate,
    )
