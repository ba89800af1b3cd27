"""lm-evaluation-harness asks a language model of ours, through its own interface.

It needs the extra `lm_eval`; `docs/diagnostics.md` shows how an evaluation team uses it. A token is
a word, so a text is encoded by splitting it at its spaces.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from lm_eval import simple_evaluate, utils  # pyright: ignore[reportMissingImports] - an extra
from lm_eval.api.model import TemplateLM  # pyright: ignore[reportMissingImports] - an extra
from lm_eval.loggers import EvaluationTracker  # pyright: ignore[reportMissingImports] - an extra
from lm_eval.tasks import TaskManager  # pyright: ignore[reportMissingImports] - an extra

from algoperf import parameters, records, registry
from algoperf.errors import UserError
from algoperf.workload import Workload, model_shapes
from workloads.metrics.choices import Questions, scored


def checkpoint(trial: Path) -> tuple[Workload, Mapping[str, Any]]:
    """The workload of a trial, and the parameters and state that it kept when it met its target.

    Raises:
        UserError: If it kept none, or they are not those of the workload as it is now.
    """
    manifest = records.read_manifest(trial)
    if manifest is None:
        raise UserError(f"{trial} is no trial that has ended.")
    try:
        kept = records.read_kept(trial, manifest)
        if kept is None:
            raise UserError(f"{trial} kept no parameters: it did not reach its target.")
        workload = registry.workload(manifest["workload"]["name"])
        params, model_state = parameters.restored(kept, model_shapes(workload))
    except (ValueError, OSError) as error:
        raise UserError(f"The parameters of {trial} cannot be used: {error}.") from error
    return workload, {"params": params, **model_state}


class HarnessModel(TemplateLM):
    """A model that gives logits of each next word.

    Args:
        model: The model.
        variables: Its parameters and state.
        words: What each token is; the first begins a document.
        length: The most tokens of a prompt and a continuation; of a longer prompt the end is taken.
    """

    def __init__(
        self, model: nn.Module, variables: Mapping[str, Any], words: Sequence[str], length: int
    ) -> None:
        super().__init__()
        self._model, self._variables = model, variables
        self._tokens = {word: token for token, word in enumerate(words)}
        self._length = length

    @property
    def eot_token_id(self) -> int:
        """A document ends where another begins."""
        return 0

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Words to tokens.

        Raises:
            UserError: If the model has no such word.
        """
        if unknown := [word for word in string.split() if word not in self._tokens]:
            raise UserError(f"The model has no word {unknown[0]!r}; it is in {string!r}.")
        return [self._tokens[word] for word in string.split()]

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: object
    ) -> list[tuple[float, bool]]:
        rows = np.zeros((len(requests), self._length), np.int32)
        starts, counts = np.zeros((2, len(requests)), np.int32)
        for place, (_names, before, asked) in enumerate(requests):
            if len(asked) >= self._length:
                raise UserError(f"A continuation has {len(asked)} words; {self._length - 1} fit.")
            tokens = [*before, *asked][-self._length :]
            rows[place, : len(tokens)] = tokens
            starts[place], counts[place] = len(tokens) - len(asked), len(asked)
        nats, greedy = scored(self._model, self._variables, rows, starts, counts)
        return list(zip(nats.tolist(), greedy.tolist(), strict=True))

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Log-likelihoods of whole texts, in windows that do not overlap."""
        found = []
        for (text,) in [request.args for request in requests]:
            windows = utils.get_rolling_token_windows(
                self.tok_encode(text), self.eot_token_id, self._length - 1, context_len=1
            )
            parts = [(None, *utils.make_disjoint_window(window)) for window in windows]
            found.append(sum(nats for nats, _ in self._loglikelihood_tokens(parts)))
        return found

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Refused: the model is asked how likely texts are, and writes none."""
        raise UserError("The model does not write texts; give tasks of log-likelihoods.")


def write_tasks(folder: Path, prefix: str, words: Sequence[str], questions: Questions) -> list[str]:
    """Writes questions as tasks of lm-evaluation-harness: a YAML file and a JSONL file each.

    Args:
        folder: Where; `TaskManager(include_path=folder)` finds them.
        prefix: What the tasks' names begin with.
        words: What each token is.
        questions: The questions of all tasks.

    Returns:
        Names of the tasks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents: dict[str, list[dict[str, Any]]] = {}
    for place, task in enumerate(questions.tasks):
        start = int(questions.starts[place])
        rows, ends = questions.tokens[place], start + questions.n_tokens[place]
        text = _text(words, rows[0, :start])
        texts = [_text(words, row[start:end]) for row, end in zip(rows, ends, strict=True)]
        document = {"prompt": text, "choices": texts, "gold": int(questions.gold[place])}
        documents.setdefault(f"{prefix}_{task}", []).append(document)
    for name, own in documents.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in own))
        # JSON is YAML.
        (folder / f"{name}.yaml").write_text(json.dumps(_task(name, data.resolve()), indent=2))
    return list(documents)


def _text(words: Sequence[str], tokens: np.ndarray) -> str:
    return " ".join(words[int(token)] for token in tokens)


def _task(name: str, data: Path) -> dict[str, Any]:
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(data)},
            "cache_dir": str(data.with_name(".cache")),
        },
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": metric} for metric in ("acc", "acc_norm")],
        "metadata": {"version": 1.0},
    }


def evaluate(
    model: HarnessModel, tasks: Sequence[str], folder: Path, out: Path, name: str
) -> dict[str, Any]:
    """Lets lm-evaluation-harness ask, and write what it writes: `<out>/<name>/samples_*.jsonl`.

    Args:
        model: Whom.
        tasks: Names of its tasks.
        folder: Where those of ours are.
        out: Where to write.
        name: The model's name.

    Returns:
        Its results, by task and metric.
    """
    tracker = EvaluationTracker(output_path=str(out))
    found = simple_evaluate(
        model,
        model_args=f"pretrained={name}",
        tasks=list(tasks),
        task_manager=TaskManager(include_path=str(folder)),
        evaluation_tracker=tracker,
        bootstrap_iters=0,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(found, samples)
    for task, own in samples.items():
        tracker.save_results_samples(task, own)
    return found["results"]
