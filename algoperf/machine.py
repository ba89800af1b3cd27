"""What hardware and software this is, and how fast it is at the moment. No jax."""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from algoperf import allocation

_PACKAGES = ("algoperf", "jax", "jaxlib", "flax", "optax", "numpy")


def fingerprint(devices: Sequence[str] = ()) -> dict[str, Any]:
    """The machine as far as it decides how long training takes.

    Args:
        devices: Names of the accelerators, as the training process sees them.
    """
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "devices": list(devices),
        "freed_memory": "kept" if allocation.can_keep() else "returned",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "system": f"{platform.system()} {platform.machine()}",
    }


def fingerprint_id(fingerprint: dict[str, Any]) -> str:
    """Short hash: equal for like machines."""
    text = json.dumps(fingerprint, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Python and the packages that a result depends on."""
    return {"python": platform.python_version(), **_installed()}


@functools.cache  # each is read from a file, and a process has the packages that it has
def _installed() -> Mapping[str, str]:
    return {package: importlib.metadata.version(package) for package in _PACKAGES}


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError):
        return None


CALIBRATION_S = 2.0
"""How long a calibration takes at most."""

CALIBRATION_SHARE = 0.02
"""Which share of a trial's budget a calibration takes at most."""


def calibrate(seconds: float = CALIBRATION_S) -> dict[str, float]:
    """Seconds for three fixed pieces of work, each the median over a third of the time given.

    Matrix product (512 x 512, float32), memory copy (32 MiB), Python loop (200,000 additions).
    Medians, not the fastest: a machine that is slowed down half of the time is to show it.

    Args:
        seconds: How long to measure; every piece is done three times at least.
    """
    matrix = np.ones((512, 512), np.float32)
    source = np.ones(2**23, np.float32)
    target = np.empty_like(source)

    def loop() -> None:
        total = 0
        for number in range(200_000):
            total += number

    return {
        "matmul_s": _median(lambda: matrix @ matrix, seconds / 3),
        "copy_s": _median(lambda: np.copyto(target, source), seconds / 3),
        "loop_s": _median(loop, seconds / 3),
    }


def calibration_s(budget_s: float) -> float:
    """How long to calibrate before and after a trial of that budget [s]."""
    return min(CALIBRATION_S, CALIBRATION_SHARE * budget_s)


def best_calibration(machine_id: str, *measured: Mapping[str, float]) -> dict[str, float]:
    """The least time of each piece of work that this machine is known to have needed.

    It is kept in the cache folder, by machine, so that trials of different days are held against
    the same; where it cannot be kept, what was measured is all that is known.

    Args:
        machine_id: As `fingerprint_id` says.
        measured: Calibrations, which count too.
    """
    kept: list[Mapping[str, float]] = []
    path = None
    with contextlib.suppress(OSError, ValueError, TypeError, RuntimeError):
        path = cache_folder() / f"machine-{machine_id}.json"
        noted = dict(json.loads(path.read_text()))
        kept = [{str(name): float(took) for name, took in noted.items()}]
    names = dict.fromkeys(name for moment in (*measured, *kept) for name in moment)
    best = {n: min(moment[n] for moment in (*kept, *measured) if n in moment) for n in names}
    if path is not None and [best] != kept:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(json.dumps(best))
            partial.replace(path)
    return best


@dataclass(frozen=True)
class Usage:
    """What the processors have done so far: seconds, over all cores.

    Attributes:
        wall_s: A monotonic clock.
        busy_s: By whomever.
        own_s: By this process and its children.
        stolen_s: Taken by the host of a virtual machine.
    """

    wall_s: float
    busy_s: float
    own_s: float
    stolen_s: float


def usage() -> Usage | None:
    """The processors' accounts; None on a system that does not tell."""
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
        ticks = [float(field) / os.sysconf("SC_CLK_TCK") for field in line.split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _, _, irq, softirq, steal = ticks
    own = os.times()
    return Usage(
        wall_s=time.monotonic(),
        busy_s=user + nice + system + irq + softirq,
        own_s=own.user + own.system + own.children_user + own.children_system,
        stolen_s=steal,
    )


def load_between(before: Usage | None, after: Usage | None) -> dict[str, float] | None:
    """Shares of all cores' time: `own`, `others` (other processes) and `stolen`.

    Args:
        before: At the beginning.
        after: At the end.

    Returns:
        None where the system does not tell, or no time has passed.
    """
    if before is None or after is None or after.wall_s <= before.wall_s:
        return None
    whole = (after.wall_s - before.wall_s) * (os.cpu_count() or 1)
    own = after.own_s - before.own_s
    return {
        "own": own / whole,
        "others": max(after.busy_s - before.busy_s - own, 0.0) / whole,
        "stolen": (after.stolen_s - before.stolen_s) / whole,
    }


def cache_folder() -> Path:
    """Where this machine keeps what can be made again: below `XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        RuntimeError: If there is no home at all.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "algoperf"


SLOWED = 1.05
"""From here on a trial counts as one on a machine that was slowed down."""


def _median(work: Callable[[], object], seconds: float) -> float:
    work()  # threads and caches
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
