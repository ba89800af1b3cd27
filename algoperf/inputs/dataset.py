"""RecordDataset: a data set that is read from disk, example by example, in any order."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from algoperf import sharding
from algoperf.data import READ_EXAMPLES, Augment, BatchStream
from algoperf.errors import UserError
from algoperf.inputs.batches import Arrays, Batches, Batching, MakeBatch, Take
from algoperf.inputs.conversion import Preparation
from algoperf.inputs.extra import data_root, lacking, require
from algoperf.inputs.shards import Records
from algoperf.inputs.stores import Store
from algoperf.spec import Batch, Split

EVAL_TRAIN_SEED = 0
"""Draws the training examples that train metrics are taken on, once for all trials."""

ENDLESS = sys.maxsize


@dataclass(frozen=True)
class Part:
    """The records of a split: a part of a store, or a piece of one.

    Attributes:
        store: Where they are.
        name: The store's name of the part.
        start: First record.
        stop: After the last record; None for the end.
    """

    store: Store
    name: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordDataset:
    """A data set on disk; implements `algoperf.data.Dataset`.

    Attributes:
        name: Its name.
        published: Examples in each split, as published; empty where no number is.
        parts: Where the records of training, validation and test are.
        batching: How records become batches.
        exact: Whether there must be as many examples as published; otherwise filters that depend on
            a vocabulary may leave a few more or less, and the preparation counts the source.
        spec: Batch size -> shape and dtype of every array of a training batch.
        instructions: What has to be put where, from where.
        packages: The optional modules that it needs.
        finish: (batch) -> batch, on the device: the last, cheap step, such as normalisation.
        augment: Changes each training batch at random, on the device, after `finish`.
        preparation: Converts the publisher's files; None if they are read as they are.
        root: The folder of all data; None for the one that the environment names.
    """

    name: str
    published: Mapping[Split, int]
    parts: Mapping[Split, Part]
    batching: Batching
    spec: Callable[[int], Mapping[str, tuple[tuple[int, ...], Any]]]
    instructions: str
    packages: Sequence[str] = ("grain", "array_record")
    finish: Callable[[Batch], Batch] | None = None
    augment: Augment | None = None
    preparation: Preparation | None = None
    exact: bool = True
    root: Path | None = None
    _opened: dict[Any, Records] = field(default_factory=dict, init=False, repr=False)

    @property
    def changes(self) -> tuple[int, ...]:
        """None: what is read from disk is trained on whole, epoch after epoch."""
        return ()

    @property
    def data_root(self) -> Path:
        """The folder below which its files are."""
        return self.root or data_root()

    @property
    def stores(self) -> list[Store]:
        """The stores of its parts, each once."""
        return list(dict.fromkeys(part.store for part in self.parts.values()))

    def faults(self) -> list[str]:
        """Everything that is missing at first sight, a line each; in milliseconds."""
        lack = [
            f"the package {name} is not installed: pip install 'algoperf[full]'"
            for name in lacking(self.packages)
        ]
        stored = [fault for store in self.stores for fault in store.faults(self.data_root)]
        return lack + (stored or self._empty() or (self.unlike_published() if self.exact else []))

    def _empty(self) -> list[str]:
        found = self._counts()
        return [f"the {split} split is empty" for split in self.parts if not found[split]]

    def unlike_published(self) -> list[str]:
        """Splits on disk that do not have the published number of examples, a line each."""
        found = self._counts()
        return [
            f"the {split} split has {found.get(split, 0):,} examples, {published:,} are published"
            for split, published in self.published.items()
            if found.get(split, 0) != published
        ]

    def missing(self) -> str | None:
        faults = self.faults()
        if not faults:
            return None
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return (
            f"data set {self.name!r}: {faults[0]}{more}; `algoperf data prepare {self.name}` says "
            "what to do"
        )

    def _require(self) -> None:
        if gap := self.missing():
            raise UserError(f"Not ready: {gap}.")

    def _counts(self) -> dict[Split, int]:
        """Examples on disk."""
        shards = {store: store.shards(self.data_root) for store in self.stores}
        found: dict[Split, int] = {}
        for split, part in self.parts.items():
            whole = sum(s.examples for s in shards[part.store] if s.part == part.name)
            found[split] = max(min(part.stop or whole, whole) - part.start, 0)
        found[Split.EVAL_TRAIN] = min(found[Split.TRAIN], found[Split.VALIDATION])
        return found

    @cached_property
    def _sizes(self) -> Mapping[Split, int]:
        return self._counts()

    @property
    def sizes(self) -> Mapping[Split, int]:
        """Examples in each split; as published while the data are not there."""
        if self._opened or not self.faults():
            return self._sizes
        known = dict(self.published)
        if known:
            known[Split.EVAL_TRAIN] = min(known[Split.TRAIN], known[Split.VALIDATION])
        return known

    @property
    def sha256(self) -> str:
        """Hash of the indices of its stores, which hold the hashes or lengths of their shards.

        Raises:
            UserError: If the data are not there.
        """
        return self._hash

    @cached_property
    def _hash(self) -> str:
        self._require()
        text = ";".join(store.fingerprint(self.data_root) for store in self.stores)
        return hashlib.sha256(text.encode()).hexdigest()

    def signature(self, batch_size: int) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {
            name: jax.ShapeDtypeStruct(shape, dtype)
            for name, (shape, dtype) in self.spec(batch_size).items()
        }

    def records(self, split: Split) -> Records:
        """The records of a split, opened.

        Raises:
            UserError: If the data are not there.
        """
        part = self.parts[Split.TRAIN if split == Split.EVAL_TRAIN else split]
        if part not in self._opened:
            self._require()
            whole = part.store.open(self.data_root, part.name)
            self._opened[part] = whole.piece(part.start, part.stop)
        return self._opened[part]

    def training(self, batch_size: int, seed: int, position: int = 0) -> BatchStream:
        records = self.records(Split.TRAIN)
        examples = self._sizes[Split.TRAIN]
        if batch_size > examples:
            raise UserError(
                f"The batch size {batch_size} is larger than the {examples} training examples of "
                f"{self.name!r}; choose a smaller one."
            )
        self._check_batch_size(records, batch_size)
        make = self.batching.training(records, batch_size, seed)
        return _RecordStream(make, seed, position, self.finish, self.augment)

    def _check_batch_size(self, records: Records, batch_size: int) -> None:
        if obstacle := self.batching.obstacle(records, batch_size):
            raise UserError(f"The batch size {batch_size} does not suit {self.name!r}: {obstacle}")

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Batch]:
        sys.audit(READ_EXAMPLES, split)
        records = self.records(split)
        count = self._sizes[split]
        size = sharding.round_up(min(batch_size, count))
        self._check_batch_size(records, size)
        take: Take = np.arange
        if split == Split.EVAL_TRAIN:
            take = self.batching.order(records, EVAL_TRAIN_SEED).take
        batches = self.batching.evaluation(records, take, count, size)
        with _Ahead(batches, 0) as ahead:
            for batch in islice(ahead, len(batches)):
                yield _finished(sharding.spread(batch), self.finish)


@partial(jax.jit, static_argnames="finish")
def _finish(batch: Batch, finish: Callable[[Batch], Batch]) -> Batch:
    return jax.lax.with_sharding_constraint(finish(batch), sharding.batch_sharded())


def _finished(batch: Batch, finish: Callable[[Batch], Batch] | None) -> Batch:
    return batch if finish is None else _finish(batch, finish)


@partial(jax.jit, static_argnames="augment")
def _augment(batch: Batch, seed: int, position: int, augment: Augment) -> Batch:
    changed = augment(batch, jax.random.fold_in(jax.random.key(seed), position))
    return jax.lax.with_sharding_constraint(changed, sharding.batch_sharded())


class _Ahead:
    """Batches in order, made by threads before they are asked for."""

    def __init__(self, batches: Batches, position: int) -> None:
        grain = require("grain")
        grain.config.update("py_traceback_filtering", "off")  # it would add lines to our messages
        threads = max(2, min(16, os.cpu_count() or 1, len(batches)))
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        source = grain.MapDataset.source(batches)[position:]
        self._iterator = iter(source.to_iter_dataset(options))

    def __iter__(self) -> Iterator[Arrays]:
        return self

    def __next__(self) -> Arrays:
        return next(self._iterator)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._iterator.close()


class _RecordStream:
    """An endless stream of training batches, the next one always on its way to the device."""

    def __init__(
        self,
        make: MakeBatch,
        seed: int,
        position: int,
        finish: Callable[[Batch], Batch] | None,
        augment: Augment | None,
    ) -> None:
        self._ahead = _Ahead(Batches(ENDLESS, make), position)
        self._seed = seed
        self._position = position
        self._finish = finish
        self._augment = augment
        self._next = sharding.spread(next(self._ahead))

    def position(self) -> int:
        return self._position

    def __next__(self) -> Batch:
        batch, self._next = self._next, sharding.spread(next(self._ahead))
        batch = _finished(batch, self._finish)
        if self._augment is not None:
            batch = _augment(batch, self._seed, self._position, self._augment)
        self._position += 1
        return batch
