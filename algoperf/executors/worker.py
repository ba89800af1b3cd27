"""What happens inside a trial's own process."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path

from algoperf import allocation, compilation, hosts, trial
from algoperf.disk import CannotRecord, recording
from algoperf.errors import HostLost, UserError
from algoperf.executors.local import NOTICES
from algoperf.recording import TrialRecord
from algoperf.records import OUTPUT, Ending, TrialSpec
from algoperf.spec import Status
from algoperf.trial import machine_facts


def main(record: TrialRecord, connection: Connection, *, joint: bool = False) -> None:
    """Runs the trial of `record`, records it, and sends beats, news as text and at last the ending.

    A `CannotRecord` is sent instead of an ending where the results folder cannot be written, and a
    `HostLost` where another of the trial's hosts is gone. `joint` says that it has others.
    """
    _begin(connection)
    try:
        record.begin()
        with recording(record.folder):
            _redirect_output(record.folder / OUTPUT)
        ending = _run(record, connection, joint=joint)
    except (CannotRecord, HostLost) as error:
        message = error
    else:
        message = ending
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(message)
    connection.close()
    # Threads that a submission left behind must not keep the process.
    os._exit(0)


def assist(spec: TrialSpec, connection: Connection) -> None:
    """Runs a trial together with the host that records it, and ends the process."""
    _begin(connection)
    try:
        hosts.join()
        compilation.use_cache()
        trial.run(spec, hosts.Unrecorded(spec), lambda _: None)
        hosts.leave()
    except BaseException:  # noqa: BLE001 - others' code; the host that records says what became of it
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _begin(connection: Connection) -> None:
    allocation.keep_freed_memory()
    os.setsid()  # a group of its own: Ctrl-C does not reach it, a kill reaches its children
    _leave_to_parent(NOTICES)
    threading.Thread(target=_die_with, args=(connection,), daemon=True).start()


def _leave_to_parent(notices: Iterable[signal.Signals]) -> None:
    """Takes no notice of signals, which are blocked; a program that is started from here does."""
    for notice in notices:
        signal.signal(notice, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, notices)


def _run(record: TrialRecord, connection: Connection, *, joint: bool) -> Ending:
    if joint:
        hosts.join()
    facts = machine_facts()
    facts["compilation_cache"] = compilation.use_cache()
    meter = compilation.CompileMeter()
    meter.listen()
    try:
        ending, found = trial.run(
            record.spec, record, connection.send, meter=meter, tell=connection.send
        )
        facts |= found
    except (CannotRecord, HostLost):
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if hosts.lost(error):
            raise HostLost(f"A host of {record.spec.label} is gone: {_reason(error)}") from error
        record.fail(traceback.format_exc())
        ending = Ending(Status.FAILED, _reason(error), steps=None)
        joint = False  # who knows where the others are
    record.finish(ending, facts)
    if joint:
        hosts.leave()
    return ending


def _reason(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, SystemExit):
        return "the submission called sys.exit"
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0]


def _redirect_output(path: Path) -> None:
    """What the submission prints goes into its folder, also from native code."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # Line by line, so that what was printed before a hang or a crash is there.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] - TextIO at run time


def _die_with(connection: Connection) -> None:
    """Ends this process group when the one that started it is gone: nothing comes this way."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os.killpg(0, signal.SIGKILL)
