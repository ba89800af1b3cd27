"""The device mesh: the only place that counts devices. Data parallel, parameters replicated.

The devices may be those of several processes; then all of them do the same, in the same order.
"""

from collections.abc import Mapping
from functools import cache
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


@cache
def mesh() -> Mesh:
    """All devices of all processes in one line."""
    return jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(AxisType.Auto,))


def replicated() -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh(), PartitionSpec())


def batch_sharded() -> NamedSharding:
    """The leading dimension is spread over the devices."""
    return NamedSharding(mesh(), PartitionSpec("batch"))


def put(tree: Tree, where: NamedSharding) -> Tree:
    """The tree's leaves as arrays that lie so; every process has the same leaves."""
    if where.is_fully_addressable:
        return jax.device_put(tree, where)
    # `device_put` would make processes compare what they have, and takes no random keys.
    return jax.jit(_same, out_shardings=where)(tree)


def _same(tree: Tree) -> Tree:
    return tree


def spread(batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """A batch on the host, spread over the devices: each process feeds its own its share."""
    where = batch_sharded()
    if where.is_fully_addressable:
        return jax.device_put(dict(batch), where)
    return {
        name: jax.make_array_from_callback(array.shape, where, array.__getitem__)
        for name, array in batch.items()
    }


def round_up(count: int) -> int:
    """The smallest multiple of the number of devices that is at least `count`."""
    devices = jax.device_count()
    return -(-count // devices) * devices


def round_down(count: int) -> int:
    """The largest multiple of the number of devices that is at most `count`."""
    devices = jax.device_count()
    return count // devices * devices


def steps_may_overlap() -> bool:
    """Whether a step may be queued while the one before still runs.

    Devices that share threads (several CPU devices in a process) deadlock where the collectives
    of two steps meet.
    """
    return jax.device_count() == 1


def divides(batch_size: int) -> bool:
    """Whether a batch of this size can be spread evenly."""
    return batch_size % jax.device_count() == 0
