import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algoperf.data import ArrayDataset, Phase, hash_of
from algoperf.errors import UserError
from algoperf.spec import Split


def numbered(count: int) -> ArrayDataset:
    """Examples that are their own numbers."""

    def load():
        return {split: {"inputs": np.arange(count, dtype=np.float32)} for split in Split}

    return ArrayDataset("numbers", load, hash_of(load()))


def drawn(stream, batches: int) -> list[int]:
    return [int(n) for batch in itertools.islice(iter_of(stream), batches) for n in batch["inputs"]]


def iter_of(stream):
    while True:
        yield next(stream)


def test_every_epoch_sees_every_example_once_across_the_seams():
    # 7 examples in batches of 4: 7 batches are 4 epochs.
    order = drawn(numbered(7).training(4, seed=1), 7)
    epochs = [order[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


@given(position=st.integers(0, 12), seed=st.integers(0, 100))
def test_a_stream_goes_on_from_any_position(position, seed):
    data = numbered(7)
    whole = drawn(data.training(4, seed), 14)
    stream = data.training(4, seed, position)
    assert drawn(stream, 14 - position) == whole[4 * position :]
    assert stream.position() == 14


def test_the_seed_decides_the_order():
    data = numbered(50)
    assert drawn(data.training(10, seed=1), 5) == drawn(data.training(10, seed=1), 5)
    assert drawn(data.training(10, seed=1), 5) != drawn(data.training(10, seed=2), 5)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 100])
def test_an_evaluation_sees_each_example_once_and_marks_the_padding(batch_size):
    batches = list(numbered(7).evaluation(Split.TEST, batch_size))
    inputs = np.concatenate([batch["inputs"] for batch in batches])
    weights = np.concatenate([batch["weights"] for batch in batches])
    assert inputs[weights == 1].tolist() == list(range(7))
    assert len({batch["inputs"].shape for batch in batches}) == 1  # one compilation
    assert set(weights) <= {0.0, 1.0}


def test_data_that_are_not_the_recorded_ones_are_refused():
    data = ArrayDataset("numbers", lambda: {Split.TRAIN: {"inputs": np.zeros(3)}}, "0" * 64)
    with pytest.raises(UserError, match="'numbers' has hash .*, but its targets were set on 000"):
        data.training(1, seed=0)


def test_a_batch_larger_than_the_data_wraps_around():
    order = drawn(numbered(3).training(8, seed=0), 3)
    assert len(order) == 24
    assert all(sorted(order[start : start + 3]) == [0, 1, 2] for start in range(0, 24, 3))


def test_data_that_change_give_each_phase_its_own_examples_at_any_batch_size():
    """Rows 0 to 2 for the first ten examples, then 3 to 6; in the middle of a batch."""
    phases = (Phase(0, lambda _: np.arange(3)), Phase(10, lambda _: np.arange(3, 7)))
    data = dataclasses.replace(numbered(7), phases=phases)
    assert data.changes == (10,)
    drawn_ = drawn(data.training(4, seed=0), 6)
    assert set(drawn_[:10]) == {0, 1, 2}
    assert [sorted(drawn_[start : start + 3]) for start in (0, 3, 6)] == [[0, 1, 2]] * 3
    assert [sorted(drawn_[start : start + 4]) for start in (10, 14, 18)] == [[3, 4, 5, 6]] * 3
    assert drawn(data.training(3, seed=0), 8) == drawn_
    assert drawn(data.training(4, seed=0, position=2), 4) == drawn_[8:]
    assert numbered(7).changes == ()
