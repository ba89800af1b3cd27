"""Data as a trial sees it: an endless stream of training batches, and passes over a split."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from algoperf import sharding
from algoperf.errors import UserError
from algoperf.inputs.order import Order, PhasedOrder
from algoperf.spec import Batch, Split

Arrays = Mapping[str, np.ndarray]

READ_EXAMPLES = "algoperf.read_examples"
"""Audit event: somebody reads examples that are for evaluation; `guard` looks who it is."""


class BatchStream(Protocol):
    """Training batches without end, in an order that the seed alone decides."""

    def __next__(self) -> Batch: ...

    def position(self) -> int:
        """How many batches were drawn; the whole state of the stream."""
        ...


class Dataset(Protocol):
    """Where a workload's examples come from."""

    @property
    def name(self) -> str: ...

    @property
    def sizes(self) -> Mapping[Split, int]:
        """Examples in each split."""
        ...

    @property
    def sha256(self) -> str:
        """Identifies the examples and their split."""
        ...

    @property
    def changes(self) -> tuple[int, ...]:
        """Counts of drawn training examples at which the training set is replaced; () if never."""
        ...

    def missing(self) -> str | None:
        """What is not there yet and how to get it; None if all is ready."""
        ...

    def training(self, batch_size: int, seed: int, position: int = 0) -> BatchStream: ...

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """One pass in fixed order; the last batch is padded, `weights` is 0 on padding."""
        ...

    def signature(self, batch_size: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a training batch, as `jax.ShapeDtypeStruct`."""
        ...


def hash_of(splits: Mapping[Split, Arrays]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of all arrays, in a fixed order."""
    digest = hashlib.sha256()
    for split in sorted(splits):
        for name, array in sorted(splits[split].items()):
            digest.update(f"{split}/{name}/{array.shape}/{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_hash(name: str, splits: Mapping[Split, Arrays], recorded: str) -> None:
    """Refuses data that are not those whose targets were set.

    Raises:
        UserError: If the hash differs from the recorded one.
    """
    found = hash_of(splits)
    if found != recorded:
        raise UserError(
            f"Data set {name!r} has hash {found}, but its targets were set on {recorded}. If you "
            "changed the data on purpose, put the new hash into its `sha256` and set its targets "
            "anew (`algoperf targets SUITE --set`); else undo the change."
        )


Augment = Callable[[Batch, jax.Array], Batch]
"""(training batch, key) -> the same shapes and dtypes, randomly changed; traced by jax."""


Prepare = Callable[[Batch], Batch]
"""Rows as they are stored, (batch, ...) -> the batch that a model takes; traced by jax."""


BLOCK = 16
"""Batches made in one dispatch: a dispatch a batch would cost a small model 5 % of its step."""


@partial(jax.jit, static_argnames=("augment", "prepare"))
def _take(
    arrays: Batch,
    rows: np.ndarray,
    seed: int,
    position: int,
    *,
    augment: Augment | None,
    prepare: Prepare | None,
) -> list[Batch]:
    """The batches of `rows` (batches, batch size), the first of which is the `position`th."""
    block = {name: array[rows] for name, array in arrays.items()}
    if prepare is not None:
        block = jax.vmap(prepare)(block)
    if augment is not None:
        positions = position + jnp.arange(len(rows))
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(positions)
        block = jax.vmap(augment)(block, keys)
    batches = [{name: array[place] for name, array in block.items()} for place in range(len(rows))]
    return jax.lax.with_sharding_constraint(batches, sharding.batch_sharded())


@partial(jax.jit, static_argnames="prepare")
def _prepared(batch: Batch, prepare: Prepare) -> Batch:
    weights = {"weights": batch["weights"]}
    rows = {name: array for name, array in batch.items() if name != "weights"}
    return jax.lax.with_sharding_constraint({**prepare(rows), **weights}, sharding.batch_sharded())


class _ArrayStream:
    """The training rows in the order given, cut into batches across the seams of permutations."""

    def __init__(
        self,
        arrays: Arrays,
        order: Order | PhasedOrder,
        batch_size: int,
        seed: int,
        position: int,
        *,
        augment: Augment | None,
        prepare: Prepare | None,
    ) -> None:
        self._arrays = sharding.put(dict(arrays), sharding.replicated())
        self._augment, self._prepare = augment, prepare
        self._order = order
        self._batch_size = batch_size
        self._seed = seed
        self._position = position
        self._block: int | None = None
        self._batches: list[Batch] = []

    def position(self) -> int:
        return self._position

    def __next__(self) -> Batch:
        block, place = divmod(self._position, BLOCK)
        if block != self._block:
            first, size = block * BLOCK, self._batch_size
            rows = self._order.take(first * size, (first + BLOCK) * size).reshape(BLOCK, size)
            self._batches = _take(
                self._arrays,
                rows,
                self._seed,
                first,
                augment=self._augment,
                prepare=self._prepare,
            )
            self._block = block
        self._position += 1
        return self._batches[place]


@dataclass(frozen=True)
class Phase:
    """Some of the training examples, from some moment on.

    Attributes:
        begins: How many training examples are drawn before it; 0 for the first.
        rows: (the training arrays) -> which of their rows it has, int (examples,).
    """

    begins: int
    rows: Callable[[Arrays], np.ndarray]


@dataclass(frozen=True, eq=False)
class ArrayDataset:
    """A data set that fits into memory.

    Attributes:
        name: Its name.
        load: Returns the arrays of every split, equal length within a split.
        sha256: `hash_of` what `load` returns; checked when it is first read.
        augment: Changes each training batch at random, on the device; None to leave it.
        prepare: Makes every batch of the rows stored, on the device and before `augment`: rows may
            be bytes where the model takes floats, or a batch may be more than its rows.
        example: Shape and type of each array of a stored row, where loading takes long; None to
            look at the arrays.
        phases: What is trained on when, in order; empty if it is always all of it.
    """

    name: str
    load: Callable[[], Mapping[Split, Arrays]]
    sha256: str
    augment: Augment | None = None
    prepare: Prepare | None = None
    example: Mapping[str, jax.ShapeDtypeStruct] | None = None
    phases: tuple[Phase, ...] = ()

    @cached_property
    def _splits(self) -> Mapping[Split, Arrays]:
        splits = self.load()
        check_hash(self.name, splits, self.sha256)
        return splits

    @property
    def sizes(self) -> Mapping[Split, int]:
        return {split: len(next(iter(arrays.values()))) for split, arrays in self._splits.items()}

    @property
    def changes(self) -> tuple[int, ...]:
        return tuple(phase.begins for phase in self.phases[1:])

    def missing(self) -> str | None:
        return None

    def signature(self, batch_size: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        example = self.example
        if example is None:
            arrays = self._splits[Split.TRAIN].items()
            example = {k: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for k, a in arrays}
        rows = {
            k: jax.ShapeDtypeStruct((batch_size, *a.shape), a.dtype) for k, a in example.items()
        }
        return rows if self.prepare is None else jax.eval_shape(self.prepare, rows)

    def training(self, batch_size: int, seed: int, position: int = 0) -> BatchStream:
        arrays = self._splits[Split.TRAIN]
        if self.phases:
            phases = [(phase.begins, phase.rows(arrays)) for phase in self.phases]
            order = PhasedOrder(phases, seed)
        else:
            order = Order(self.sizes[Split.TRAIN], seed)
        return _ArrayStream(
            arrays, order, batch_size, seed, position, augment=self.augment, prepare=self.prepare
        )

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Batch]:
        sys.audit(READ_EXAMPLES, split)
        arrays = self._splits[split]
        count = self.sizes[split]
        size = sharding.round_up(min(batch_size, count))
        for start in range(0, count, size):
            rows = np.arange(start, start + size)
            batch = {name: array[np.minimum(rows, count - 1)] for name, array in arrays.items()}
            batch["weights"] = (rows < count).astype(np.float32)
            whole = sharding.spread(batch)
            yield whole if self.prepare is None else _prepared(whole, self.prepare)
