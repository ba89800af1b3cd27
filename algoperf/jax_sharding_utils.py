"""Sharding under the names that MLCommons' submissions import; the mesh is the harness's own."""

import sys
from typing import Any

import jax
from jax.sharding import NamedSharding

from algoperf import sharding


def get_replicate_sharding() -> NamedSharding:
    """Every device holds the whole array."""
    return sharding.replicated()


def get_batch_dim_sharding() -> NamedSharding:
    """The leading dimension is spread over the devices."""
    return sharding.batch_sharded()


def shard_along_batch_dim(x: Any) -> Any:
    """The pytree with each array's leading dimension spread over the devices."""
    return sharding.put(x, sharding.batch_sharded())


def replicate(x: Any) -> Any:
    """The pytree with each array whole on every device."""
    return sharding.put(x, sharding.replicated())


def display_shard_info(x: jax.Array) -> None:
    """Writes to standard output which part of `x` each device holds."""
    for shard in x.addressable_shards:
        sys.stdout.write(
            f"device {shard.device}, index {shard.index}, replica {shard.replica_id}\n"
        )
