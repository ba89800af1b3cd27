"""What happens inside a trial's own process."""

import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from algoperf import compilation, trial
from algoperf.errors import UserError
from algoperf.records import OUTPUT, CannotRecord, Ending, TrialRecord, TrialSpec
from algoperf.spec import Status
from algoperf.trial import machine_facts


def main(spec: TrialSpec, results: Path, connection: Connection) -> None:
    """Runs `spec`, records it, and sends beats and at last the ending through `connection`.

    A `CannotRecord` is sent instead of an ending where the results folder cannot be written.
    """
    os.setsid()  # a group of its own: Ctrl-C does not reach it, a kill reaches its children
    threading.Thread(target=_die_with, args=(connection,), daemon=True).start()
    record = TrialRecord(spec, results)
    try:
        record.begin()
        _redirect_output(record.folder / OUTPUT)
        ending = _run(spec, record, connection)
    except CannotRecord as error:
        message = error
    else:
        message = ending
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(message)
    connection.close()
    # Threads that a submission left behind must not keep the process.
    os._exit(0)


def _run(spec: TrialSpec, record: TrialRecord, connection: Connection) -> Ending:
    facts = machine_facts()
    facts["compilation_cache"] = compilation.use_cache()
    meter = compilation.CompileMeter()
    meter.listen()
    try:
        ending, found = trial.run(spec, record, connection.send, meter=meter)
        facts |= found
    except CannotRecord:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - others' code
        record.fail(traceback.format_exc())
        ending = Ending(Status.FAILED, _reason(error), steps=None)
    record.finish(ending, facts)
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
