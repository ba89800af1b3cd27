"""Which examples make up which batch: a function of seed and place alone, so any place resumes."""

import threading
from collections.abc import Sequence

import numpy as np


def permutation(examples: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch, int32 (examples,)."""
    rng = np.random.default_rng((seed, epoch))
    return rng.permutation(examples).astype(np.int32)


class Order:
    """Permutation after permutation of all examples, without end. Safe to share among threads."""

    def __init__(self, examples: int, seed: int) -> None:
        self.examples = examples
        self._seed = seed
        self._epochs: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def take(self, start: int, stop: int) -> np.ndarray:
        """The `start`th to `stop`th example drawn, int (stop - start,)."""
        first, last = start // self.examples, (stop - 1) // self.examples
        parts = [
            self._within(
                epoch,
                max(start - epoch * self.examples, 0),
                min(stop - epoch * self.examples, self.examples),
            )
            for epoch in range(first, last + 1)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _within(self, epoch: int, start: int, stop: int) -> np.ndarray:
        return self._epoch(epoch)[start:stop]

    def _epoch(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._epochs:
                # Of the epochs before, the next batch may still need the last.
                self._epochs = {e: rows for e, rows in self._epochs.items() if e == epoch - 1}
                self._epochs[epoch] = self._permute(epoch)
            return self._epochs[epoch]

    def _permute(self, epoch: int) -> np.ndarray:
        return permutation(self.examples, self._seed, epoch)


class PhasedOrder:
    """Sets of examples one after the other, each in permutations without end until the next begins.

    Args:
        phases: For each how many examples were drawn before it, the first 0, and its examples,
            int (examples,).
        seed: Decides the orders.
    """

    def __init__(self, phases: Sequence[tuple[int, np.ndarray]], seed: int) -> None:
        self._begins = [begin for begin, _ in phases]
        self._rows = [rows for _, rows in phases]
        self._orders = [Order(len(rows), seed) for rows in self._rows]

    def take(self, start: int, stop: int) -> np.ndarray:
        """The `start`th to `stop`th example drawn, int (stop - start,)."""
        parts = []
        ends = [*self._begins[1:], stop]
        phases = zip(self._begins, ends, self._rows, self._orders, strict=True)
        for begin, end, rows, order in phases:
            if (first := max(start, begin)) < (last := min(stop, end)):
                parts.append(rows[order.take(first - begin, last - begin)])
        return np.concatenate(parts)


class BlockOrder(Order):
    """Blocks of neighbouring examples in random order, each read from its start to its end.

    For data whose rows are too many to permute one by one, and too small to be read one by one.

    Args:
        sizes: Examples in each block, int (blocks,).
        seed: Decides the order.
    """

    def __init__(self, sizes: np.ndarray, seed: int) -> None:
        super().__init__(int(sizes.sum()), seed)
        self._sizes = sizes.astype(np.int64)
        self._firsts = np.cumsum(self._sizes) - self._sizes

    def _permute(self, epoch: int) -> np.ndarray:
        """Rows: the first example of each block, less the number of examples drawn before it;
        the number drawn after it. int64 (2, blocks)."""
        blocks = permutation(len(self._sizes), self._seed, epoch)
        ends = np.cumsum(self._sizes[blocks])
        return np.stack([self._firsts[blocks] - (ends - self._sizes[blocks]), ends])

    def _within(self, epoch: int, start: int, stop: int) -> np.ndarray:
        shifts, ends = self._epoch(epoch)
        drawn = np.arange(start, stop)
        return drawn + shifts[np.searchsorted(ends, drawn, side="right")]


def pack(sizes: np.ndarray, capacity: Sequence[int], most: int | None = None) -> np.ndarray:
    """Cuts a sequence of examples into groups; each takes as many of the next as fit.

    Args:
        sizes: int (examples, dimensions), such as the nodes and edges of each graph.
        capacity: What a group may hold, in each dimension.
        most: How many examples a group may hold; None for no limit.

    Returns:
        Where groups begin, and the number of examples: int (groups + 1,).

    Raises:
        ValueError: If an example is larger than a whole group.
    """
    count = len(sizes)
    ends = np.minimum(np.arange(count) + (count if most is None else most), count)
    for column, room in zip(sizes.T, capacity, strict=True):
        total = np.concatenate([[0], np.cumsum(column)])
        ends = np.minimum(ends, np.searchsorted(total, total[:-1] + room, side="right") - 1)
    if (ends <= np.arange(count)).any():
        raise ValueError(f"an example is larger than the capacity {tuple(capacity)}")
    following = ends.tolist()
    starts, at = [], 0
    while at < count:
        starts.append(at)
        at = following[at]
    return np.array([*starts, count])


class PackedOrder:
    """Groups of examples, drawn at random and packed; what is left over begins the next epoch.

    Safe to share among threads.

    Args:
        sizes: int (examples, dimensions).
        capacity: What a group may hold, in each dimension.
        seed: Decides the order.
        most: How many examples a group may hold; None for no limit.
    """

    def __init__(
        self, sizes: np.ndarray, capacity: Sequence[int], seed: int, most: int | None = None
    ) -> None:
        self._sizes = sizes
        self._capacity = capacity
        self._seed = seed
        self._most = most
        self._lock = threading.Lock()
        self._rewind()

    def _rewind(self) -> None:
        self._epoch = 0
        self._left = np.zeros(0, np.int32)
        self._kept: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._ready = 0

    def take(self, start: int, stop: int) -> list[np.ndarray]:
        """The `start`th to `stop`th group: the examples in each."""
        with self._lock:
            if self._kept and start < self._kept[0][0]:
                self._rewind()
            while self._ready < stop:
                self._advance(start)
            return [self._group(number) for number in range(start, stop)]

    def _group(self, number: int) -> np.ndarray:
        first, order, starts = next(kept for kept in reversed(self._kept) if kept[0] <= number)
        place = number - first
        return order[starts[place] : starts[place + 1]]

    def _advance(self, start: int) -> None:
        """Packs one more epoch; forgets those that ended long before group `start`."""
        fresh = permutation(len(self._sizes), self._seed, self._epoch)
        order = np.concatenate([self._left, fresh])
        starts = pack(self._sizes[order], self._capacity, self._most)
        # The last group may have room left for examples of the next epoch.
        self._left = order[starts[-2] :]
        # Threads that read ahead may come back for a group a little earlier.
        while len(self._kept) > 2 and self._kept[2][0] <= start:
            self._kept.pop(0)
        self._kept.append((self._ready, order, starts[:-1]))
        self._ready += len(starts) - 2
        self._epoch += 1
