"""What a submission does to its process while it runs: functions replaced, threads, processes.

Whoever wants to hide in the same process can; this finds what is done plainly, and `algoperf
verify` measures the result again where no submission has been. docs/rules.md has the whole list.
"""

import inspect
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Self

from algoperf.errors import UserError

_HARNESS = ("algoperf", "workloads")
_FRAMEWORK = (*_HARNESS, "flax", "jax", "math", "numpy", "optax", "time")

_EVENTS = {
    "os.exec": "starts a process",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.spawn": "starts a process",
    "os.system": "starts a process",
    "subprocess.Popen": "starts a process",
    "socket.connect": "opens a connection",
}
"""Audit events of Python to what somebody who causes them does."""

_LIBRARY = sysconfig.get_path("stdlib")
_PACKAGES = sysconfig.get_path("purelib")


class RuleBroken(UserError):
    """A submission did what the rules forbid."""


class Guard:
    """Watches one submission in this process, from before it is imported.

    Args:
        source: The submission's file, or the folder of its files.
    """

    def __init__(self, source: Path) -> None:
        self._source = str(source)
        self._functions = dict(_functions(_FRAMEWORK))
        self._own = [name for name in self._functions if name.startswith(_HARNESS)]
        self._broken: list[str] = []
        self._watching = False
        self._guarded_start = self._start = threading.Thread.start

    def __enter__(self) -> Self:
        sys.addaudithook(self._hear)
        self._watching = True
        threading.Thread.start = self._guarded_start = self._guarded(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        self._watching = False  # an audit hook cannot be taken off
        threading.Thread.start = self._start

    def check(self, *, whole: bool = False) -> None:
        """Refuses to go on if a rule was broken.

        Args:
            whole: Look at the framework's functions too, not only at the harness's.

        Raises:
            RuleBroken: Says what was done.
        """
        watched = self._functions if whole else self._own
        now = dict(_functions(_FRAMEWORK if whole else _HARNESS))
        replaced = [name for name in watched if now.get(name) is not self._functions[name]]
        if threading.Thread.start is not self._guarded_start:
            replaced.append("threading.Thread.start")
        self._broken += [f"{name} was replaced" for name in replaced]
        if self._broken:
            raise RuleBroken(
                f"The submission broke a rule (docs/rules.md): {'; '.join(self._broken[:5])}."
            )

    def _guarded(self, start: Callable[[threading.Thread], None]) -> Any:
        def guarded(thread: threading.Thread) -> None:
            self._refuse("starts a thread")
            start(thread)

        return guarded

    def _hear(self, event: str, _: tuple[Any, ...]) -> None:
        if self._watching and event in _EVENTS:
            self._refuse(_EVENTS[event])

    def _refuse(self, what: str) -> None:
        """Stops what the submission's own code is about to do."""
        if self._watching and self._is_ours(inspect.currentframe()):
            self._broken.append(what)
            raise RuleBroken(f"The submission {what}, which the rules forbid (docs/rules.md).")

    def _is_ours(self, frame: FrameType | None) -> bool:
        """Whether the nearest code outside Python's library is the submission's."""
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(self._source):
                return True
            library = file.startswith(_LIBRARY) and not file.startswith(_PACKAGES)
            if not library and not file.startswith("<frozen") and file != __file__:
                return False
            frame = frame.f_back
        return False


def _functions(roots: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Dotted name to object, of the functions and classes in the loaded modules, and of methods."""
    for name, module in list(sys.modules.items()):
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
