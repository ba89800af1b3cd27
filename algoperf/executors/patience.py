"""How long a trial may go on, as seen from outside, whatever it says. No jax."""

import time
from collections.abc import Callable

from algoperf.executors.second_clock import POLL_S

START_LIMIT_S = 120.0
"""Beyond ten budgets, how long loading, init and the first update may take, with compilation."""

SILENCE_LIMIT_S = 60.0
"""Beyond the budget, how long a trial may give no sign of life."""

LONGEST_S = 3600.0
"""What counts as the budget here where there is none, or a longer one."""

WHOLE_LIMIT_S = 6 * 3600.0
"""Beyond ten budgets, how long a trial may take in all, however often it says that it is alive."""

_LONGEST_TURN_S = 2 * POLL_S


class Patience:
    """Tells when to wait for a trial no longer.

    Args:
        budget_s: The trial's budget [s]; may be infinite.
        now: Clock [s].
    """

    def __init__(self, budget_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._budget_s = min(budget_s, LONGEST_S)
        self._limit_s = START_LIMIT_S + 10 * self._budget_s
        self._whole_s = WHOLE_LIMIT_S + 10 * budget_s
        self._heard = self._looked = now()
        self._watched_s = 0.0

    def heard(self) -> None:
        """A step returned."""
        self._heard = self._now()
        self._limit_s = SILENCE_LIMIT_S + self._budget_s

    def over(self) -> str:
        """Why the trial has to be ended; empty as long as it has not. To be asked at every turn."""
        now = self._now()
        # What passed while nobody looked, this process being stopped, is not the trial's.
        self._watched_s += min(now - self._looked, _LONGEST_TURN_S)
        self._looked = now
        if now - self._heard > self._limit_s:
            return f"no step returned within {self._limit_s:.0f} s; the process was ended"
        if self._watched_s > self._whole_s:
            return f"it was not over within {self._whole_s:.0f} s; the process was ended"
        return ""
