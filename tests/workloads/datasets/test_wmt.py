from dataclasses import replace

import numpy as np
import pytest

from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.spec import Split
from tests.real_files import Silent
from tests.small_data import PAIRS, pair, shrunk, wmt_files
from workloads.datasets.wmt import EOS, detokenize, packed_row, references, wmt


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    wmt_files(root)
    return root


@pytest.fixture
def dataset(root):
    return shrunk("wmt", root, PAIRS)


def test_an_evaluation_has_a_pair_in_a_row(dataset, prepared, evaluated):
    batch = evaluated(prepared(dataset))
    assert set(batch) == {"inputs", "targets", "weights"}
    assert batch["weights"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    expected = [pair(number) for number in range(100, 105)]
    assert detokenize(batch["inputs"], dataset)[:5] == [p["de"] for p in expected]
    assert detokenize(batch["targets"], dataset)[:5] == [p["en"] for p in expected]
    assert references(Split.VALIDATION, dataset) == [p["en"] for p in expected]
    for row in batch["targets"]:
        (end,) = np.flatnonzero(row == EOS)
        assert not row[end + 1 :].any()
        assert row[:end].all()


def test_train_metrics_have_their_references_too(dataset, prepared, evaluated):
    batch = evaluated(prepared(dataset), Split.EVAL_TRAIN)
    assert detokenize(batch["targets"], dataset)[:5] == references(Split.EVAL_TRAIN, dataset)


def test_a_packed_row():
    pairs = [
        {"inputs": np.array([5, 6, 1]), "targets": np.array([7, 1])},
        {"inputs": np.array([8, 1]), "targets": np.array([9, 10, 11, 1])},
    ]
    row = {name: array[:7].tolist() for name, array in packed_row(pairs).items()}
    assert row == {
        "inputs": [5, 6, 1, 8, 1, 0, 0],
        "inputs_positions": [0, 1, 2, 0, 1, 0, 0],
        "inputs_segments": [1, 1, 1, 2, 2, 0, 0],
        "targets": [7, 1, 9, 10, 11, 1, 0],
        "targets_positions": [0, 1, 0, 1, 2, 3, 0],
        "targets_segments": [1, 1, 2, 2, 2, 2, 0],
    }


def unpacked(dataset, batches):
    """The pairs of packed rows, in order."""
    found = []
    for batch in batches:
        for row in range(len(batch["inputs"])):
            segments = np.asarray(batch["inputs_segments"][row])
            for segment in range(1, segments.max() + 1):
                sides = [
                    np.where(batch[f"{side}_segments"][row] == segment, batch[side][row], 0)
                    for side in ("inputs", "targets")
                ]
                found.append(tuple(detokenize(np.array([s[s > 0]]), dataset)[0] for s in sides))
    return found


def test_training_packs_every_pair_once_an_epoch(dataset, prepared, check_stream):
    batches = check_stream(prepared(dataset), 2)
    pairs = unpacked(dataset, batches)
    everything = sorted((p["de"], p["en"]) for p in map(pair, range(40)))
    assert len(pairs) > 80
    assert sorted(pairs[:40]) == sorted(pairs[40:80]) == everything
    filled = np.mean([(np.asarray(batch["inputs"]) > 0).mean() for batch in batches])
    assert filled > 0.7


def test_what_is_left_out_or_cut_is_counted(tmp_path, prepared, evaluated):
    long = {"de": " ".join(["Hund"] * 300), "en": "dogs"}
    wmt_files(tmp_path, [long, {"de": "Hund", "en": " "}], [long])
    counts = {**PAIRS, Split.TEST: 5}
    dataset = prepared(shrunk("wmt", tmp_path, counts, {**counts, Split.TRAIN: 42}))
    assert prepare.report(dataset) == [
        "test: 1 pairs cut to 256 tokens on a side",
        "train: 1 pairs of more than 256 tokens on a side left out",
        "train: 1 pairs with an empty side left out",
    ]
    batch = evaluated(dataset, Split.TEST, 8)
    assert batch["inputs"][4][-1] == EOS
    assert batch["inputs"][4].all()


def test_the_vocabulary_does_not_change_from_one_training_to_the_next(root, tmp_path):
    (tmp_path / "wmt").mkdir()
    for name in ("wmt17_translate", "wmt14_translate"):
        (tmp_path / "wmt" / name).symlink_to(root / "wmt" / name)
    models = []
    for dataset in (shrunk("wmt", root, PAIRS), shrunk("wmt", tmp_path, PAIRS)):
        prepare.prepare(dataset, Silent())
        models.append((dataset.root / "wmt/prepared/vocabulary.model").read_bytes())
    assert models[0] == models[1]


def test_sources_that_are_not_there_are_all_named(tmp_path):
    with pytest.raises(
        UserError,
        match=r"(?s)wmt17_translate/de-en/1.0.0 is mis.*wmt14_translate/de-en/1.0.0 is mis",
    ):
        prepare.prepare(shrunk("wmt", tmp_path, PAIRS), Silent())


def test_detokenising_needs_the_vocabulary(tmp_path):
    with pytest.raises(UserError, match=r"vocabulary.model is missing; prepare the data set"):
        detokenize(np.array([[5, 1]]), replace(wmt, root=tmp_path))
