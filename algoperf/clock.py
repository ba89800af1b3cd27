"""The stopwatch: monotonic, blocks on the device, keeps its accounts apart.

Exactly one account is open at any time, so the accounts add up to the whole by construction.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax

from algoperf.accounts import SUBMISSION, Account

RUN_AHEAD_S = 0.2
"""How much work may be queued on the device before the clock waits for it. It bounds how far
a trial can overrun its budget unnoticed, and how late a submission learns the time, and lets the
host prepare a step while the device works on the one before. After every wait the device stands
still for about a millisecond, until it has the next step."""


class Meter(Protocol):
    """Says how much of an interval was compilation."""

    def take(self, since: float) -> float: ...


class Clock:
    """Accounts of one trial.

    Args:
        meter: Measures compilation; None if there is none to measure.
        compile_counts: Whether compilation within submission time stays there.
        run_ahead_s: How much work may be queued [s]; 0 to wait after every step.
        now: A monotonic clock [s].
        agreed: Takes what this process has and returns what the first one has, where several
            processes train one trial; None for one.
    """

    def __init__(
        self,
        meter: Meter | None = None,
        *,
        compile_counts: bool = False,
        run_ahead_s: float = RUN_AHEAD_S,
        now: Callable[[], float] = time.perf_counter,
        agreed: Callable[[Any], Any] | None = None,
    ) -> None:
        self._now = now
        self._meter = meter
        self._agreed = agreed
        self._compile_counts = compile_counts
        self._run_ahead_s = run_ahead_s
        self._account = Account.SETUP
        self._since = self._settled_at = self._started = self._made = now()
        self._queued = 0
        self._allowed = 1
        self._step_s = math.inf
        self._compiled_before_s = 0.0
        self.compile_s = 0.0
        self.accounts: dict[Account, float] = dict.fromkeys(Account, 0.0)

    def resume(self, accounts: Mapping[str, float], compile_s: float) -> None:
        """Goes on from the accounts of a trial that was cut off: what is done again counts once.

        All time so far was for things done before; so is compilation from now on, up to the amount
        that had been compiled.

        Args:
            accounts: Of the trial, by name [s].
            compile_s: Its compilation [s].
        """
        self.enter(self._account)
        again = sum(self.accounts.values())
        self._compiled_before_s = max(compile_s - self.compile_s, 0.0)
        self.compile_s = compile_s
        self.accounts = {account: accounts.get(account, 0.0) for account in Account}
        self.accounts[Account.REPEATED] += again
        self._started = self._since - sum(self.accounts.values())

    def enter(self, account: Account, after: Any = None) -> None:
        """Closes the open account and opens `account`.

        Args:
            account: What time is spent on from now on.
            after: Arrays that the open account has to pay for: the device is waited for.
        """
        if after is not None:
            self._wait(after)
        now = self._now()
        spent = now - self._since
        if self._meter is not None:
            compiling = min(self._meter.take(self._since), spent)
            again = min(compiling, self._compiled_before_s)
            self._compiled_before_s -= again
            self.accounts[Account.REPEATED] += again
            compiling -= again
            spent -= again
            self.compile_s += compiling
            charged = self._account in SUBMISSION and self._account is not Account.INIT
            if not (self._compile_counts and charged):
                self.accounts[Account.COMPILATION] += compiling
                spent -= compiling
        self.accounts[self._account] += spent
        if account in SUBMISSION and self._account not in SUBMISSION:
            self._settled_at = now  # what lies between is not the steps'
        self._since = now
        self._account = account

    @property
    def allowed(self) -> int:
        """How many steps may be queued, by what they took so far."""
        return self._allowed

    @property
    def step_s(self) -> float:
        """What a step took when the device was last waited for after steps [s]; at first inf."""
        return self._step_s

    def agree(self) -> None:
        """Takes over the first process's accounts: what is decided by them, all decide alike."""
        if self._agreed is not None:
            self.accounts, self.compile_s = self._agreed((self.accounts, self.compile_s))

    def excuse_init(self, free_s: float) -> None:
        """Counts so much of `init` as set-up."""
        excused = min(self.accounts[Account.INIT], free_s)
        self.accounts[Account.INIT] -= excused
        self.accounts[Account.SETUP] += excused

    def faults(self) -> list[str]:
        """Accounts that are not what this clock made of them."""
        whole, parts = self.total_s, sum(self.accounts.values())
        if math.isclose(whole, parts, rel_tol=1e-6, abs_tol=1e-3):
            return []
        return [f"the clock's accounts are {parts:.3f} s of {whole:.3f} s"]

    def settle(self, outputs: Any, count: int = 1) -> None:
        """Waits for `outputs` if, after as many again, more than `run_ahead_s` could be queued.

        Args:
            outputs: Of the last step.
            count: Steps that were dispatched together.
        """
        self._queued += count
        if self._queued + count > self._allowed:
            steps, began = self._queued, self._settled_at
            self._wait(outputs)
            self._step_s = max(self._settled_at - began, 1e-9) / steps
            # At most doubled, so that one odd measurement does not open the gate.
            self._allowed = max(1, min(2 * steps, int(self._run_ahead_s / self._step_s)))

    def _wait(self, outputs: Any) -> None:
        jax.block_until_ready(outputs)
        self._settled_at = self._now()
        self._queued = 0

    @property
    def submission_s(self) -> float:
        """Submission time up to the last change of account [s]."""
        return sum(self.accounts[account] for account in SUBMISSION)

    @property
    def total_s(self) -> float:
        """Time since the clock was made, up to the last change of account [s]."""
        return self._since - self._started

    @property
    def lifetime_s(self) -> float:
        """Time since the clock was made in this process, whatever it goes on from [s]."""
        return self._since - self._made
