"""Who runs which trial, where several runs share a results folder. No jax.

A claim is the file `.trial_<k>.<n>.claim`; the highest n holds the trial. Of two who make it at
once one succeeds. Its owner's name is in it, and its owner touches it every few seconds. Who finds
the owner dead makes the claim n + 1; the claim before is never changed, so it cannot be taken from
the wrong one. Nor is a number given again while there is a folder that was written under it. An
owner that was only asleep sees the higher claim, or that its own is gone, and stops.

A dead owner shows at once on its own machine, by a lock that the system drops with the process, or
by a restart of the machine since.
Elsewhere it shows by a claim that was not touched for a while, measured on the clock of whoever
looks: what the time of day is there or here does not matter.
"""

import fcntl
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from algoperf.disk import CannotRecord, now, recording

HEARTBEAT_S = 10.0
"""How often an owner touches its claim."""

STALE_S = 120.0
"""How long a claim of another machine is watched without a touch before its owner counts as dead.
Network file systems may show a change a minute late."""


class Lost(Exception):
    """Another run holds the trial by now."""


@dataclass(frozen=True)
class Owner:
    """Who holds a claim.

    Attributes:
        host: Name of the machine.
        machine: Identifies its installation; None where the system does not tell.
        boot: Identifies the machine's start; None where the system does not tell.
        pid: Process.
        start: When it made the claim.
        locked: Whether its death shows by a lock.
    """

    host: str
    machine: str | None
    boot: str | None
    pid: int
    start: str
    locked: bool

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def here(self) -> bool:
        """Whether it runs, or ran, on this machine since its last start."""
        return (self.host, self.boot) == (socket.gethostname(), _boot())

    @property
    def before_restart(self) -> bool:
        """Whether it ran on this machine before its last start."""
        same = (self.host, self.machine) == (socket.gethostname(), _machine())
        return same and None not in (self.machine, self.boot) and self.boot != _boot()


class Claim:
    """A trial that is ours to run. A context manager: the claim is given back at its end."""

    def __init__(self, final: Path, number: int, descriptor: int) -> None:
        self.number = number
        self._final = final
        self._path = _path(final, number)
        self._descriptor = descriptor
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def check(self) -> None:
        """Makes sure that the trial is still ours.

        Raises:
            Lost: If another run took it over.
            CannotRecord: If the results folder is gone.
        """
        if latest(self._final) > self.number:
            raise Lost
        if self._is_there():
            return
        if self._final.parent.exists():  # given back by who took it over
            raise Lost
        raise CannotRecord(
            f"{self._final.parent} was removed while a trial in it was running. What else is "
            "recorded stays; run the same command again."
        )

    def _is_there(self) -> bool:
        """Whether the file is the one that we made."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            with suppress(OSError):  # if it stays so, `check` or the next row says it
                os.utime(self._descriptor)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._heart.join(timeout=1.0)
        with suppress(OSError):
            # The highest last: what is left below it is never mistaken for a claim.
            for number, kind in there(self._final) if self._is_there() else ():
                if kind == "claim" and number <= self.number:
                    _path(self._final, number).unlink(missing_ok=True)
        os.close(self._descriptor)


class Claims:
    """Claims trials, and remembers what it saw of the claims of others.

    Args:
        clock: A monotonic clock [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Path, tuple[int, float]] = {}

    def take(self, final: Path) -> Claim | Owner | None:
        """Claims the trial that will lie at `final`.

        Returns:
            The claim, or who has it; None if its owner cannot be told, or has just changed.

        Raises:
            CannotRecord: If the folder cannot be written.
        """
        with recording(final.parent):
            final.parent.mkdir(parents=True, exist_ok=True)
            found = there(final)  # once: what somebody makes meanwhile is not dead
            held = max((number for number, kind in found if kind == "claim"), default=0)
            if held and not self._is_dead(_path(final, held)):
                return _owner(_path(final, held))
            number = 1 + max((number for number, _ in found), default=0)
            descriptor = _create(_path(final, number))
            return None if descriptor is None else Claim(final, number, descriptor)

    def _is_dead(self, path: Path) -> bool:
        owner = _owner(path)
        if owner is not None and owner.here and owner.locked:
            return not _is_locked(path)
        if owner is not None and owner.before_restart:
            return True
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False  # given back just now
        seen, since = self._seen.get(path, (None, 0.0))
        if touched != seen:
            self._seen[path] = touched, self._clock()
            return False
        return self._clock() - since > STALE_S


@contextmanager
def turn(results: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Waits until no other run trains on this machine for this results folder.

    Runs that share a machine take turns, trial by trial, since two trials at once would slow each
    other down. Where the file system has no locks they do not.

    Args:
        results: The results folder.
        waits: Called if another run has its turn.
    """
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())
    with recording(results):
        results.mkdir(parents=True, exist_ok=True)
        mine, following = (
            os.open(results / f".{name}.{host}", os.O_RDWR | os.O_CREAT, 0o644)
            for name in ("turn", "next")
        )
    try:
        # Who waits holds `next`, and so comes before the one who just had its turn.
        with suppress(OSError):
            _wait_for(following, waits)
            _wait_for(mine, waits)
            fcntl.flock(following, fcntl.LOCK_UN)
        yield
    finally:
        os.close(following)
        os.close(mine)


def _wait_for(descriptor: int, waits: Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waits()
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def latest(final: Path) -> int:
    """The highest number of a claim on the trial, or of a folder written under one; 0 for none."""
    return max((number for number, _ in there(final)), default=0)


def _path(final: Path, number: int) -> Path:
    return final.with_name(f".{final.name}.{number}.claim")


def there(final: Path) -> list[tuple[int, str]]:
    """Number and kind of each claim on the trial, and of each folder written under one, in order.

    The kinds are `claim`, `partial` and `ended`.
    """
    named = re.compile(rf"\.{re.escape(final.name)}\.(\d+)\.(claim|partial|ended)")
    try:
        found = [named.fullmatch(entry.name) for entry in os.scandir(final.parent)]
    except FileNotFoundError:
        return []
    return sorted((int(match[1]), match[2]) for match in found if match)


def _create(path: Path) -> int | None:
    """Makes the claim, with our lock on it and then our name in it; None if it is there already.

    Returns:
        A file descriptor, which holds the lock while it is open.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return None
    try:
        locked = _lock(descriptor)
        owner = Owner(socket.gethostname(), _machine(), _boot(), os.getpid(), now(), locked)
        os.write(descriptor, json.dumps(vars(owner)).encode())
    except OSError:
        os.close(descriptor)
        path.unlink()
        raise
    return descriptor


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # this file system has none
        return False
    return True


def _is_locked(path: Path) -> bool:
    """Whether a living process of this machine holds the claim."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True  # given back just now, which is no death
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _owner(path: Path) -> Owner | None:
    """Who holds the claim; None if it is gone or damaged."""
    try:
        found: Any = json.loads(path.read_text())
        return Owner(**found)
    except (OSError, ValueError, TypeError):
        return None


def _boot() -> str | None:
    return _first_line("/proc/sys/kernel/random/boot_id")


def _machine() -> str | None:
    return _first_line("/etc/machine-id")


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        return None
