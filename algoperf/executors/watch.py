"""A second clock beside a trial's own, where no submission can reach it. No jax."""

import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

LOOK_EVERY_S = 1.0
"""How long is waited for something to happen."""

TOLERANCE_S = 1.0
TOLERANCE = 0.02
"""How far a trial's clock may be from this one: messages are heard late on a busy machine."""


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

    def wait(self, ready: "Sequence[Connection[Any, Any] | int]") -> list[Any]:
        """Waits a moment for one of `ready`, and notes for how long nobody waited."""
        began = time.monotonic()
        found = wait(ready, timeout=LOOK_EVERY_S)
        now = time.monotonic()
        # Between the waits, or in one that lasted longer than it should: this process was stopped.
        self._late = max(self._late, began - self._looked, now - began - LOOK_EVERY_S)
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
        allowed_s = TOLERANCE_S + TOLERANCE * passed_s + self._late
        if not abs(passed_s - timed_s) <= allowed_s:
            self.fault = (
                f"the trial's clock says {timed_s:.1f} s where {passed_s:.1f} s passed: the "
                "submission changed it, which the rules forbid"
            )
