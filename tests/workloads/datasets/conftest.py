"""What the tests of all prepared data sets share."""

import numpy as np
import pytest

from algoperf.inputs import prepare
from algoperf.spec import Split
from tests.real_files import Silent


@pytest.fixture
def prepared():
    """The data set, prepared; all bytes of its sources are accounted for."""

    def make(dataset):
        watch = Silent()
        prepare.prepare(dataset, watch)
        assert watch.total_bytes == 0
        assert dataset.missing() is None
        return dataset

    return make


@pytest.fixture
def evaluated():
    """All rows of a split, padding included."""

    def make(dataset, split=Split.VALIDATION, batch_size=4):
        batches = list(dataset.evaluation(split, batch_size))
        return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}

    return make


@pytest.fixture
def check_stream():
    """Signature, resumption bit for bit, and dependence on the seed."""

    def make(dataset, batch_size, positions=(0, 1, 3)):
        stream = dataset.training(batch_size, seed=3)
        batches = [next(stream) for _ in range(5)]
        signature = dataset.signature(batch_size)
        assert {name: (s.shape, s.dtype) for name, s in signature.items()} == {
            name: (array.shape, array.dtype) for name, array in batches[0].items()
        }
        for position in positions:
            resumed = dataset.training(batch_size, seed=3, position=position)
            for batch in batches[position:]:
                again = next(resumed)
                assert all(np.array_equal(batch[name], again[name]) for name in batch)
            assert resumed.position() == 5
        other = next(dataset.training(batch_size, seed=4))
        assert any(not np.array_equal(other[name], batches[0][name]) for name in other)
        return batches

    return make
