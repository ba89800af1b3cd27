"""Samples as the tools of others log them: one object a sample, to rows of the choice table."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scoring.diagnostics.readers import jsonl
from scoring.diagnostics.table import EXTRA_NUMBERS, UNNAMED
from scoring.problems import Problem

NO_LOGLIKS = "no log-likelihoods of choices (is the task multiple choice?)"


class NoSampleError(Exception):
    """A record that is not a multiple-choice sample; the message says why."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a record. Those of one kind are told as one, in the words of the first."""

    kind: str
    told: str
    action: str


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


def read(
    path: Path,
    sample_of: Callable[[Mapping[str, Any]], tuple[Sample, Fault | None]],
    problems: list[Problem],
) -> Iterator[tuple[Mapping[str, Any], Sample]]:
    """Every record that is a sample, with it; what is wrong with records is told at the end.

    Args:
        path: A file of records.
        sample_of: A record's sample and what is wrong with it; raises `NoSampleError`.
        problems: Where it is told.
    """
    faults: dict[str, list[tuple[int, Fault]]] = {}
    for line, record in jsonl.records(path, problems):
        try:
            sample, fault = sample_of(record)
        except (NoSampleError, RecursionError) as error:
            told = str(error) if isinstance(error, NoSampleError) else "it is nested too deeply"
            fault = Fault(told, told, "left out")
        else:
            yield record, sample
        if fault is not None:
            faults.setdefault(fault.kind, []).append((line, fault))
    for (line, first), *others in faults.values():
        more = f" and {len(others)} more" if others else ""
        problems.append(Problem(str(path), f"line {line}{more}: {first.told}", first.action))


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
    texts = [None if value is None else printable(value) for value in values]
    codes, names = pd.factorize(np.array(texts, object))
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
    except (TypeError, ValueError, OverflowError):
        return math.nan


def printable(text: str) -> str:
    """The text as files hold it: half of a surrogate pair, which UTF-8 cannot, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
