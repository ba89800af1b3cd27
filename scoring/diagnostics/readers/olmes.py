"""Predictions of OLMES (oe-eval): `<model>/task-<n>-<task>-predictions.jsonl`.

One object a document, `model_output` one object a choice. A trap of the format: `logits_per_byte`
is in bits and positive, -log2(e) * sum_logits / bytes, unlike its neighbours.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scoring.diagnostics.readers import jsonl, samples
from scoring.diagnostics.readers.gold import gold_of
from scoring.diagnostics.readers.samples import (
    NO_LOGLIKS,
    Fault,
    NoSampleError,
    Sample,
    frame,
    number,
)
from scoring.diagnostics.table import Rows

_FILE = re.compile(r"task-\d+-(?P<task>.+)-predictions$")
_COLUMNS = {"num_tokens": "n_tokens", "num_chars": "n_chars", "sum_logits_uncond": "loglik_uncond"}


def knows(record: Mapping[str, Any]) -> bool:
    """Whether a record is of this tool."""
    return isinstance(record.get("model_output"), list)


def read(path: Path) -> Rows:
    """Reads one predictions file; a task that is not multiple choice is told and left out."""
    problems = []
    match = _FILE.match(path.stem)
    task = match["task"] if match else path.stem.removesuffix("-predictions")
    beside = jsonl.document(
        path.with_name(path.name.replace("-predictions.jsonl", "-metrics.json"))
    )
    config = jsonl.mapping(beside.get("model_config"))
    name = config.get("model") or path.resolve().parent.name
    revision = config.get("revision") or "main"
    model = str(name).replace("/", "__") + ("" if revision == "main" else f"@{revision}")
    found = [sample for _, sample in samples.read(path, _sample, problems)]
    return Rows(frame(model, task, found) if found else pd.DataFrame(), problems)


def _sample(record: Mapping[str, Any]) -> tuple[Sample, Fault | None]:
    outputs = record.get("model_output")
    of_choices = isinstance(outputs, list) and all(isinstance(each, dict) for each in outputs)
    if (
        not isinstance(outputs, list)
        or not of_choices
        or any("sum_logits" not in e for e in outputs)
    ):
        raise NoSampleError(NO_LOGLIKS)
    if not outputs:
        raise NoSampleError("no choices")
    if record.get("doc_id") is None and record.get("native_id") is None:
        raise NoSampleError("neither a doc_id nor a native_id")
    loglik = [number(each["sum_logits"]) for each in outputs]
    metrics = record.get("metrics")
    label = record.get("label")
    target = metrics.get("correct_choice", label) if isinstance(metrics, dict) else label
    gold = gold_of(target, [], loglik)
    extra: dict[str, Sequence[float]] = {
        ours: [number(each[theirs]) for each in outputs]
        for theirs, ours in _COLUMNS.items()
        if all(theirs in each for each in outputs)
    }
    if all("logits_per_byte" in each for each in outputs):
        extra["n_bytes"] = [_bytes(number(each["logits_per_byte"]), total)
                            for each, total in zip(outputs, loglik, strict=True)]  # fmt: skip
    number_of = str(record.get("doc_id"))
    native = record.get("native_id")
    sample = Sample(
        key=number_of if native is None else str(native),
        number=number_of,
        loglik=loglik,
        gold=gold.choices,
        extra=extra,
    )
    return sample, gold.fault


def _bytes(per_byte: float, total: float) -> float:
    """UTF-8 bytes of a choice, from its log-likelihood and that per byte: in bits if positive."""
    if not per_byte or math.isnan(per_byte) or not math.isfinite(total):
        return math.nan
    exact = -total / math.log(2) / per_byte if per_byte > 0 else total / per_byte
    return float(round(exact))
