"""Multiple choice for a language model: the log-likelihood of every choice.

Source of the columns: Schaeffer et al. 2024, arXiv:2406.04391, who follow the probability of every
choice through what accuracy makes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from algoperf.metric import forward
from algoperf.workload import Standing

_AT_ONCE = 160
"""Rows in a batch."""


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions, each with as many choices.

    Attributes:
        tasks: The task of each question.
        tokens: int32 (questions, choices, length): the prompt, a choice, and padding.
        starts: int (questions,): where the choices begin.
        gold: int (questions,): the right choice.
        n_tokens: int (questions, choices): length of each choice in tokens.
        n_chars: The same in characters.
        n_bytes: The same in bytes of UTF-8.
    """

    tasks: Sequence[str]
    tokens: np.ndarray
    starts: np.ndarray
    gold: np.ndarray
    n_tokens: np.ndarray
    n_chars: np.ndarray
    n_bytes: np.ndarray


def questions_of(
    words: Sequence[str],
    tasks: Sequence[str],
    prompts: Sequence[Sequence[int]],
    choices: Sequence[Sequence[Sequence[int]]],
    gold: np.ndarray,
) -> Questions:
    """Questions from lists of tokens.

    Args:
        words: What each token is; a choice's text is its words with spaces between.
        tasks: Of each question.
        prompts: Tokens before the choices, at least one for each question.
        choices: Tokens of each choice of each question.
        gold: int (questions,).
    """
    rows = [[[*p, *choice] for choice in of] for p, of in zip(prompts, choices, strict=True)]
    length = max(len(row) for of in rows for row in of)
    texts = [[" ".join(words[token] for token in choice) for choice in of] for of in choices]
    return Questions(
        tasks=tasks,
        tokens=np.array([[row + [0] * (length - len(row)) for row in of] for of in rows], np.int32),
        starts=np.array([len(prompt) for prompt in prompts], np.int32),
        gold=gold,
        n_tokens=np.array([[len(choice) for choice in of] for of in choices], np.int32),
        n_chars=np.array([[len(text) for text in of] for of in texts]),
        n_bytes=np.array([[len(text.encode()) for text in of] for of in texts]),
    )


@partial(jax.jit, static_argnames="model")
def _scored(
    model: nn.Module, variables: Any, tokens: jax.Array, start: jax.Array, count: jax.Array
) -> tuple[jax.Array, jax.Array]:
    batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:]}
    logits = forward(model, variables, batch)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])
    place = jnp.arange(1, tokens.shape[1])[None]
    chosen = (place >= start[:, None]) & (place < (start + count)[:, None])
    greedy = (logits.argmax(axis=-1) == batch["targets"]) | ~chosen
    return -jnp.where(chosen, losses, 0).sum(axis=1), greedy.all(axis=1)


def scored(
    model: nn.Module,
    variables: Mapping[str, Any],
    tokens: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How likely a part of each row is after what stands before it.

    Args:
        model: Gives logits of each next token.
        variables: Its parameters and state.
        tokens: int32 (rows, length), padded at the end.
        starts: int (rows,): where the part begins, at least 1.
        counts: int (rows,): its tokens.

    Returns:
        Nats, a sum over the tokens of the part, float32 (rows,), and whether each of them is the
        likeliest at its place, bool (rows,).
    """
    found = []
    for start in range(0, len(tokens), _AT_ONCE):
        part = np.minimum(np.arange(start, start + _AT_ONCE), len(tokens) - 1)  # the last is padded
        found.append(_scored(model, variables, tokens[part], starts[part], counts[part]))
    nats, greedy = zip(*jax.device_get(found), strict=True)
    return np.concatenate(nats)[: len(tokens)], np.concatenate(greedy)[: len(tokens)]


def log_likelihoods(
    model: nn.Module, variables: Mapping[str, Any], questions: Questions
) -> np.ndarray:
    """Log-likelihood of every choice after its prompt, a sum over its tokens.

    Args:
        model: Gives logits of each next token.
        variables: Its parameters and state.
        questions: To be asked.

    Returns:
        Nats, float32 (questions, choices).
    """
    shape = questions.n_tokens.shape
    tokens = questions.tokens.reshape(-1, questions.tokens.shape[-1])
    starts, counts = np.repeat(questions.starts, shape[1]), questions.n_tokens.reshape(-1)
    return scored(model, variables, tokens, starts, counts)[0].reshape(shape)


def choice_table(
    questions: Questions,
    tokens_per_example: int,
    model: nn.Module,
    variables: Mapping[str, Any],
    standing: Standing,
) -> Mapping[str, Any]:
    """The choice table that the diagnostics read, a row a choice: column -> values.

    A trial is a family, and its evaluations are the models of it: `compute` and `tokens` are what
    went into training so far, in floating-point operations and in tokens.
    """
    found = log_likelihoods(model, variables, questions)
    count, choices = found.shape
    numbers = np.arange(choices)

    def all_of(value: Any) -> np.ndarray:
        return np.full(count * choices, value)

    return {
        "family": all_of(standing.trial),
        "model": all_of(f"step {standing.step}"),
        "compute": all_of(standing.flops),
        "task": np.repeat(np.asarray(questions.tasks), choices),
        "sample_id": np.repeat(np.arange(count), choices),
        "choice_idx": np.tile(numbers, count),
        "loglik_sum": found.reshape(-1),
        "is_gold": (numbers == questions.gold[:, None]).reshape(-1),
        "n_tokens": questions.n_tokens.reshape(-1),
        "n_chars": questions.n_chars.reshape(-1),
        "n_bytes": questions.n_bytes.reshape(-1),
        "parameters": all_of(standing.parameters),
        "tokens": all_of(standing.examples * tokens_per_example),
    }
