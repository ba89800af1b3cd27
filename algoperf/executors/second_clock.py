"""A second clock beside a trial's own, where no submission can reach it. No jax."""

import time
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

POLL_S = 1.0
"""How long is waited for something to happen."""

READINGS = 5
"""How often a trial says at its end what its clock says: one reading is almost certainly heard at
once."""

READ_EVERY_S = 0.05
"""How long a trial waits between two of these readings."""

BEHIND_S = 0.1
"""How far a trial's clock may be behind this one."""

AHEAD_S = 1.0
"""How far a trial's clock may be ahead of this one, which starts late on a busy machine. It may be
further ahead than behind, since that only costs the submission time."""

_AT_ONCE_S = 0.001
"""A wait that is over sooner found what had come before it."""


class SecondClock:
    """Times a trial from outside.

    Attributes:
        said_s: What the trial's clock said last [s]; None if it was not read since it was made.
        fault: What is wrong with the trial's own clock, once it was heard for the last time; empty
            if nothing is.
    """

    def __init__(self) -> None:
        self.said_s: float | None = None
        self.fault = ""
        self._made: float | None = None
        self._looked = time.monotonic()
        self._late = 0.0
        self._behind: deque[float] = deque(maxlen=READINGS)

    def wait(self, ready: "Sequence[Connection[Any, Any] | int]") -> list[Any]:
        """Waits a moment for one of `ready`, and notes how long ago it may have come."""
        began = time.monotonic()
        found = wait(ready, timeout=POLL_S)
        now = time.monotonic()
        if now - began <= _AT_ONCE_S:
            self._late += now - self._looked
        else:  # it came just now, unless this process was stopped
            self._late = now - began if now - began > 1.1 * POLL_S else 0.0
        self._looked = now
        return found

    def hear(self, timed_s: float | None) -> None:
        """Compares with what the trial's clock says.

        Args:
            timed_s: 0 as it is made; later what it says then [s]; None if it says nothing.
        """
        now = time.monotonic()
        if timed_s is None:
            return
        if self._made is None:
            self._made = now
            return
        passed_s = now - self._made
        self.said_s = timed_s
        self._behind.append(passed_s - timed_s - self._late)
        agrees = min(self._behind) <= BEHIND_S and passed_s - timed_s >= -AHEAD_S
        self.fault = (
            ""
            if agrees
            else f"the trial's clock says {timed_s:.1f} s where {passed_s:.1f} s passed: the "
            "submission changed it, which the rules forbid"
        )
