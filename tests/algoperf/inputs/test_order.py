import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algoperf.inputs.order import BlockOrder, Order, PackedOrder, pack

SIZES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 7)), min_size=1, max_size=30)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_blocks_stay_whole_and_every_epoch_sees_every_example_once(sizes, seed):
    blocks = [
        list(range(end - size, end))
        for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)
    ]
    order = BlockOrder(np.array(sizes), seed)
    for epoch in range(3):
        drawn = order.take(epoch * sum(sizes), (epoch + 1) * sum(sizes)).tolist()
        assert sorted(drawn) == list(range(sum(sizes)))
        while drawn:
            block = next(block for block in blocks if block[0] == drawn[0])
            assert drawn[: len(block)] == block
            drawn = drawn[len(block) :]


@pytest.mark.parametrize("order", [Order(7, 3), BlockOrder(np.array([3, 1, 2, 1]), 3)])
def test_any_stretch_is_a_stretch_of_the_whole(order):
    whole = order.take(0, 40)
    for start, stop in [(0, 1), (5, 9), (6, 30), (13, 14), (20, 40), (2, 8)]:
        assert order.take(start, stop).tolist() == whole[start:stop].tolist()


def test_groups_take_as_many_of_the_next_as_fit():
    # Room for 5 and 10: 2+3 fill the first; 1+1 would fit, but not 6+5; two of 0 are the most.
    sizes = np.array([[2, 1], [3, 1], [1, 6], [1, 5], [0, 1], [0, 1], [0, 1]])
    assert pack(sizes, (5, 10), most=2).tolist() == [0, 2, 3, 5, 7]
    assert pack(sizes, (5, 10)).tolist() == [0, 2, 3, 7]


def test_what_never_fits_is_refused():
    with pytest.raises(ValueError, match=r"larger than the capacity \(5, 10\)"):
        pack(np.array([[1, 1], [6, 1]]), (5, 10))


@given(sizes=SIZES, seed=st.integers(0, 9), most=st.integers(1, 5))
def test_packing_loses_nothing_and_keeps_within_capacity(sizes, seed, most):
    array = np.array(sizes)
    order = PackedOrder(array, (5, 7), seed, most)
    groups = order.take(0, 4 * len(sizes))
    assert all(0 < len(group) <= most for group in groups)
    assert all((array[group].sum(axis=0) <= (5, 7)).all() for group in groups)
    drawn = np.concatenate(groups)
    for epoch in range(len(drawn) // len(sizes)):
        part = drawn[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        assert sorted(part) == list(range(len(sizes)))


@given(sizes=SIZES, places=st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_a_group_does_not_depend_on_what_was_asked_before(sizes, places):
    def order():
        return PackedOrder(np.array(sizes), (5, 7), seed=1)

    whole, asked = order().take(0, 62), order()
    for place in places:
        (one, other) = asked.take(place, place + 2)
        assert one.tolist() == whole[place].tolist()
        assert other.tolist() == whole[place + 1].tolist()
