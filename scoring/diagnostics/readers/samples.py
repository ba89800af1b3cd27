"""Samples as the tools of others log them: one object a sample, to rows of the choice table."""

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from scoring.diagnostics.table import EXTRA_NUMBERS, UNNAMED

NO_LOGLIKS = "no log-likelihoods of choices (is the task multiple choice?)"


class NoSampleError(Exception):
    """A record that is not a multiple-choice sample; the message says why."""


@dataclass(frozen=True)
class Sample:
    """One question as answered by one model.

    Attributes:
        key: What the same question has under every model.
        number: Its place in the data set: tells apart questions that are alike.
        loglik: Sum of token log-likelihoods of each choice [nats].
        gold: The correct choices: one, or it is a fault.
        extra: What else is known of each choice, by column.
        prompt: Hash of the prompt, "" if unknown.
        target: Hash of the target, "" if unknown.
    """

    key: str
    number: str
    loglik: Sequence[float]
    gold: Sequence[int]
    extra: Mapping[str, Sequence[float]] = field(default_factory=dict)
    prompt: str = ""
    target: str = ""


def frame(model: str, task: str, samples: Sequence[Sample]) -> pd.DataFrame:
    """Rows of one model and task."""
    sizes = np.array([len(sample.loglik) for sample in samples])
    ends = sizes.cumsum()
    total = int(ends[-1])
    starts = np.repeat(ends - sizes, sizes)
    choice = np.arange(total) - starts
    is_gold = np.zeros(total, bool)
    golds = [
        start + gold
        for sample, start in zip(samples, ends - sizes, strict=True)
        for gold in sample.gold
    ]
    is_gold[np.array(golds, np.intp)] = True
    columns: dict[str, Any] = {
        "family": _repeated([UNNAMED] * len(samples), sizes),
        "model": _repeated([model] * len(samples), sizes),
        "task": _repeated([task] * len(samples), sizes),
        "sample_id": _repeated(_names(samples), sizes),
        "choice_idx": choice,
        "loglik_sum": np.concatenate([sample.loglik for sample in samples]).astype(float),
        "is_gold": is_gold,
    }
    for name in EXTRA_NUMBERS:
        if all(name in sample.extra for sample in samples):
            columns[name] = np.concatenate([sample.extra[name] for sample in samples]).astype(float)
    for name in ("prompt", "target"):
        if any(told := [getattr(sample, name) for sample in samples]):
            columns[name] = _repeated([text or None for text in told], sizes)
    return pd.DataFrame(columns)


def _repeated(values: Sequence[str | None], sizes: np.ndarray) -> pd.Categorical:
    codes, names = pd.factorize(np.array(values, object))
    return pd.Categorical.from_codes(np.repeat(codes, sizes), categories=pd.Index(names, dtype=str))


def _names(samples: Iterable[Sample]) -> list[str]:
    """The key; questions with the same key and another number get `#2`, `#3` behind it."""
    numbers: dict[str, dict[str, None]] = {}
    for sample in samples:
        numbers.setdefault(sample.key, {})[sample.number] = None
    place = {
        key: {number: k for k, number in enumerate(sorted(own, key=lambda n: (len(n), n)), 1)}
        for key, own in numbers.items()
    }
    return [
        sample.key if (k := place[sample.key][sample.number]) == 1 else f"{sample.key}#{k}"
        for sample in samples
    ]


def number(value: Any) -> float:
    """A number that may stand as a string; NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def golds_of(target: Any, texts: Sequence[str], size: int) -> list[list[int]]:
    """What a target may mean, likeliest first: a list of correct choices each.

    Args:
        target: An index, a list of them, or a text; any of these as a string.
        texts: The choices' texts, as far as they are known.
        size: How many choices there are.
    """
    meanings = []
    value = target
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            value = target
    if isinstance(value, list | tuple):
        return [sorted({g for each in value for m in golds_of(each, texts, size)[:1] for g in m})]
    index = number(value)
    if index.is_integer() and 0 <= index < size:
        meanings.append([int(index)])
    same = [k for k, text in enumerate(texts) if text.strip() == str(target).strip()]
    if len(same) == 1 and same not in meanings:
        meanings.append(same)
    return meanings


def gold_of(
    target: Any, texts: Sequence[str], loglik: Sequence[float], hit: float, *, same_texts: bool
) -> tuple[list[int], bool]:
    """The correct choices of a sample.

    Where the tool recorded whether the likeliest choice was correct, that decides between what
    the target may mean. Where the choices are in the prompt (`same_texts`: winogrande), the target
    is no choice, and of two choices the record alone tells the correct one.

    Args:
        target: As recorded.
        texts: The choices' texts.
        loglik: Their log-likelihoods.
        hit: 1 if the likeliest (the first of several) was correct, 0 if not, NaN if unknown.
        same_texts: Whether all choices have the same text.

    Returns:
        The correct choices (none if the target is none of the choices), and whether target and
        record contradict each other.
    """
    likeliest = int(np.argmax(loglik)) if len(loglik) else -1
    if same_texts and not math.isnan(hit):
        if hit == 1:
            return [likeliest], False
        if len(loglik) == 2:
            return [1 - likeliest], False
    meanings = golds_of(target, [] if same_texts else texts, len(loglik))
    if not meanings or math.isnan(hit) or any(math.isnan(value) for value in loglik):
        return (meanings[0] if meanings else []), False
    agreeing = [gold for gold in meanings if (likeliest in gold) == (hit == 1)]
    return (agreeing or meanings)[0], not agreeing
