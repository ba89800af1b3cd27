"""What holds for every data set: an addition to the small ones is tested by standing there."""

import numpy as np
import pytest

from algoperf import registry
from algoperf.spec import Split
from tests.small_data import SMALL, ready


def test_every_data_set_has_a_small_one():
    assert SMALL.keys() == registry.datasets().keys()


@pytest.fixture(scope="module", params=SMALL)
def dataset(request, tmp_path_factory):
    return ready(request.param, tmp_path_factory.mktemp("data"))


def test_streams_have_their_signature_and_go_on_from_any_step(dataset, check_stream):
    check_stream(dataset, 2)


@pytest.mark.parametrize("split", Split)
def test_an_evaluation_is_whole_finite_and_the_same_each_time(dataset, split):
    batches, again = (list(dataset.evaluation(split, 4)) for _ in range(2))
    assert sum(float(np.sum(batch["weights"])) for batch in batches) == dataset.sizes[split]
    assert len({tuple((n, a.shape, a.dtype) for n, a in batch.items()) for batch in batches}) == 1
    for one, other in zip(batches, again, strict=True):
        assert all(np.isfinite(array).all() for array in one.values())
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_hash_is_of_the_data(dataset, tmp_path):
    assert dataset.sha256 == ready(dataset.name, tmp_path).sha256
