"""Which choice is the correct one, by what the tools of others log as the target."""

import ast
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.diagnostics.readers import jsonl
from scoring.diagnostics.readers.samples import Fault, number

_NAMED = {letter: place for place, letter in enumerate(string.ascii_uppercase)} | {
    "False": 0, "false": 0, "True": 1, "true": 1,
}  # fmt: skip
"""What stands for the place of a choice, other than its number."""
_LONGEST_TARGET = 40
"""Characters of a target that are told."""


@dataclass(frozen=True)
class Gold:
    """The correct choices of a sample (one, or it is a fault), and what is wrong with them."""

    choices: Sequence[int]
    fault: Fault | None = None


def golds_of(target: Any, texts: Sequence[str], size: int) -> list[list[int]]:
    """What a target may mean, likeliest first: a list of correct choices each.

    Args:
        target: An index, a text, a letter (A is the first choice), a truth (False is the first
            choice, as an index made of it is 0), or a list of them; any of these as a string.
        texts: The choices' texts, as far as they are known.
        size: How many choices there are.
    """
    value = target
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = target
    if isinstance(value, list | tuple):
        return [sorted({g for each in value for m in golds_of(each, texts, size)[:1] for g in m})]
    word = str(target).strip()
    index = number(target)
    meanings = [int(index)] if index.is_integer() else []
    same = [place for place, text in enumerate(texts) if text.strip() == word]
    if len(same) == 1:
        meanings += same
    if len(same) <= 1 and word in _NAMED:
        meanings.append(_NAMED[word])
    return [[place] for place in dict.fromkeys(meanings) if 0 <= place < size]


def gold_of(
    target: Any,
    texts: Sequence[str],
    loglik: Sequence[float],
    hit: float = math.nan,
    doc: Any = None,
    *,
    same_texts: bool = False,
) -> Gold:
    """The correct choices of a sample.

    Where the tool recorded whether the likeliest choice was correct, that decides between what
    the target may mean.

    Args:
        target: As recorded.
        texts: The choices' texts.
        loglik: Their log-likelihoods.
        hit: 1 if the likeliest (the first of several) was correct, 0 if not, NaN if unknown.
        doc: The document that was asked about.
        same_texts: Whether all choices have the same text, because they are in the prompt
            (winogrande). The target is that text then, and no choice.
    """
    if not math.isnan(hit) and hit not in {0, 1}:
        told = f"its acc is {hit:g}, neither 0 nor 1: it has no single correct choice, as is needed"
        return Gold([], Fault("acc", told, "left out"))
    likeliest = int(np.argmax(loglik))
    doc = jsonl.mapping(doc)
    if same_texts:
        meanings = _in_prompt(doc, likeliest, hit, len(loglik))
    else:
        meanings = _labelled(doc, texts) or golds_of(target, texts, len(loglik))
    if not any(meanings):
        return Gold([], Fault("target", _none(target, len(loglik), same_texts), "left out"))
    known = not math.isnan(hit) and not any(math.isnan(value) for value in loglik)
    agreeing = [gold for gold in meanings if not known or (likeliest in gold) == (hit == 1)]
    gold = (agreeing or meanings)[0]
    if len(gold) > 1:
        told = f"{len(gold)} of its choices are correct, and one is needed"
        return Gold(gold, Fault("several", told, "left out"))
    if agreeing:
        return Gold(gold)
    told = "its acc contradicts its target and log-likelihoods"
    return Gold(gold, Fault("contradiction", told, "took the target's word"))


def _in_prompt(doc: Mapping[str, Any], likeliest: int, hit: float, size: int) -> list[list[int]]:
    """What winogrande's document says; else, of two choices, the record alone tells."""
    if {"option1", "option2"} <= doc.keys() and str(doc.get("answer")) in {"1", "2"} and size == 2:
        return [[int(doc["answer"]) - 1]]
    if hit == 1:
        return [[likeliest]]
    return [[1 - likeliest]] if hit == 0 and size == 2 else []


def _labelled(doc: Mapping[str, Any], texts: Sequence[str]) -> list[list[int]]:
    """The true choices of truthfulqa_mc2, whose target is 0 whatever is true."""
    targets = jsonl.mapping(doc.get("mc2_targets"))
    labels = targets.get("labels")
    if not isinstance(labels, list) or targets.get("choices") != list(texts):
        return []
    return [[place for place, label in enumerate(labels) if number(label) == 1]]


def _none(target: Any, size: int, same_texts: bool) -> str:
    if same_texts:
        return "its choices are in the prompt, and neither its document nor its acc tells the gold"
    if target is None:
        return "it has no target"
    told = repr(target)
    told = told if len(told) <= _LONGEST_TARGET else f"{told[:_LONGEST_TARGET]}..."
    known = f"0 to {size - 1}, or the letter or text of one"
    return f"its target is {told}, which is none of its {size} choices ({known})"
