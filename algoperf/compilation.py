"""Compilation: measured with jax.monitoring, cached across trials with JAX's persistent cache."""

import time
from collections.abc import Callable
from pathlib import Path

import jax
from jax import monitoring
from jax.experimental.compilation_cache import compilation_cache

from algoperf import machine

_PREFIX = "/jax/core/compile/"


class CompileMeter:
    """Seconds spent tracing, lowering, compiling or fetching a compilation from the cache.

    JAX reports each piece with its duration when it ends, and pieces nest (a jitted function
    traced inside another). The meter keeps the union of the intervals, so nothing counts twice.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._intervals: list[tuple[float, float]] = []

    def listen(self) -> None:
        """Starts to hear what JAX reports, for the rest of the process."""
        monitoring.register_event_duration_secs_listener(self.on_event)

    def on_event(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        del kwargs
        if not event.startswith(_PREFIX):
            return
        end = self._now()
        start = end - duration_secs
        while self._intervals and self._intervals[-1][0] >= start:
            self._intervals.pop()
        if self._intervals:
            start = max(start, self._intervals[-1][1])
        self._intervals.append((start, end))

    def take(self, since: float) -> float:
        """Seconds of compilation since `since` (a reading of the same clock); forgets them."""
        if not self._intervals:
            return 0.0
        seconds = sum(end - max(start, since) for start, end in self._intervals if end > since)
        self._intervals.clear()
        return seconds


def use_cache(folder: Path | None) -> bool:
    """Keeps every compilation of this process on disk from now on, and looks there first.

    Args:
        folder: Where; one folder below it for each kind of machine and version. See `caches`.

    Returns:
        Whether it can be written; without it everything works, but slower.
    """
    if folder is None:
        return False
    devices = [device.device_kind for device in jax.devices()]
    kind = machine.fingerprint_id({**machine.fingerprint(devices), **machine.versions()})
    try:
        (folder / kind).mkdir(exist_ok=True)
    except OSError:
        return False
    compilation_cache.reset_cache()  # it would go on with the folder of before
    jax.config.update("jax_compilation_cache_dir", str(folder / kind))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return True
