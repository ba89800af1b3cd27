"""Trials on this machine, one after the other, so that each has the machine to itself.

Each runs in a fresh process forked from a server that has the imports done. No jax here.
"""

import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from algoperf import caches, disk, machine, processes, sandbox
from algoperf.disk import CannotRecord
from algoperf.errors import HostLost
from algoperf.executors.audit import Audit
from algoperf.executors.filling import Filling
from algoperf.executors.messages import Inbox, Message, Unreadable
from algoperf.executors.patience import Patience
from algoperf.recording import TrialRecord
from algoperf.records import Beat, Ending, TrialSpec
from algoperf.spec import Status

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from algoperf.claims import Claim

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
    audit: Audit

    @property
    def number(self) -> int:
        return 1 if self.claim is None else self.claim.number


SAID_WRONG = (
    "its process sent a message that the harness never sends: the submission wrote to the "
    "harness's connection, which the rules forbid"
)


class LocalExecutor:
    """Runs trials, each in a fresh process.

    Args:
        results: The results folder.
        preload: Modules that the server imports before it forks.
        joint: Whether other hosts train each trial together with this one, which records it.

    Raises:
        UserError: If the results folder holds what trials have to read, and may not.
    """

    def __init__(self, results: Path, preload: Iterable[str], *, joint: bool = False) -> None:
        self._joint = joint
        sandbox.check_hidden(results)
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
        watched = _Watched(spec, on_beat, claim, tell, Audit())
        try:
            ending = TrialRecord(spec, self.results, watched.number).conclude()
            return self._run(watched) if ending is None else ending
        except CannotRecord:
            if claim is not None:
                claim.check()  # another run that took the trial over also took its folder away
            raise

    def _run(self, watched: _Watched) -> Ending:
        spec, place = watched.spec, (self.results, watched.number)
        try:
            with self._started(_start, spec, *place, joint=self._joint) as started:
                failure = self._follow(watched, *started)
        except CannotRecord as error:
            if not TrialRecord(spec, *place).is_possible():
                raise
            failure = f"it could not write, where others can: {_without_cure(error)}"
        # All of it has ended, before what it wrote is looked at.
        if watched.claim is not None:
            watched.claim.check()
        return self._conclude(watched, failure)

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
        folder = Path(tempfile.mkdtemp(prefix="algoperf-"))
        process = self._context.Process(  # type: ignore[attr-defined] - typeshed has it on subclasses only
            target=target, args=(*arguments, folder, theirs), kwargs=named, daemon=False
        )
        try:
            _begin(process)
            theirs.close()
            yield cast("Connection[Any, Any]", ours), process, folder
        finally:
            _end(process, began)
            ours.close()
            with suppress(OSError):  # the system's cleaning finds it
                disk.remove(folder)

    def _follow(
        self,
        watched: _Watched,
        connection: "Connection[Any, Any]",
        process: BaseProcess,
        temporary: Path,
    ) -> str:
        """Waits for the trial's end, and says why it failed if it did not record it itself."""
        claim, inbox = watched.claim, Inbox(connection)
        own = TrialRecord(watched.spec, self.results, watched.number).folder
        compiled = caches.folder_of(watched.spec.sha256)
        filling = Filling(own, filter(None, [temporary, compiled]))
        patience = Patience(watched.spec.fixed.budget_s)
        clock = watched.audit.clock
        while True:
            ready = clock.wait([connection, process.sentinel])
            if claim is not None:
                claim.check()
            if over := filling.over():
                return over
            try:
                said = inbox.take()
            except EOFError:
                process.join(timeout=5.0)
                return self._death(watched, process.exitcode)
            except Unreadable:
                return SAID_WRONG
            for message in said:
                submission_comes = watched.audit.hear(message)
                if message.ended:
                    return clock.fault
                if message.beat is not None:
                    patience.heard()
                if submission_comes and (measured := message.compiled) is not None:
                    # From now on it could say and write what it likes.
                    machine.best_calibration(measured.machine_id, measured.before)
                    caches.take_over(temporary / COMPILED)
                    with suppress(OSError):  # it is gone: seen in the next turn
                        connection.send_bytes(b"go on")
                if message.lost and not self._joint:
                    return SAID_WRONG
                _pass_on(message, watched)
            if not said and process.sentinel in ready:
                return self._death(watched, process.exitcode)
            if over := patience.over():
                return over

    def _conclude(self, watched: _Watched, failure: str) -> Ending:
        """Makes the trial final, as it recorded itself or as one that failed."""
        record = TrialRecord(watched.spec, self.results, watched.number)
        failure = failure or watched.audit.fault(record.spec, record.folder)
        if not failure:
            if (ending := record.accept()) is not None:
                return ending
            failure = "the submission changed the trial's record, which the rules forbid"
        ending = Ending(Status.FAILED, failure, steps=None)
        record.close(ending, {"machine": machine.fingerprint()})
        return ending

    def _death(self, watched: _Watched, code: int | None) -> str:
        """Why the process ended before its trial did, unless it was for want of others."""
        if self._joint and code == -signal.SIGABRT:  # so jax ends a process that misses another
            raise HostLost(f"A host of {watched.spec.label} is gone; see the jobs' logs.")
        return why_ended(code)


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


def _without_cure(error: CannotRecord) -> str:
    return str(error).removesuffix(disk.CURE).strip()


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


def why_ended(code: int | None) -> str:
    """What an exit status says; None if the process goes on without its connection."""
    if code is None:
        return "its process stopped listening before the trial ended, and was ended"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal has no name
            name = f"signal {-code}"
        hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit status {code} before the trial did"
