"""Every base of the full suite trains and is evaluated on small files in the real formats.

At its real architecture where memory and patience allow; else narrower, with the same parts.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest
from tokenizers import ByteLevelBPETokenizer

from algoperf import registry
from algoperf.metric import Metric
from algoperf.spec import Progress, Split, TrainState
from algoperf.submission import from_optax
from algoperf.workload import Evaluator, WorkloadView, init_model
from tests.real_files import image_folder
from tests.workloads.datasets import (
    test_criteo,
    test_fastmri,
    test_fineweb,
    test_images,
    test_librispeech,
    test_ogbg,
    test_wmt,
)
from workloads.datasets import librispeech as librispeech_module
from workloads.datasets import wmt as wmt_module
from workloads.datasets.fineweb import END
from workloads.metrics.bleu import bleu
from workloads.metrics.word_error_rate import word_error_rate

pytestmark = pytest.mark.slow

SGD = from_optax(lambda hp, workload: optax.sgd(1e-3))
NOW = Progress(0, 0.0, 1.0, ())


def mnist(root: Path, dataset: Any, **_: Any) -> Any:
    image_folder(root, "mnist", "3.0.1", (28, 28, 1), {"train": 15, "test": 4})
    return test_images.pieced(dataset, root)


def cifar(root: Path, dataset: Any, **_: Any) -> Any:
    image_folder(root, "cifar10", "3.0.2", (32, 32, 3), {"train": 15, "test": 4})
    return test_images.pieced(dataset, root)


def imagenet(root: Path, dataset: Any, **_: Any) -> Any:
    counts, form = {"train": 10, "validation": 5}, "JPEG"
    shape = (70, 90, 3)
    image_folder(root / "imagenet/jax", "imagenet2012", "5.1.0", shape, counts, form=form)
    v2 = root / "imagenet_v2"
    image_folder(v2, "matched-frequency", "3.0.0", (300, 260, 3), {"test": 4}, form=form)
    return test_images.small_imagenet(dataset, root)


def criteo(root: Path, dataset: Any, small: Any, prepared: Any) -> Any:
    (root / "criteo1tb").mkdir()
    for day in range(24):
        test_criteo.write(root / f"criteo1tb/day_{day}", day, range(test_criteo.ROWS))
    counts = test_criteo.COUNTS
    plan = partial(planned, test_criteo.plan, counts[Split.TEST])
    return prepared(small(dataset, root, counts, plan=plan))


def planned(plan: Callable[[Path, int], Any], held_out: int, root: Path, *_: Any) -> Any:
    return plan(root, held_out)


def fastmri(root: Path, dataset: Any, small: Any, prepared: Any) -> Any:
    folder = root / "fastmri"
    for place in range(2):
        test_fastmri.volume(
            folder / f"knee_singlecoil_train/file{place}.h5", [2 * place, 2 * place + 1]
        )
    for place in range(3):
        test_fastmri.volume(
            folder / f"knee_singlecoil_val/file{place}.h5", [2 * place, 2 * place + 1]
        )
    plan = partial(planned, test_fastmri.plan, 1)
    return prepared(small(dataset, root, test_fastmri.COUNTS, plan=plan))


def librispeech(root: Path, dataset: Any, small: Any, prepared: Any) -> Any:
    folders = ["train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other"]
    for speaker, folder in enumerate([*folders, "test-clean"]):
        numbers = [2 * speaker, 2 * speaker + 1]
        # Longer than 1.5 s, so that there are frames enough for the text.
        test_librispeech.chapter(root, folder, speaker, numbers, samples=32_000)
    return prepared(small(dataset, root, test_librispeech.COUNTS))


def ogbg(root: Path, dataset: Any, small: Any, prepared: Any) -> Any:
    test_ogbg.write(root, [test_ogbg.graph(number) for number in range(30)])
    return prepared(small(dataset, root, test_ogbg.COUNTS))


def wmt(root: Path, dataset: Any, small: Any, prepared: Any) -> Any:
    test_wmt.write(root)
    return prepared(small(dataset, root, test_wmt.COUNTS))


def fineweb(root: Path, dataset: Any, small: Any, prepared: Any) -> Any:
    """A byte-pair encoding of the texts themselves; sequences of the real length."""
    folder = root / "fineweb"
    folder.mkdir()
    texts = [test_fineweb.document(number) for number in range(160)]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        texts, test_fineweb.VOCABULARY, special_tokens=[END], show_progress=False
    )
    trained.save_model(str(folder))
    for place in range(2):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[place::2])
        (folder / f"{place}.jsonl").write_text(lines)
    plan = partial(planned, test_fineweb.plan, test_fineweb.VOCABULARY)
    return prepared(small(dataset, root, {}, plan=plan))


class Case(NamedTuple):
    files: Callable[..., Any]
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
    "mnist": Case(mnist, {}),
    "cifar": Case(cifar, {}),
    "ogbg": Case(ogbg, {}, batch_size=8),
    "criteo1tb": Case(criteo, {"table_width": 2, "bottom": (8, 2), "top": (8, 8)}),
    "fastmri": Case(fastmri, {"channels": 2}),
    "imagenet_resnet": Case(imagenet, {"blocks": (1, 1, 1, 1), "width": 4}),
    "imagenet_vit": Case(imagenet, {"width": 12, "depth": 2, "heads": 2}),
    "librispeech_conformer": Case(
        librispeech, {"width": 16, "heads": 2, "blocks": 1}, metrics=_words
    ),
    "librispeech_deepspeech": Case(
        librispeech, {"width": 16, "recurrent": 1, "dense_layers": 1}, metrics=_words
    ),
    "wmt": Case(
        wmt, {"width": 16, "heads": 2, "layers": 1, "mlp_width": 16}, metrics=_translations
    ),
    "finewebedu_lm": Case(fineweb, {"width": 16, "heads": 2, "layers": 1, "mlp_width": 16}),
}


def test_these_are_all_bases():
    full = [w for w in registry.workloads().values() if w.suite == "full"]
    assert set(CASES) == {workload.name for workload in full if workload.base is None}


@pytest.mark.parametrize("name", CASES)
def test_a_base_trains_and_is_evaluated_on_real_files(name, tmp_path, small, prepared):
    case, workload = CASES[name], registry.workload(name)
    dataset = case.files(tmp_path, workload.dataset, small=small, prepared=prepared)
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
