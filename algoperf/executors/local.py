"""Trials on this machine, one after the other, so that each has the machine to itself.

Each runs in a fresh process forked from a server that has the imports done. No jax here.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from algoperf import machine
from algoperf.errors import UserError
from algoperf.records import Ending, TrialRecord, TrialSpec
from algoperf.spec import Status

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from algoperf.trial import Beat

START_LIMIT_S = 120.0
"""Beyond ten budgets, how long loading, init and the first update may take, with compilation."""

SILENCE_LIMIT_S = 60.0
"""Beyond the budget, how long a trial may give no sign of life."""

LONGEST_S = 3600.0
"""What counts as the budget here where there is none, or a longer one."""


class LocalExecutor:
    """Runs trials, each in a fresh process.

    Args:
        results: The results folder.
        preload: Modules that the server imports before it forks.
    """

    def __init__(self, results: Path, preload: Iterable[str]) -> None:
        self.results = results.resolve()  # a submission may change the working directory
        self._context = _context(["algoperf.executors.worker", *preload])

    def run(self, spec: TrialSpec, on_beat: "Callable[[Beat], None]") -> Ending:
        """Runs one trial to its end; it is recorded when this returns.

        Raises:
            UserError: If the results folder cannot be written.
            KeyboardInterrupt: After the trial's process was ended; nothing is recorded of it.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined] - typeshed has it on subclasses only
            target=_start, args=(spec, self.results, theirs), daemon=False
        )
        try:
            # The server that forks is started with the first trial; Ctrl-C is not for it.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()
            ending = self._follow(spec, cast("Connection[Any, Any]", ours), process, on_beat)
        finally:
            _end(process)
            ours.close()
        return ending

    def _follow(
        self,
        spec: TrialSpec,
        connection: "Connection[Any, Any]",
        process: BaseProcess,
        on_beat: "Callable[[Beat], None]",
    ) -> Ending:
        budget_s = min(spec.fixed.budget_s, LONGEST_S)
        limit_s = START_LIMIT_S + 10 * budget_s
        heard = time.monotonic()
        while True:
            ready = wait([connection, process.sentinel], timeout=1.0)
            if connection.poll():
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    process.join(timeout=5.0)
                    return self._record_failure(spec, _death(process.exitcode))
                if isinstance(message, Ending):
                    return message
                if isinstance(message, UserError):
                    raise message
                heard = time.monotonic()
                limit_s = SILENCE_LIMIT_S + budget_s
                on_beat(message)
            elif process.sentinel in ready:
                return self._record_failure(spec, _death(process.exitcode))
            elif time.monotonic() - heard > limit_s:
                _end(process)
                reason = f"no step returned within {limit_s:.0f} s; the process was ended"
                return self._record_failure(spec, reason)

    def _record_failure(self, spec: TrialSpec, reason: str) -> Ending:
        """Records a trial whose process could not do it itself."""
        record = TrialRecord(spec, self.results)
        if not record.folder.exists():
            record.begin()
        ending = Ending(Status.FAILED, reason, steps=None)
        record.finish(ending, {"machine": machine.fingerprint()})
        return ending


def _start(spec: TrialSpec, results: Path, connection: "Connection[Any, Any]") -> None:
    from algoperf.executors import worker

    worker.main(spec, results, connection)


def _context(preload: list[str]) -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    return context


def _end(process: BaseProcess) -> None:
    """Ends the process and whatever it left behind in its group."""
    pid = process.pid
    if pid is None:
        return  # never started
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.join()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit status {code} before the trial did"
