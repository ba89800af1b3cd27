"""The device mesh: the only place that counts devices. Data parallel, parameters replicated."""

from functools import cache

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


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
