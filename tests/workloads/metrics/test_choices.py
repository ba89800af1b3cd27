"""Log-likelihoods of choices: a model that knows only how often words occur, worked by hand."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algoperf.workload import Standing
from workloads.metrics.choices import choice_table, log_likelihoods, questions_of
from workloads.models.language import LanguageModel

WORDS = ("the", "sun", "café", "is")
QUESTIONS = questions_of(
    WORDS,
    ["colour", "place"],
    [[0], [0, 1, 3]],
    [[[1], [1, 2]], [[2, 2], [3]]],
    np.array([1, 0]),
)


class Unigram(nn.Module):
    """Each next token with probabilities 1/2, 1/4, 1/8 and 1/8, whatever comes before."""

    @nn.compact
    def __call__(self, batch, train):
        logits = jnp.log(jnp.array([4.0, 2.0, 1.0, 1.0], jnp.float32))
        return jnp.broadcast_to(logits, (*batch["inputs"].shape, 4))


def test_choices_by_hand():
    # "sun" 1/4; "sun café" 1/4 x 1/8 = 1/32. "café café" 1/64; "is" 1/8.
    found = log_likelihoods(Unigram(), {}, QUESTIONS)
    assert np.exp(found) == pytest.approx(np.array([[1 / 4, 1 / 32], [1 / 64, 1 / 8]]))


def test_the_table_by_hand():
    standing = Standing("mine/study_1/lm/trial_2", 30, 960, 1e9, 7)
    table = choice_table(QUESTIONS, 64, Unigram(), {}, standing)
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    assert len(rows) == 4
    # é is one character and two bytes; the space between words counts: "sun café".
    assert rows[1] == {
        "family": "mine/study_1/lm/trial_2",
        "model": "step 30",
        "compute": 1e9,
        "parameters": 7,
        "tokens": 960 * 64,
        "task": "colour",
        "sample_id": 0,
        "choice_idx": 1,
        "loglik_sum": pytest.approx(math.log(1 / 32)),
        "is_gold": True,
        "n_tokens": 2,
        "n_chars": 8,
        "n_bytes": 9,
    }
    assert [row["is_gold"] for row in rows] == [False, True, True, False]
    assert [row["sample_id"] for row in rows] == [0, 0, 1, 1]
    assert [row["n_chars"] for row in rows] == [3, 8, 9, 2]


@pytest.mark.slow
def test_a_sum_over_tokens_is_what_one_token_after_the_other_gives():
    """Also that padding behind a choice, and the others in its batch, have no influence."""
    model = LanguageModel(vocabulary=11, width=8, heads=2, layers=1, mlp_width=6)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 11, size).tolist() for size in (2, 5, 3)]
    choices = [[rng.integers(0, 11, size).tolist() for size in (1, 3)] for _ in prompts]
    words = [str(number) for number in range(11)]
    questions = questions_of(words, ["a"] * 3, prompts, choices, np.zeros(3, int))
    batch = {"inputs": jnp.zeros((1, 3), jnp.int32)}
    variables = model.init(jax.random.key(0), batch, train=False)
    variables = nn.meta.unbox(jax.tree.map(lambda leaf: 20 * leaf, variables))
    found = log_likelihoods(model, variables, questions)
    apply = jax.jit(partial(model.apply, train=False))
    for prompt, of, row in zip(prompts, choices, found, strict=True):
        for choice, value in zip(of, row, strict=True):
            total, before = 0.0, list(prompt)
            for token in choice:
                logits = apply(variables, {"inputs": jnp.array([before])})
                total += float(jax.nn.log_softmax(logits[0, -1])[token])
                before.append(token)
            assert value == pytest.approx(total, rel=1e-4)
    assert len(np.unique(found.round(3))) == 6
