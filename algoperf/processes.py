"""Ends a trial's process with all that it started. No jax.

A process that leaves its group and its parent behind still has an ancestor on Linux: the nearest
one that asked for orphans. A trial asks for its own, and whoever follows the trial for those that
are left when it is gone. Elsewhere only the group is ended.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ADOPT_ORPHANS = 36  # for prctl: PR_SET_CHILD_SUBREAPER

_PATIENCE_S = 10.0
"""How long it is tried to end what goes on starting processes."""


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose parent ends."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)


def first_to_be_killed() -> None:
    """Where memory runs out, the system is to end this process and no other."""
    with contextlib.suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def end(pid: int, since: float) -> None:
    """Ends a process that leads its session, and all that it left behind.

    Args:
        pid: The process; may be gone.
        since: When it was started, as `boot_time` says: of the orphans that this process has
            adopted, those that are younger and of another session are taken to be its.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = _family(pid, since)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        for process in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.01)
        for orphan in found - {pid}:  # ours now; the process itself is whoever's started it
            with contextlib.suppress(ChildProcessError):
                os.waitpid(orphan, os.WNOHANG)


def end_own() -> None:
    """Ends all that this process started, and itself with its group."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _below(os.getpid(), _table())) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
    os.killpg(0, signal.SIGKILL)


def boot_time() -> float:
    """Seconds since the machine was started, the clock of the times in /proc."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform.startswith("linux") else 0.0


@dataclass(frozen=True)
class _Process:
    parent: int
    session: int
    started: float


def _family(pid: int, since: float) -> set[int]:
    """Who is alive of the process, its descendants, and the orphans that came to this process."""
    table = _table()
    found = _below(pid, table) | ({pid} & table.keys())
    own = os.getpid()
    session = os.getsid(0)
    for orphan, process in table.items():
        if process.parent == own and process.session != session and process.started >= since:
            found |= {orphan, *_below(orphan, table)}
    return found


def _below(pid: int, table: dict[int, _Process]) -> set[int]:
    children = defaultdict(set)
    for child, process in table.items():
        children[process.parent].add(child)
    found: set[int] = set()
    new = children[pid]
    while new:
        found |= new
        new = set().union(*(children[child] for child in new)) - found
    return found


def _table() -> dict[int, _Process]:
    """Every process that is alive; empty where there is no /proc."""
    return dict(_processes())


def _processes() -> Iterator[tuple[int, _Process]]:
    ticks = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may hold anything, bytes that are no text included.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            if fields[0] not in (b"Z", b"X"):  # dead already
                started = float(fields[19]) / ticks
                yield int(folder.name), _Process(int(fields[1]), int(fields[3]), started)
