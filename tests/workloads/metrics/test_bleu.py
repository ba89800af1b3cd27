"""BLEU of a small Transformer's own translations, through the evaluator."""

import dataclasses
import itertools
from functools import partial

import jax
import numpy as np
import pytest
import sacrebleu

from algoperf.metric import Metric
from algoperf.spec import Split
from algoperf.workload import Evaluator, init_model
from tests import batches, tiny
from workloads.losses import token_cross_entropy
from workloads.metrics.bleu import Translate, bleu
from workloads.models.transformer import Transformer

LENGTH, WORDS, END = 6, 7, 1
MODEL = Transformer(vocabulary=WORDS, width=8, heads=2, layers=1, mlp_width=8, max_length=LENGTH)
MAKE = partial(batches.sentences, length=LENGTH, tokens=WORDS)


def detokenize(rows) -> list[str]:
    return [" ".join(f"w{token}" for token in row if token > END) for row in rows]


outputs = jax.jit(partial(MODEL.apply, train=False))


def penalised(params, batch, hypothesis: tuple[int, ...], alpha: float) -> np.ndarray:
    """A hypothesis' score for each example, by the model at once and not step by step."""
    targets = np.ones(batch["inputs"].shape, np.int32)  # what is behind the end is not seen
    targets[:, : len(hypothesis)] = hypothesis
    logits = outputs({"params": params}, {**batch, "targets": targets})
    logs = np.asarray(jax.nn.log_softmax(logits[..., 1:]))  # 0 is no word
    total = logs[:, np.arange(len(hypothesis)), np.array(hypothesis) - 1].sum(axis=1)
    return total / ((5 + len(hypothesis)) / 6) ** alpha


@pytest.fixture(scope="module")
def params():
    workload = dataclasses.replace(tiny.workload, model=MODEL, dataset=batches.Given(MAKE))
    return init_model(workload, jax.random.key(3))[0]


@pytest.mark.slow
def test_with_beams_enough_it_is_the_best_translation_there_is(params):
    """Of at most 3 words: 1 + 5 + 25 hypotheses, words being 2 to 6."""
    batch = batches.sentences(3, length=3, tokens=WORDS)
    model = MODEL.clone(max_length=3)
    translate = jax.jit(Translate(end=END, beams=36, alpha=0.6), static_argnums=0)
    found = np.asarray(translate(model, {"params": params}, batch))
    hypotheses = [
        (*words, END)
        for length in range(3)
        for words in itertools.product(range(2, WORDS), repeat=length)
    ]
    scores = np.array([penalised(params, batch, h, 0.6) for h in hypotheses])
    for example, place in enumerate(scores.argmax(axis=0)):
        best = hypotheses[place]
        assert found[example].tolist() == [*best, *[0] * (3 - len(best))]
    assert len({tuple(row) for row in found.tolist()}) > 1


@pytest.mark.slow
def test_it_is_sacrebleus_over_the_whole_split_without_padding(params):
    metric = bleu(detokenize, Translate(end=END))
    workload = dataclasses.replace(
        tiny.workload,
        model=MODEL,
        dataset=Padded(MAKE),
        loss=token_cross_entropy,
        metrics={"loss": Metric(token_cross_entropy), "bleu": metric},
        eval_batch_size=4,
    )
    found = Evaluator(workload)(params, {}, Split.TEST)
    batch = MAKE(4)
    translations = np.asarray(Translate(end=END)(MODEL, {"params": params}, batch))
    assert translations.shape == (4, LENGTH)
    hypotheses = [*detokenize(translations), *detokenize(translations[:3])]
    references = [*detokenize(batch["targets"]), *detokenize(batch["targets"][:3])]
    expected = sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert found["bleu"] == pytest.approx(expected)
    assert np.isfinite(found["loss"])


class Padded(batches.Given):
    """Two batches, the last example of the second being padding."""

    def evaluation(self, split, batch_size):
        for weights in ([1, 1, 1, 1], [1, 1, 1, 0]):
            yield {**self.make(batch_size), "weights": np.array(weights, np.float32)}


def test_a_perfect_translation_has_the_full_score():
    metric = bleu(detokenize, Translate(end=END))
    targets = np.array([[2, 3, 4, 5, 6, END], [3, 3, 2, 4, END, 0]])
    part = metric.per_example(targets, {"targets": targets})
    assert metric.finish(metric.combine([jax.device_get(part)])) == pytest.approx(100.0)
