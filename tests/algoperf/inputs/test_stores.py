"""What is wrong with files is said before training, by name, with the cure."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from algoperf.errors import UserError
from algoperf.inputs import extra
from algoperf.inputs.batches import rows_of
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.stores import TfdsStore
from algoperf.spec import Split
from tests.real_files import image_folder
from workloads.datasets.images import image_spec, whole_image

STORE = TfdsStore("small", "1.0.0", raw=("image",))
COUNTS = {"train": 12, "validation": 6, "test": 4}


@pytest.fixture
def dataset(tmp_path):
    image_folder(tmp_path, "small", "1.0.0", (8, 8, 3), COUNTS)
    return RecordDataset(
        name="small",
        published={Split(part): count for part, count in COUNTS.items()},
        parts={Split(part): Part(STORE, part) for part in COUNTS},
        batching=rows_of(whole_image(10, "small", "RGB")),
        spec=image_spec((8, 8, 3)),
        instructions="",
        root=tmp_path,
    )


def shard(dataset, part="train"):
    return next((dataset.root / "small/1.0.0").glob(f"*-{part}.array_record-*"))


def test_what_is_there_is_not_missing(dataset):
    assert dataset.missing() is None
    assert len(dataset.sha256) == 64
    assert dataset.sha256 == replace(dataset).sha256


def test_a_missing_folder_and_the_versions_that_are_there(dataset):
    other = replace(STORE, version="2.0.0")
    lacking = replace(
        dataset, parts={split: replace(p, store=other) for split, p in dataset.parts.items()}
    )
    message = (
        r"small/2.0.0 is missing \(there is version 1.0.0\); `algoperf data prepare small` says"
    )
    assert lacking.missing() is not None
    with pytest.raises(UserError, match=message):
        lacking.training(2, seed=0)
    with pytest.raises(UserError, match=message):
        _ = lacking.sha256


def test_without_data_the_published_numbers_and_the_signature_are_there(dataset, tmp_path):
    absent = replace(dataset, root=tmp_path / "nowhere")
    assert absent.sizes == {
        Split.TRAIN: 12, Split.EVAL_TRAIN: 6, Split.VALIDATION: 6, Split.TEST: 4,
    }  # fmt: skip
    assert absent.signature(3)["inputs"].shape == (3, 8, 8, 3)
    began = time.perf_counter()
    assert absent.missing()
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", "1.0.1", "holds version 1.0.1; 1.0.0 is needed"),
        ("fileFormat", "tfrecord", "in the format tfrecord, .*`tfds convert_format"),
        ("splits", [], "lists no splits"),
        ("splits", 3, "cannot be read: TypeError"),
    ],
)
def test_an_index_that_does_not_fit(dataset, key, value, message):
    path = dataset.root / "small/1.0.0/dataset_info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(UserError, match=message):
        dataset.training(2, seed=0)


def test_a_missing_shard_is_named(dataset):
    shard(dataset).unlink()
    assert dataset.missing() is not None
    assert "small-train.array_record-00000-of-00001 is missing" in dataset.missing()


def test_too_few_examples_are_counted(dataset):
    fewer = replace(dataset, published={**dataset.published, Split.TRAIN: 13})
    with pytest.raises(UserError, match="the train split has 12 examples, 13 are published"):
        fewer.training(2, seed=0)


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_truncated_shard_is_found_when_it_is_opened(dataset, keep):
    path = shard(dataset)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    (found,) = [s for s in STORE.shards(dataset.root) if s.path == path]
    assert "is truncated or damaged" in (found.deep_fault(hashes=False) or "")


def test_a_shard_of_another_count_is_found_when_it_is_opened(dataset):
    path = shard(dataset)
    path.write_bytes(shard(dataset, "test").read_bytes())
    (found,) = [s for s in STORE.shards(dataset.root) if s.path == path]
    assert "holds 4 records, 12 belong there" in (found.deep_fault(hashes=False) or "")


def test_a_damaged_record_is_named_when_it_is_read(dataset):
    path = shard(dataset)
    damaged = bytearray(path.read_bytes())
    start = damaged.index(b"PNG")
    damaged[start : start + 40] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"small-train.*-of-00001 is damaged: record \d+ cannot"):
        dataset.records(Split.TRAIN).take(range(12))


def test_optional_packages_are_named(dataset, monkeypatch):
    lacking = replace(dataset, packages=("grain", "no_such_package"))
    assert "no_such_package is not installed: pip install 'algoperf[full]'" in lacking.missing()
    with pytest.raises(UserError, match=r"'no_such_package' is not installed.*algoperf\[full\]"):
        extra.require("no_such_package")


def test_where_the_data_are(monkeypatch, tmp_path):
    monkeypatch.setenv("ALGOPERF_DATA", str(tmp_path))
    assert extra.data_root() == tmp_path
    monkeypatch.delenv("ALGOPERF_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    assert str(extra.data_root()) == "/x/algoperf"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert str(extra.data_root()) == "/home/me/.local/share/algoperf"


def test_records_are_read_by_many_threads_alike(dataset):
    records = dataset.records(Split.TRAIN)
    rows = np.array([3, 0, 11, 3])
    assert [r["label"] for r in records.take(rows)] == [3, 0, 1, 3]
    assert [r["label"] for r in records.piece(2, 5).take([0, 1])] == [2, 3]
