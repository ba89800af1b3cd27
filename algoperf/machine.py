"""What hardware and software this is, and how fast it is at the moment. No jax."""

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "system": f"{platform.system()} {platform.machine()}",
    }


def fingerprint_id(fingerprint: dict[str, Any]) -> str:
    """Short hash: equal for like machines."""
    text = json.dumps(fingerprint, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Python and the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found


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


def calibrate() -> dict[str, float]:
    """Seconds for three fixed pieces of work, the best of three: about 0.1 s in all.

    Matrix product (512 x 512, float32), memory copy (32 MiB), Python loop (200,000 additions).
    """
    matrix = np.ones((512, 512), np.float32)
    source = np.ones(2**23, np.float32)
    target = np.empty_like(source)

    def loop() -> None:
        total = 0
        for number in range(200_000):
            total += number

    return {
        "matmul_s": _best(lambda: matrix @ matrix),
        "copy_s": _best(lambda: np.copyto(target, source)),
        "loop_s": _best(loop),
    }


def cache_folder() -> Path:
    """Where this machine keeps what can be made again: below `XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        RuntimeError: If there is no home at all.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "algoperf"


SLOWED = 1.05
"""From here on a trial counts as one on a machine that was slowed down."""


def slowdown(calibration: Mapping[str, Mapping[str, float]], best: Mapping[str, float]) -> float:
    """How much slower the machine was than it can be, as a ratio: 1 is its best.

    Args:
        calibration: What `calibrate` said before and after a trial.
        best: The least seconds of each piece of work that this machine ever took.

    Returns:
        Of the pieces' means over before and after, the worst ratio to its best.
    """
    moments = list(calibration.values())
    return max(
        sum(moment[name] for moment in moments) / len(moments) / best[name] for name in moments[0]
    )


def _best(work: Callable[[], object], repeats: int = 3) -> float:
    work()  # threads and caches
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
