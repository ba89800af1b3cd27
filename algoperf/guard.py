"""What a submission does to its process while it runs: functions replaced, threads, processes.

Whoever wants to hide in the same process can; this finds what is done plainly, and `algoperf
verify` measures the result again where no submission has been. docs/rules.md has the whole list.
"""

import _thread
import gc
import inspect
import signal
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any, NoReturn, Self

from algoperf.data import READ_EXAMPLES
from algoperf.errors import UserError

_HARNESS = ("algoperf", "workloads")
_FRAMEWORK = (*_HARNESS, "flax", "jax", "math", "numpy", "optax", "time")

_NOBODYS = {
    "os.exec": "starts a process",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.spawn": "starts a process",
    "os.system": "starts a process",
    "subprocess.Popen": "starts a process",
    "socket.connect": "opens a connection",
}
"""Audit events of Python to what somebody who causes them does. While a submission is watched
neither the harness nor jax does so, of itself: it was led to it, if by nothing but a callback."""

_EVENTS = {
    "_thread.start_new_thread": "starts a thread",  # from Python 3.12
    "gc.get_objects": "searches the memory of the process",
    "gc.get_referrers": "searches the memory of the process",
    "sys.addaudithook": "listens to what others do",
    "sys.setprofile": "listens to what others do",
    "sys.settrace": "listens to what others do",
}
"""The same of what others may do while no code of the submission's waits for it."""

_THREADS = (
    (threading.Thread, "start"),
    (threading, "_start_new_thread"),
    (_thread, "start_new_thread"),
    (_thread, "start_new"),
)
"""What starts threads, for Python 3.11, which has no audit event for it."""

_IMPORTS = SourceFileLoader.exec_module.__code__
"""What runs a module's code when it is imported for the first time."""

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

_LIBRARY = sysconfig.get_path("stdlib")
_PACKAGES = sysconfig.get_path("purelib")
_PLATFORM = sysconfig.get_path("platlib")
_HARNESS_FOLDER = str(Path(__file__).parent)


class RuleBroken(UserError):
    """A submission did what the rules forbid."""


class ImportGuard:
    """Refuses, while it is entered, what a submission's code may not start or listen to.

    Args:
        source: The submission's file, or the folder of its files.
    """

    def __init__(self, source: Path) -> None:
        self._source = str(source)
        self._broken: list[str] = []
        self._watching = False
        self._starts = [(of, name, getattr(of, name)) for of, name in _THREADS]
        self._guarded_starts = list(self._starts)

    def __enter__(self) -> Self:
        sys.addaudithook(self._hear)
        self._watching = True
        self._guarded_starts = [(of, name, self._guarded(f)) for of, name, f in self._starts]
        _put(self._guarded_starts)
        return self

    def __exit__(self, *_: object) -> None:
        self._watching = False  # an audit hook cannot be taken off
        _put(self._starts)

    def _guarded(self, start: Callable[..., Any]) -> Any:
        def guarded(*arguments: Any, **named: Any) -> Any:
            self._refuse("starts a thread")
            return start(*arguments, **named)

        return guarded

    def _hear(self, event: str, _: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in _NOBODYS and not self._is_imported(inspect.currentframe()):
            self._stop(_NOBODYS[event])
        elif event in _EVENTS:
            self._refuse(_EVENTS[event])
        elif event == READ_EXAMPLES:
            frame = inspect.currentframe()
            while frame is not None and frame.f_code.co_filename.startswith(_HARNESS_FOLDER):
                frame = frame.f_back
            if self._is_nearest(frame):
                self._stop("reads examples that are for evaluation only")

    def _refuse(self, what: str) -> None:
        """Stops what the submission's code has somebody do."""
        frame = inspect.currentframe()
        if self._watching and self._is_below(frame) and not self._is_imported(frame):
            self._stop(what)

    def _stop(self, what: str) -> NoReturn:
        self._broken.append(what)
        raise RuleBroken(f"The submission {what}, which the rules forbid (docs/rules.md).")

    def _is_below(self, frame: FrameType | None) -> bool:
        """Whether any of the submission's code waits for this frame."""
        return any(f.f_code.co_filename.startswith(self._source) for f in _stack(frame))

    def _is_imported(self, frame: FrameType | None) -> bool:
        """Whether an installed package does it while it is imported, as many look for a library."""
        modules = (f.f_locals.get("module") for f in _stack(frame) if f.f_code is _IMPORTS)
        origin = getattr(getattr(next(modules, None), "__spec__", None), "origin", None) or ""
        installed = origin.startswith((_LIBRARY, _PACKAGES, _PLATFORM))
        return installed and not origin.startswith(self._source)

    def _is_nearest(self, frame: FrameType | None) -> bool:
        """Whether the nearest code outside Python's library is the submission's."""
        for above in _stack(frame):
            file = above.f_code.co_filename
            if file.startswith(self._source):
                return True
            # What was made of text, as by `exec`, is whoever's made it.
            if not _is_library(file) and not file.startswith("<"):
                return False
        return False


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, its caller, the caller of that."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_library(file: str) -> bool:
    """Whether it is of Python's own library."""
    return file.startswith(_LIBRARY) and not file.startswith(_PACKAGES)


def _put(attributes: Iterable[tuple[Any, str, Any]]) -> None:
    for of, name, value in attributes:
        setattr(of, name, value)


class Guard(ImportGuard):
    """Watches one submission in this process, from before it is imported.

    Args:
        source: The submission's file, or the folder of its files.
        frozen: Objects, by name, whose attributes nobody may replace.
    """

    def __init__(self, source: Path, frozen: Mapping[str, object] | None = None) -> None:
        super().__init__(source)
        self._frozen = {name: (of, dict(vars(of))) for name, of in (frozen or {}).items()}
        self._functions = dict(_functions(_FRAMEWORK))
        self._own = [name for name in self._functions if name.startswith(_HARNESS)]
        self._code = {name: _code(self._functions[name]) for name in self._own}
        self._hooks = _hooks()

    def check(self, *, whole: bool = False) -> None:
        """Refuses to go on if a rule was broken.

        Args:
            whole: Look at the framework's functions too, not only at the harness's.

        Raises:
            RuleBroken: Says what was done.
        """
        watched = self._functions if whole else self._own
        now = dict(_functions(_FRAMEWORK if whole else _HARNESS))
        replaced = [
            name
            for name in watched
            if now.get(name) is not self._functions[name]
            or (name in self._code and _code(self._functions[name]) != self._code[name])
        ]
        for name, (of, attributes) in self._frozen.items():
            replaced += [
                f"{name}.{n}" for n, value in attributes.items() if vars(of)[n] is not value
            ]
        replaced += [
            f"{getattr(of, '__module__', of.__name__)}.{name}"
            for of, name, start in self._guarded_starts
            if getattr(of, name) is not start
        ]
        self._broken += [f"{name} was replaced" for name in replaced]
        hooks = _hooks()
        self._broken += [
            f"{name} was set, to run code whenever it likes"
            for name, value in self._hooks.items()
            if hooks[name] != value
        ]
        if any(map(self._is_in, sys._current_frames().items())):  # noqa: SLF001 - documented
            self._broken.append("it left a thread running")
        if self._broken:
            raise RuleBroken(
                f"The submission broke a rule (docs/rules.md): {'; '.join(self._broken[:5])}."
            )

    def _is_in(self, thread: tuple[int, FrameType]) -> bool:
        """Whether another thread is in the submission's code."""
        number, frame = thread
        if number == threading.get_ident():
            return False
        return self._is_below(frame)


def _functions(roots: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Dotted name to object, of the functions and classes in the loaded modules, and of methods."""
    for name, module in sys.modules.copy().items():  # another thread may import meanwhile
        if name.partition(".")[0] in roots and module is not None:
            for own, value in list(vars(module).items()):
                if callable(value):
                    yield f"{name}.{own}", value
                    if isinstance(value, type) and value.__module__ == name:
                        yield from _methods(f"{name}.{own}", vars(value))


def _methods(of: str, members: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(members.items()):
        if callable(value) or isinstance(value, property):
            yield f"{of}.{name}", value


def _code(function: Any) -> object:
    """What a function does, which can be changed while it stays the same object."""
    if not isinstance(function, FunctionType):
        return None
    named = function.__kwdefaults__ or {}
    defaults = (*(function.__defaults__ or ()), *named, *named.values())
    return function.__code__, tuple(map(id, defaults))


def _hooks() -> dict[str, object]:
    """All by which Python lets code run in the middle of other code."""
    return {
        "gc.callbacks": list(map(id, gc.callbacks)),
        "sys.settrace": sys.gettrace(),
        "sys.setprofile": sys.getprofile(),
        "a timer": [signal.getitimer(timer)[0] > 0 for timer in _TIMERS],
        "a signal handler": [signal.getsignal(number) for number in signal.Signals],
    }
