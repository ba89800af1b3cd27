"""Trials on this machine, one after the other, so that each has the machine to itself.

Each runs in a fresh process forked from a server that has the imports done. No jax here.
"""

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from algoperf import caches, machine, processes
from algoperf.disk import CannotRecord
from algoperf.errors import HostLost
from algoperf.executors.heard import Heard
from algoperf.executors.messages import Message, Unreadable, receive
from algoperf.recording import TrialRecord
from algoperf.records import OUTPUT, Beat, Ending, TrialSpec
from algoperf.spec import Status

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from algoperf.claims import Claim

START_LIMIT_S = 120.0
"""Beyond ten budgets, how long loading, init and the first update may take, with compilation."""

SILENCE_LIMIT_S = 60.0
"""Beyond the budget, how long a trial may give no sign of life."""

LONGEST_S = 3600.0
"""What counts as the budget here where there is none, or a longer one."""

NOTICES = frozenset({signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2})
"""With what a cluster tells all processes of a job that it will end. What comes of it is for the
one that follows a trial: if the trial died of it, it would be recorded as failed."""


COMPILED = "compilations"
"""Name of the folder, among a trial's temporary files, for what the harness compiles."""


@dataclass(frozen=True)
class _Watched:
    """A trial, and who has to hear of it; see `LocalExecutor.run`."""

    spec: TrialSpec
    on_beat: Callable[[Beat], None]
    claim: "Claim | None"
    tell: Callable[[str], None]
    heard: Heard

    @property
    def number(self) -> int:
        return 1 if self.claim is None else self.claim.number


OUTPUT_LIMIT = 100_000_000
"""How much a trial may print, in bytes: it must not fill the disk that others write to."""


class LocalExecutor:
    """Runs trials, each in a fresh process.

    Args:
        results: The results folder.
        preload: Modules that the server imports before it forks.
        joint: Whether other hosts train each trial together with this one, which records it.
    """

    def __init__(self, results: Path, preload: Iterable[str], *, joint: bool = False) -> None:
        self._joint = joint
        self.results = results.resolve()  # a submission may change the working directory
        self._context = _context(["algoperf.executors.worker", *preload])

    def run(
        self,
        spec: TrialSpec,
        on_beat: Callable[[Beat], None],
        claim: "Claim | None" = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Ending:
        """Runs one trial to its end, from its last checkpoint if there is one, and records it.

        Args:
            spec: The trial.
            on_beat: Called with its signs of life.
            claim: Our claim on it; None if nobody else can want it.
            tell: Called with what became of an earlier attempt, if there was one.

        Raises:
            UserError: If the results folder cannot be written.
            Lost: If another run took the trial over.
            HostLost: If another host of the trial is gone; nothing is recorded of it.
            KeyboardInterrupt: After the trial's process was ended; nothing is recorded of it.
        """
        watched = _Watched(spec, on_beat, claim, tell, Heard())
        if (ending := TrialRecord(spec, self.results, watched.number).conclude()) is not None:
            return ending
        try:
            place = self.results, watched.number
            with self._started(_start, spec, *place, joint=self._joint) as started:
                failure = self._follow(watched, *started)
            # All of it has ended, before what it wrote is looked at.
            return self._conclude(watched, failure)
        except CannotRecord:
            if claim is not None:
                claim.check()  # another run that took the trial over also took its folder away
            raise

    def assist(self, spec: TrialSpec) -> int | None:
        """Runs a trial together with the host that records it.

        Returns:
            The exit status of the trial's process.
        """
        with self._started(_assist, spec, self.results) as (_, process, _):
            process.join()
            return process.exitcode

    @contextmanager
    def _started(
        self, target: Callable[..., None], *arguments: Any, **named: Any
    ) -> "Iterator[tuple[Connection[Any, Any], BaseProcess, Path]]":
        """A process, the connection to it and its temporary folder; in the end it has ended.

        `target` gets the folder and its end of the connection after `arguments`.
        """
        ours, theirs = self._context.Pipe()
        processes.adopt_orphans()
        began = processes.boot_time()
        with tempfile.TemporaryDirectory(prefix="algoperf-", ignore_cleanup_errors=True) as folder:
            process = self._context.Process(  # type: ignore[attr-defined] - typeshed has it on subclasses only
                target=target, args=(*arguments, Path(folder), theirs), kwargs=named, daemon=False
            )
            try:
                _begin(process)
                theirs.close()
                yield cast("Connection[Any, Any]", ours), process, Path(folder)
            finally:
                _end(process, began)
                ours.close()

    def _follow(
        self,
        watched: _Watched,
        connection: "Connection[Any, Any]",
        process: BaseProcess,
        temporary: Path,
    ) -> str:
        """Waits for the trial's end, and says why it failed if it did not record it itself."""
        spec, claim = watched.spec, watched.claim
        budget_s = min(spec.fixed.budget_s, LONGEST_S)
        limit_s = START_LIMIT_S + 10 * budget_s
        heard = time.monotonic()
        clock = watched.heard.clock
        while True:
            ready = clock.wait([connection, process.sentinel])
            if claim is not None:
                claim.check()
            if self._printed(watched) > OUTPUT_LIMIT:
                return f"it printed more than {OUTPUT_LIMIT:,} bytes"
            if connection.poll():
                try:
                    message = receive(connection)
                except (EOFError, OSError):
                    process.join(timeout=5.0)
                    return self._death(watched, process.exitcode)
                except Unreadable:
                    return "its process said what no trial says"
                submission_comes = watched.heard.hear(message)
                if message.ended:
                    return clock.fault
                if message.beat is not None:
                    heard = time.monotonic()
                    limit_s = SILENCE_LIMIT_S + budget_s
                if submission_comes and (measured := message.compiled) is not None:
                    # From now on it could say and write what it likes.
                    machine.best_calibration(measured.machine_id, measured.before)
                    caches.take_over(temporary / COMPILED)
                    connection.send_bytes(b"go on")
                _pass_on(message, watched)
            elif process.sentinel in ready:
                return self._death(watched, process.exitcode)
            elif time.monotonic() - heard > limit_s:
                return f"no step returned within {limit_s:.0f} s; the process was ended"

    def _conclude(self, watched: _Watched, failure: str) -> Ending:
        """Makes the trial final, as it recorded itself or as one that failed."""
        record = TrialRecord(watched.spec, self.results, watched.number)
        failure = failure or watched.heard.fault(record.spec, record.folder)
        if not failure:
            if (ending := record.accept()) is not None:
                return ending
            failure = "the submission changed the trial's record, which the rules forbid"
        if not record.folder.exists():
            record.begin()
        ending = Ending(Status.FAILED, failure, steps=None)
        record.finish(ending, {"machine": machine.fingerprint()})
        return ending

    def _printed(self, watched: _Watched) -> int:
        """How much the trial has printed, in bytes."""
        record = TrialRecord(watched.spec, self.results, watched.number)
        try:
            return (record.folder / OUTPUT).stat().st_size
        except OSError:  # not begun, or just finished
            return 0

    def _death(self, watched: _Watched, code: int | None) -> str:
        """Why the process ended before its trial did, unless it was for want of others."""
        if self._joint and code == -signal.SIGABRT:  # so jax ends a process that misses another
            raise HostLost(f"A host of {watched.spec.label} is gone; see the jobs' logs.")
        return _death(code)


def _begin(process: BaseProcess) -> None:
    """Starts a trial's process.

    The server that forks is started with the first trial; Ctrl-C is not for it, nor is what a
    cluster sends to all processes of a job.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *NOTICES})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _pass_on(message: Message, watched: _Watched) -> None:
    """What a trial says goes to whoever has to hear of it."""
    if message.lost:
        raise HostLost(message.lost)
    if message.obstacle:
        raise CannotRecord(message.obstacle)
    if message.news:
        watched.tell(f"{watched.spec.label}: {message.news}")
    if message.beat is not None:
        watched.on_beat(message.beat)


def _start(
    spec: TrialSpec,
    results: Path,
    number: int,
    temporary: Path,
    connection: "Connection[Any, Any]",
    *,
    joint: bool,
) -> None:
    from algoperf.executors import worker

    worker.main(TrialRecord(spec, results, number), temporary, connection, joint=joint)


def _assist(
    spec: TrialSpec, results: Path, temporary: Path, connection: "Connection[Any, Any]"
) -> None:
    from algoperf.executors import worker

    worker.assist(spec, results, temporary, connection)


def _context(preload: list[str]) -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    return context


def _end(process: BaseProcess, began: float) -> None:
    """Ends the process and whatever it left behind."""
    if process.pid is not None:  # it was started
        processes.end(process.pid, began)
        process.join()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit status {code} before the trial did"
