"""Several hosts that train one trial together: a process on each, all of them doing the same.

The first process leads. It alone records; its clock and its measurements decide, so that no process
goes on where another has stopped; where an earlier attempt is gone on from, it says where that is.
"""

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from algoperf.errors import HostLost, UserError
from algoperf.recording import TrialRecord
from algoperf.records import TrialSpec

Value = TypeVar("Value")

MESSAGE = 1024
"""Bytes that go round at once: what is said in every step fits in."""

MEET_S = 100
"""How long processes wait for each other at the start: less than whoever watches the trial does."""

SILENT_S = 40
"""How long a process may be silent until it counts as gone: less than a trial may be."""


def join() -> None:
    """Meets the other processes; before anything else asks jax for its devices.

    Where and how many they are jax finds in what the cluster tells each process.

    Raises:
        HostLost: If they do not meet.
    """
    # One process has all of its node's; left alone, jax would take one for each process.
    on_node = int(os.environ.get("SLURM_GPUS_ON_NODE", "0"))
    try:
        jax.distributed.initialize(
            local_device_ids=range(on_node) if on_node else None,
            initialization_timeout=MEET_S,
            heartbeat_timeout_seconds=SILENT_S,
        )
    except (RuntimeError, ValueError) as error:
        raise HostLost(f"The trial's hosts did not meet: {error}") from error


def leave() -> None:
    """Waits until all processes are here; those that leave later would find nobody there."""
    jax.distributed.shutdown()


def joined() -> bool:
    """Whether this process is one of several."""
    return jax.process_count() > 1


def leads() -> bool:
    """Whether this is the process that records."""
    return jax.process_index() == 0


def agreed(value: Value) -> Value:
    """The first process's value, on all of them; each has to call it at the same place.

    Args:
        value: Anything that can be pickled; without meaning on the others.
    """
    if not joined():
        return value
    data = pickle.dumps(value) if leads() else b""
    room = MESSAGE - 8
    head = _sent(len(data).to_bytes(8, "big") + data[:room].ljust(room, b"\0"))
    length = int.from_bytes(head[:8], "big")
    if length > room:
        head += _sent(data[room:] if leads() else bytes(length - room))
    # It comes from a process of the same trial.
    return pickle.loads(head[8 : 8 + length])  # noqa: S301 - see above


def _sent(data: bytes) -> bytes:
    """The first process's bytes; the others' are as many."""
    return multihost_utils.broadcast_one_to_all(np.frombuffer(data, np.uint8)).tobytes()


def check_alike(facts: Mapping[str, Any]) -> None:
    """Refuses to train together what is not the same everywhere.

    Args:
        facts: This process's: versions, hashes of the submission and of the data.

    Raises:
        UserError: In all processes, if any differs from the first.
    """
    first = agreed(facts)
    differing = [
        f"{name} is {value} here, {first.get(name)} on the first host"
        for name, value in facts.items()
        if first.get(name) != value
    ]
    alike = multihost_utils.process_allgather(np.array(not differing))
    if not alike.all():
        others = f"host {int(np.argmin(alike)) + 1} differs from the first"
        raise UserError(f"The trial's hosts are not alike: {'; '.join(differing) or others}.")


def lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone, and not what the trial did wrong."""
    if not joined() or not isinstance(error, jax.errors.JaxRuntimeError):
        return False
    return "RESOURCE_EXHAUSTED" not in str(error)


class Unrecorded(TrialRecord):
    """The trial's folder as processes have it that do not lead: they write nothing."""

    def __init__(self, spec: TrialSpec) -> None:
        super().__init__(spec, Path())

    def begin(self) -> None:
        pass

    def resume(self, restore: object) -> None:
        pass

    def save(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        pass

    def beat(self, step: int, submission_s: float) -> None:
        pass

    def append(self, row: Mapping[str, float | int]) -> None:
        pass

    def append_table(self, name: str, table: Mapping[str, Sequence[Any]]) -> None:
        pass

    def keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        pass
