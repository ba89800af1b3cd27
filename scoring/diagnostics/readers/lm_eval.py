"""Samples of lm-evaluation-harness 0.4.0 and later, as written by `--log_samples`.

`<output>/<org>__<model>/samples_<task>_<date>.jsonl`, one object a document and filter, with
`results_<date>.json` beside it; before 0.4.3 `<output>/<model_args>_<task>.jsonl`, a JSON array,
with `results.json`. In files, numbers and truths are strings; the target is a string and not
always the index of the correct choice; a file written twice holds everything twice.
"""

import hashlib
import json
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
from scoring.problems import Problem

_FILE = re.compile(r"samples_(?P<task>.+?)(?:_(?P<date>\d{4}-\d{2}-\d{2}T[^.]*(?:\.\d+)?))?$")
_REQUEST = re.compile(r"gen_args_\d+")
_ODD = "requests that are not of a prompt and a continuation"
_NAMING = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Arguments that name the model, in the order in which the tool itself looks for them."""
_TRUTHS = {"True", "False", "true", "false", "1", "0", "1.0", "0.0"}


def knows(record: Mapping[str, Any]) -> bool:
    """Whether a record is of this tool."""
    return "doc_id" in record and ("filtered_resps" in record or "resps" in record)


def read(path: Path) -> Rows:
    """Reads one samples file; a task that is not multiple choice is told and left out."""
    problems: list[Problem] = []
    model, task = _model_and_task(path, problems)
    found: dict[str, list[Sample]] = {}
    for record, sample in samples.read(path, _sample, problems):
        found.setdefault(str(record.get("filter", "none")), []).append(sample)
    if not found:
        return Rows(pd.DataFrame(), problems)
    chosen = "none" if "none" in found else next(iter(found))
    if len(found) > 1:
        what = f"has {len(found)} filters ({', '.join(found)})"
        problems.append(Problem(str(path), what, f"took {chosen!r}"))
    return Rows(frame(model, task, found[chosen]), problems)


def _model_and_task(path: Path, problems: list[Problem]) -> tuple[str, str]:
    """The file's own name wins: before 0.4.3 the last of several runs wrote `results.json`."""
    folder = path.resolve().parent
    match = _FILE.match(path.stem)
    date = match["date"] if match else None
    results = jsonl.document(folder / (f"results_{date}.json" if date else "results.json"))
    task = match["task"] if match else ""
    if date:
        return _of_results(results, folder.name), task
    tasks = [str(t) for key in ("configs", "results") for t in jsonl.mapping(results.get(key))]
    known = max((t for t in tasks if path.stem.endswith(f"_{t}")), key=len, default="")
    own = path.stem.removesuffix(f"_{known}") if known else path.stem
    # In the file's name, `=` and `/` of the arguments are `__`.
    arguments = dict(re.findall(r"([^,]+?)__([^,]+)", own))
    if named := _named(arguments):
        model = _with_revision(named, arguments.get("revision"))
    else:
        model = _of_results(results, folder.name)
    if not (known or task):
        what = "does not tell its task, nor does a results.json beside it"
        action = (
            f"called the model {model!r} and the task {path.stem!r}; the name "
            "<model>/samples_<task>.jsonl tells both"
        )
        problems.append(Problem(str(path), what, action))
    return model, known or task or path.stem


def _of_results(results: Mapping[str, Any], otherwise: str) -> str:
    config = jsonl.mapping(results.get("config"))
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(re.findall(r"([^,=\s]+)=([^,]+)", arguments))
    arguments = jsonl.mapping(arguments)
    name = results.get("model_name") or _named(arguments) or otherwise
    return _with_revision(name, arguments.get("revision") or config.get("model_revision"))


def _named(arguments: Mapping[str, Any]) -> Any:
    return next((arguments[key] for key in _NAMING if arguments.get(key)), "")


def _with_revision(name: Any, revision: Any) -> str:
    """The model as its folder is named, with its revision if it is not the main one."""
    name = re.sub(r"[\"<>:/\|\\?\*\[\]]+", "__", str(name))
    return name if str(revision or "main") == "main" or "@" in name else f"{name}@{revision}"


def _sample(record: Mapping[str, Any]) -> tuple[Sample, Fault | None]:
    """One record as a sample, and what is wrong with it.

    Raises:
        NoSampleError: If it is no multiple-choice sample.
    """
    loglik = _logliks(record)
    arguments = _arguments(record)
    if len(arguments) not in (0, len(loglik)):
        raise NoSampleError(f"{len(loglik)} responses to {len(arguments)} requests")
    uncond: list[float] = []
    half = len(loglik) // 2
    # acc_mutual_info asks every choice again without its question.
    alone = len(arguments) > 1 and all(not prompt for prompt, _ in arguments[half:])
    if "acc_mutual_info" in record or (alone and any(prompt for prompt, _ in arguments[:half])):
        loglik, uncond, arguments = loglik[:half], loglik[half:], arguments[:half]
    texts = [text.removeprefix(" ") for _, text in arguments]
    prompts = [prompt for prompt, _ in arguments]
    same_texts = len(texts) > 1 and len(set(texts)) == 1 and len(set(prompts)) > 1
    target = record.get("target")
    gold = gold_of(
        target, texts, loglik, number(record.get("acc")), record.get("doc"), same_texts=same_texts
    )
    extra: dict[str, Sequence[float]] = {"loglik_uncond": uncond} if uncond else {}
    if texts:
        extra |= {
            "n_chars": [len(text) for text in texts],
            "n_bytes": [len(_utf8(text)) for text in texts],
        }
    sample = Sample(
        key=_key(record),
        number=str(record.get("doc_id")),
        loglik=loglik,
        gold=gold.choices,
        extra=extra,
        prompt=str(record.get("prompt_hash") or (_hash(prompts[0]) if prompts else "")),
        target=str(record.get("target_hash") or ("" if target is None else _hash(str(target)))),
    )
    return sample, gold.fault


def _logliks(record: Mapping[str, Any]) -> list[float]:
    """The log-likelihoods; each response is a pair (log-likelihood, whether it is the greedy one).

    A number that is not one becomes NaN, to be counted with the others.
    """
    responses = record.get("filtered_resps") or record.get("resps") or []
    if not isinstance(responses, list):
        raise NoSampleError(NO_LOGLIKS)
    found = []
    for response in responses:
        pair = response
        while isinstance(pair, list) and pair and isinstance(pair[0], list):
            pair = pair[0]
        is_pair = isinstance(pair, list) and len(pair) == 2
        if not is_pair or str(pair[1]) not in _TRUTHS:
            raise NoSampleError(NO_LOGLIKS)
        found.append(number(pair[0]))
    if not found:
        raise NoSampleError("no responses")
    return found


def _arguments(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(prompt, continuation) of every request, as a list (in memory) or an object (in files)."""
    given = record.get("arguments") or []
    if isinstance(given, dict):
        if not all(isinstance(e, dict) and _REQUEST.fullmatch(name) for name, e in given.items()):
            raise NoSampleError(_ODD)
        ordered = sorted(given.items(), key=lambda item: int(item[0].rpartition("_")[2]))
        pairs = [(each.get("arg_0"), each.get("arg_1")) for _, each in ordered]
    elif isinstance(given, list):
        pairs = [tuple(each[:2]) for each in given if isinstance(each, list) and len(each) >= 2]
    else:
        raise NoSampleError(_ODD)
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise NoSampleError(_ODD)
    return [(str(prompt), str(text)) for prompt, text in pairs]


def _key(record: Mapping[str, Any]) -> str:
    """The document's hash: recorded since 0.4.3, before it is made in the same way."""
    if record.get("doc_hash"):
        return str(record["doc_hash"])
    if record.get("doc") is not None:
        return _hash(json.dumps(record["doc"], indent=2, ensure_ascii=False))
    return str(record.get("doc_id"))


def _hash(text: str) -> str:
    return hashlib.sha256(_utf8(text)).hexdigest()


def _utf8(text: str) -> bytes:
    """In a file, a text may hold half of a surrogate pair, which is no text in UTF-8."""
    return text.encode("utf-8", "surrogatepass")
