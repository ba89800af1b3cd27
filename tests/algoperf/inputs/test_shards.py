import resource

import numpy as np
import pytest

from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.inputs.batches import rows_of
from algoperf.inputs.conversion import Job, Kept, Preparation
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.shards import allow_open_files
from algoperf.inputs.stores import PreparedStore
from algoperf.spec import Split
from tests.real_files import Silent

SHARDS = 60


@pytest.fixture
def many(tmp_path):
    """A data set of many small files, each of three numbers."""

    def plan(root, folder, tell):
        def numbers(shard):
            return lambda: (Kept(np.int64(3 * shard + n).tobytes()) for n in range(3))

        return [Job(f"{shard:03d}", "train", [], numbers(shard)) for shard in range(SHARDS)]

    store = PreparedStore("many", lambda raw: np.frombuffer(raw, np.int64))
    dataset = RecordDataset(
        name="many",
        published=dict.fromkeys((Split.TRAIN, Split.VALIDATION, Split.TEST), 3 * SHARDS),
        parts=dict.fromkeys((Split.TRAIN, Split.VALIDATION, Split.TEST), Part(store, "train")),
        batching=rows_of(lambda record, rng: {"inputs": record}),
        spec=lambda size: {"inputs": ((size, 1), np.int64)},
        instructions="",
        preparation=Preparation(store, plan),
        root=tmp_path,
    )
    prepare.prepare(dataset, Silent())
    return dataset


@pytest.fixture
def few_open_files():
    """A limit below the number of shards; 1,024 is common, and real data have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_shards_than_files_may_be_open_are_read(many, few_open_files):
    found = many.records(Split.TRAIN).take(range(3 * SHARDS))
    assert [int(number[0]) for number in found] == list(range(3 * SHARDS))


def test_a_limit_that_cannot_be_raised_is_told(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50, 100))
    with pytest.raises(UserError, match=r"200 files have to be open at once, .* allows 100: raise"):
        allow_open_files(200)


def test_a_full_disk_is_told_and_prepared_again_when_there_is_room(many):
    (many.root / "many/prepared/manifest.json").unlink()
    (many.root / "many/prepared/030.json").unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UserError, match=r"030.partial cannot be written: .*Make room"):
            prepare.prepare(many, Silent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert many.missing() is not None
    prepare.prepare(many, Silent())
    assert many.missing() is None


def test_an_empty_split_is_a_fault(many):
    path = many.root / "many/prepared/manifest.json"
    path.write_text(path.read_text().replace('"part": "train"', '"part": "other"'))
    assert "the train split is empty" in many.missing()


def test_records_know_the_files_that_hold_them(many):
    records = many.records(Split.TRAIN)
    names = [shard.path.stem for shard in records.overlapping(2, 7)]
    # Records 2 to 6: the last of shard 0, all of shard 1, the first of shard 2.
    assert names == ["000", "001", "002"]
    piece = records.piece(4, 9)
    assert [int(n[0]) for n in piece.each(step=2)] == [4, 5, 6, 7, 8]
    assert [shard.path.stem for shard in piece.overlapping(0, 2)] == ["001"]
