"""Compilation: measured with jax.monitoring, cached across trials with JAX's persistent cache."""

import gc
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import jax
from jax import monitoring
from jax._src import dispatch, pjit
from jax._src.interpreters import pxla
from jax.experimental.compilation_cache import compilation_cache

from algoperf import caches, machine

_PREFIX = "/jax/core/compile/"

_TIMER = "log_elapsed_time"
"""By which jax times the parts of a compilation, and tells."""

_XLAS = "jax_persistent_cache_enable_xla_caches"
_XLAS_BEFORE = getattr(jax.config, _XLAS)
"""Jax's option for XLA's own caches (choices of kernels on a GPU), and what the user or jax set."""


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
        monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """Takes an event into account if jax's compiler reported it, as any code can report one."""
        if _is_jaxs():
            self.on_event(event, duration_secs, **kwargs)

    def on_event(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """Counts a piece of compilation, which ends now; other events are passed over."""
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


def _is_jaxs() -> bool:
    """Whether the event under way is from where jax compiles: each caller is that very code.

    A file or a module would not do: code of any name can be made, and much of jax's calls whatever
    it is given.
    """
    frame = sys._getframe(2)  # noqa: SLF001 - documented; of the one that hears
    for codes in _CALLERS:
        if frame is None or frame.f_code not in codes:
            return False
        frame = frame.f_back
    return True


def _compiling() -> Iterator[CodeType]:
    """The functions of jax that time a part of a compilation."""
    for value in filter(callable, (*vars(pjit).values(), *vars(pxla).values())):
        # What lies behind a cache of jax's is found by what the cache refers to.
        for function in (inspect.unwrap(value), *gc.get_referents(value)):
            if isinstance(function, FunctionType) and _TIMER in function.__code__.co_names:
                yield function.__code__


_CALLERS = (
    {monitoring.record_event_duration_secs.__code__},
    {getattr(dispatch, _TIMER).__exit__.__code__},
    set(_compiling()),
)
"""Who called, from the listener outwards."""


def use_cache(folder: Path | None, *, of_harness: bool = True) -> bool:
    """Keeps every compilation of this process on disk from now on, and looks there first.

    Args:
        folder: Where; one folder below it for each kind of machine and version. See `caches`.
        of_harness: Whether its programs are the harness's, which trials read from elsewhere.

    Returns:
        Whether it can be written; without it everything works, but slower.
    """
    if folder is None:
        return False
    devices = [device.device_kind for device in jax.devices()]
    kind = machine.fingerprint_id({**machine.fingerprint(devices), **machine.versions()})
    try:
        caches.use(folder / kind)
    except OSError:
        return False
    compilation_cache.reset_cache()  # it would go on with the folder of before
    # jax hands XLA a folder below this one, and takes its name into the key of every program: then
    # no program is found from another folder.
    jax.config.update(_XLAS, "none" if of_harness else _XLAS_BEFORE)
    jax.config.update("jax_compilation_cache_dir", str(folder / kind))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return True
