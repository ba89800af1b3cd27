"""Compilation: measured with jax.monitoring, cached across trials with JAX's persistent cache."""

import os
import time
from collections.abc import Callable

import jax
from jax import monitoring

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


def use_cache() -> bool:
    """Keeps every compilation of this process on disk and looks there first.

    One folder for each kind of machine and version, below `XDG_CACHE_HOME` or `~/.cache`.

    Returns:
        Whether the folder can be written; without it everything works, but slower.
    """
    devices = [device.device_kind for device in jax.devices()]
    kind = machine.fingerprint_id({**machine.fingerprint(devices), **machine.versions()})
    try:
        folder = machine.cache_folder() / "compilations" / kind
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            return False
    except (OSError, RuntimeError):  # no home at all
        return False
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return True
