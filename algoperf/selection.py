"""What a training algorithm needs to select its data: candidates, and rows taken from them.

All functions can be traced by jax. Where the rows of a batch are no examples (graphs,
`WorkloadView.row_shapes` is None) there is nothing to take, and `joined` and `taken` say so.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from algoperf import sharding
from algoperf.errors import UserError
from algoperf.spec import Batch


def joined(batches: Sequence[Batch]) -> Batch:
    """A pool of candidates: the rows of all batches, one batch after the other.

    Raises:
        UserError: If a batch is no set of rows.
    """
    for batch in batches:
        _rows(batch)
    names = batches[0].keys()
    return {name: jnp.concatenate([batch[name] for batch in batches]) for name in names}


def taken(pool: Batch, rows: jax.Array) -> Batch:
    """The batch of `rows`, int32 (batch,), of a pool; spread over the devices as any batch is.

    Raises:
        UserError: If the pool is no set of rows.
    """
    _rows(pool)
    batch = {name: array[rows] for name, array in pool.items()}
    return jax.lax.with_sharding_constraint(batch, sharding.batch_sharded())


def _rows(batch: Batch) -> int:
    """How many rows the batch has."""
    lengths = {name: array.shape[0] for name, array in batch.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {length}" for name, length in sorted(lengths.items()))
        raise UserError(
            f"No rows can be taken from this batch, whose arrays differ in length ({told}): an "
            "example is more than a row of each. Where `workload.row_shapes` is None, use "
            "`next(batches)` as it is."
        )
    return next(iter(lengths.values()))
