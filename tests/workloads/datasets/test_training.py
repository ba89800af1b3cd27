"""Every base of the full suite trains and is evaluated on small files in the real formats.

At its real architecture where memory and patience allow; else narrower, with the same parts.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest

from algoperf import registry
from algoperf.metric import Metric
from algoperf.spec import Progress, Split, TrainState
from algoperf.submission import from_optax
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, init_model
from tests.small_data import ready
from workloads.datasets import librispeech as librispeech_module
from workloads.datasets import wmt as wmt_module
from workloads.metrics.bleu import bleu
from workloads.metrics.word_error_rate import word_error_rate

pytestmark = pytest.mark.slow

SGD = from_optax(lambda hp, workload: optax.sgd(1e-3))
NOW = Progress(0, 0.0, 1.0, ())


class Case(NamedTuple):
    narrower: dict[str, Any]
    batch_size: int = 2
    metrics: Callable[[Any], dict[str, Metric]] | None = None


def _words(dataset: Any) -> dict[str, Metric]:
    detokenize = partial(librispeech_module.detokenize, dataset=dataset)
    return {"wer": word_error_rate(detokenize)}


def _translations(dataset: Any) -> dict[str, Metric]:
    metric = registry.workload("wmt").metrics["bleu"]
    detokenize = partial(wmt_module.detokenize, dataset=dataset)
    return {"bleu": bleu(detokenize, metric.predict)}


CASES = {
    "mnist": Case({}),
    "cifar": Case({}),
    "ogbg": Case({}, batch_size=8),
    "criteo1tb": Case({"table_width": 2, "bottom": (8, 2), "top": (8, 8)}),
    "fastmri": Case({"channels": 2}),
    "imagenet_resnet": Case({"blocks": (1, 1, 1, 1), "width": 4}),
    "imagenet_vit": Case({"width": 12, "depth": 2, "heads": 2}),
    "librispeech_conformer": Case({"width": 16, "heads": 2, "blocks": 1}, metrics=_words),
    "librispeech_deepspeech": Case(
        {"width": 16, "recurrent": 1, "dense_layers": 1}, metrics=_words
    ),
    "wmt": Case({"width": 16, "heads": 2, "layers": 1, "mlp_width": 16}, metrics=_translations),
    "finewebedu_lm": Case({"width": 16, "heads": 2, "layers": 1, "mlp_width": 16}),
}


def test_these_are_all_bases():
    full = [w for w in registry.workloads().values() if w.suite == "full"]
    assert set(CASES) == {workload.name for workload in full if workload.base is None}


@pytest.mark.parametrize("name", CASES)
def test_a_base_trains_and_is_evaluated_on_real_files(name, tmp_path):
    case, workload = CASES[name], registry.workload(name)
    dataset = ready(workload.dataset.name, tmp_path)
    own = {} if case.metrics is None else case.metrics(dataset)
    workload = dataclasses.replace(
        workload,
        dataset=dataset,
        model=dataclasses.replace(workload.model, **case.narrower),
        metrics={**workload.metrics, **own},
        batch_size=case.batch_size,
        eval_batch_size=case.batch_size,
    )
    view = WorkloadView(workload, 1.0)
    params, state = init_model(workload, jax.random.key(0))
    train = TrainState(params, state, SGD.init(view, params, None, jax.random.key(0)))
    stream = dataset.training(workload.batch_size, seed=0)
    for step in range(2):
        train = SGD.update(view, train, next(stream), jax.random.key(step), NOW)
    for (path, before), after in zip(
        jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(train.params), strict=True
    ):
        where = jax.tree_util.keystr(path)
        assert np.isfinite(after).all(), where
        # A rare row of a table may be in no batch; the table as a whole moved.
        assert not np.array_equal(before, after), where
    evaluate = Evaluator(workload)
    for split in (Split.EVAL_TRAIN, Split.VALIDATION, Split.TEST):
        found = evaluate(train.params, train.model_state, split)
        assert set(found) == set(workload.metrics)
        assert all(np.isfinite(value) for value in found.values()), found
