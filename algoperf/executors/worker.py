"""What happens inside a trial's own process."""

import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from algoperf import (
    allocation,
    caches,
    compilation,
    hosts,
    processes,
    registry,
    sandbox,
    sources,
    trial,
)
from algoperf.disk import CannotRecord, recording
from algoperf.errors import HostLost, UserError
from algoperf.executors.local import COMPILED, NOTICES
from algoperf.executors.messages import Measured, Message, send
from algoperf.executors.second_clock import READINGS
from algoperf.recording import TrialRecord
from algoperf.records import OUTPUT, Ending, TrialSpec
from algoperf.sandbox import Sandbox
from algoperf.spec import Status
from algoperf.trial import machine_facts


def main(
    record: TrialRecord, temporary: Path, connection: Connection, *, joint: bool = False
) -> None:
    """Runs the trial of `record` and records it, but for making it final.

    Args:
        record: The trial's folder, not yet begun.
        temporary: A folder for what the trial need not keep.
        connection: Takes messages; the last says that it is recorded, or why it cannot be.
        joint: Whether it has other hosts.
    """
    _begin()
    if connection.poll():  # nothing is sent yet: whoever asked for the trial is gone
        os._exit(1)
    try:
        record.begin()
        with recording(record.folder):
            _redirect_output(record.folder / OUTPUT)
        sandboxed = _shut_in(record.spec, record.results, temporary, record.folder)
        go_on = _listening(connection)
        _run(record, temporary, connection, go_on, sandboxed, joint=joint)
    except HostLost as error:
        message = Message(lost=str(error))
    except CannotRecord as error:
        message = Message(obstacle=str(error))
    else:
        message = Message(ended=True)
    sys.stdout.flush()
    sys.stderr.flush()
    send(connection, message)
    connection.close()
    # Threads that a submission left behind must not keep the process.
    os._exit(0)


def assist(spec: TrialSpec, results: Path, temporary: Path, connection: Connection) -> None:
    """Runs a trial together with the host that records it, and ends the process."""
    _begin()
    try:
        _shut_in(spec, results, temporary)
        _listening(connection)
        hosts.join()
        compilation.use_cache(temporary / COMPILED)

        def compiled(*_: Any) -> None:
            _use_own_cache(spec)

        trial.run(spec, hosts.Unrecorded(spec), trial.Listener(compiled=compiled))
        hosts.leave()
    except BaseException:  # noqa: BLE001 - others' code; the host that records says what became of it
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _begin() -> None:
    allocation.keep_freed_memory()
    os.setsid()  # a group of its own: Ctrl-C does not reach it, a kill reaches its children
    processes.adopt_orphans()
    processes.first_to_be_killed()
    _leave_to_parent(NOTICES)


def _leave_to_parent(notices: Iterable[signal.Signals]) -> None:
    """Takes no notice of signals, which are blocked; a program that is started from here does."""
    for notice in notices:
        signal.signal(notice, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, notices)


def _shut_in(spec: TrialSpec, results: Path, temporary: Path, *own: Path) -> Sandbox:
    """Nothing writable but the trial's own, before there is a thread or any of others' code.

    Args:
        spec: The trial.
        results: The results folder, of which it reads nothing but its own.
        temporary: A folder for what it need not keep.
        own: Its own in the results folder.
    """
    with suppress(Exception):  # what is wrong with the data comes up again where they are used
        _ = registry.workload(spec.workload).dataset.sizes  # reads, and keeps, what is made once
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    caches.mirror(temporary / COMPILED)
    cache = caches.folder_of(spec.sha256)
    writable = [*own, temporary, *([] if cache is None else [cache])]
    return sandbox.shut_in(writable, hidden=results, readable=[sources.root(spec.path)])


def _use_own_cache(spec: TrialSpec) -> bool:
    """What is compiled from now on is the submission's, where that can be kept."""
    return compilation.use_cache(caches.folder_of(spec.sha256), of_harness=False)


def _listening(connection: Connection) -> threading.Event:
    """Set when the one that follows the trial says that it may go on."""
    go_on = threading.Event()
    threading.Thread(target=_listen, args=(connection, go_on), daemon=True).start()
    return go_on


def _run(
    record: TrialRecord,
    temporary: Path,
    connection: Connection,
    go_on: threading.Event,
    sandboxed: Sandbox,
    *,
    joint: bool,
) -> None:
    if joint:
        hosts.join()
    facts = machine_facts()
    facts["sandbox"] = asdict(sandboxed)
    facts["compilation_cache"] = compilation.use_cache(temporary / COMPILED)
    meter = compilation.CompileMeter()
    meter.listen()

    def say(**said: Any) -> None:
        send(connection, Message(**said))

    def compiled(machine_id: str, before: Mapping[str, float]) -> None:
        """The harness's programs are kept for all before anybody else's code can touch them."""
        say(compiled=Measured(machine_id, before))
        go_on.wait()
        facts["compilation_cache"] = _use_own_cache(record.spec)

    listener = trial.Listener(
        report=lambda beat: say(beat=beat),
        tell=lambda news: say(news=news),
        timed=lambda seconds: say(timed_s=seconds),
        readings=READINGS,
        compiled=compiled,
    )
    try:
        ending, found = trial.run(record.spec, record, listener, meter=meter)
        record.check_tables()
        facts |= found
    except (CannotRecord, HostLost):
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if hosts.lost(error):
            raise HostLost(f"A host of {record.spec.label} is gone: {_reason(error)}") from error
        record.fail(traceback.format_exc())
        ending = Ending(Status.FAILED, _reason(error), steps=None)
        joint = False  # who knows where the others are
    record.write(ending, facts)
    if joint:
        hosts.leave()


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


def _listen(connection: Connection, go_on: threading.Event) -> None:
    """Hears that the trial may go on; ends all of it when the one that started it is gone."""
    try:
        while True:
            connection.recv_bytes()
            go_on.set()
    except (EOFError, OSError):
        processes.end_own()
