"""How records become batches: functions of the place alone, for threads that read ahead."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from algoperf.inputs.order import BlockOrder, Order
from algoperf.inputs.shards import Records

Arrays = Mapping[str, np.ndarray]

Example = Callable[[Any, np.random.Generator | None], Arrays]
"""(record, randomness) -> the arrays of one row; without randomness in an evaluation."""

MakeBatch = Callable[[int], Arrays]
"""Number of a batch -> its arrays."""

Take = Callable[[int, int], np.ndarray]
"""(start, stop) -> indices of the examples drawn from `start` to `stop`."""


@dataclass(frozen=True)
class Batches:
    """Batches that are made when they are asked for; what grain calls a random access source."""

    count: int
    make: MakeBatch

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Arrays:
        return self.make(number)


def _one_by_one(records: Records, seed: int) -> Order:
    return Order(len(records), seed)


@dataclass(frozen=True)
class Batching:
    """How a data set makes its batches.

    Attributes:
        training: (records, batch size, seed) -> the batches of an endless stream.
        evaluation: (records, order, number of examples, batch size) -> the batches of one pass, the
            last one padded, with `weights`, 0 on padding.
        order: (records, seed) -> its examples in random order.
        obstacle: (records, batch size) -> why that batch size cannot be; None if it can.
    """

    training: Callable[[Records, int, int], MakeBatch]
    evaluation: Callable[[Records, Take, int, int], Batches]
    order: Callable[[Records, int], Order] = _one_by_one
    obstacle: Callable[[Records, int], str | None] = lambda records, batch_size: None


def batch_rng(seed: int, position: int) -> np.random.Generator:
    """A batch's randomness, from seed and place only: a resumed stream draws the same."""
    return np.random.default_rng((seed, position, 1))


def stack(rows: Iterable[Arrays], count: int) -> Arrays:
    """`count` rows of equal shapes to one batch, each copied as soon as it is made."""
    batch: dict[str, np.ndarray] = {}
    for place, row in enumerate(rows):
        for name, array in row.items():
            if place == 0:
                batch[name] = np.empty((count, *array.shape), array.dtype)
            batch[name][place : place + 1] = array[None]
    return batch


def padded(batch: Arrays, size: int) -> Arrays:
    """Repeats the last row up to `size`; adds `weights` float32 (size,), 0 on what was added."""
    count = len(next(iter(batch.values())))
    rows = np.minimum(np.arange(size), count - 1)
    weights = (np.arange(size) < count).astype(np.float32)
    whole = batch if count == size else {name: array[rows] for name, array in batch.items()}
    return {**whole, "weights": weights}


def passes(batch_of: Callable[[Records, np.ndarray], Arrays]) -> Callable[..., Batches]:
    """`Batching.evaluation` for batches whose rows are examples.

    Args:
        batch_of: (records, indices of examples) -> their rows.
    """

    def evaluation(records: Records, take: Take, count: int, batch_size: int) -> Batches:
        def make(number: int) -> Arrays:
            start = number * batch_size
            rows = take(start, min(start + batch_size, count))
            return padded(batch_of(records, rows), batch_size)

        return Batches(-(-count // batch_size), make)

    return evaluation


def blocks_of(batch: Callable[[np.ndarray], Arrays]) -> Batching:
    """A record is a block of neighbouring examples, an array whose rows they are.

    Args:
        batch: Rows of such arrays -> the arrays of a batch.
    """

    def batch_of(records: Records, rows: np.ndarray) -> Arrays:
        place = np.searchsorted(records.ends, rows, side="right")
        wanted, block_of_row = np.unique(place, return_inverse=True)
        blocks = records.take(wanted)
        lengths = np.array([len(block) for block in blocks])
        first_row = records.ends[wanted] - records.sizes[wanted, 0]
        shift = np.cumsum(lengths) - lengths - first_row
        return batch(np.concatenate(blocks)[rows + shift[block_of_row]])

    def order(records: Records, seed: int) -> Order:
        return BlockOrder(records.sizes[:, 0], seed)

    def training(records: Records, batch_size: int, seed: int) -> MakeBatch:
        drawn = order(records, seed)

        def make(position: int) -> Arrays:
            return batch_of(records, drawn.take(position * batch_size, (position + 1) * batch_size))

        return make

    return Batching(training, passes(batch_of), order)


def rows_of(example: Example, in_evaluation: Example | None = None) -> Batching:
    """A record is an example, an example is a row, and all rows have the same shapes.

    Args:
        example: Makes a row for training.
        in_evaluation: Makes a row for an evaluation, if that differs.
    """
    evaluated = in_evaluation or example

    def training(records: Records, batch_size: int, seed: int) -> MakeBatch:
        order = Order(len(records), seed)

        def make(position: int) -> Arrays:
            rng = batch_rng(seed, position)
            drawn = order.take(position * batch_size, (position + 1) * batch_size)
            return stack((example(record, rng) for record in records.take(drawn)), batch_size)

        return make

    def batch_of(records: Records, rows: np.ndarray) -> Arrays:
        return stack((evaluated(record, None) for record in records.take(rows)), len(rows))

    return Batching(training, passes(batch_of))
