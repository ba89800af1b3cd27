"""What happens inside a trial's own process."""

import os
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import jax

from algoperf import compilation, machine, trial
from algoperf.errors import UserError
from algoperf.records import OUTPUT, CannotRecord, Ending, TrialRecord, TrialSpec
from algoperf.spec import Status


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
        connection.send(error)
    else:
        connection.send(ending)
    connection.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that a submission left behind must not keep the process.
    os._exit(0)


def _run(spec: TrialSpec, record: TrialRecord, connection: Connection) -> Ending:
    facts = {}
    try:
        fingerprint = machine.fingerprint([d.device_kind for d in jax.devices()])
        folder = machine.fingerprint_id({**fingerprint, **machine.versions()})
        compilation.use_cache(compilation.cache_folder(folder))
        meter = compilation.CompileMeter()
        meter.listen()
        ending, facts = trial.run(spec, record, connection.send, meter=meter)
    except CannotRecord:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - others' code
        record.fail(traceback.format_exc())
        ending = Ending(Status.FAILED, _reason(error), steps=-1)
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


def _die_with(connection: Connection) -> None:
    """Ends this process when the one that started it is gone: nothing is ever sent this way."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)
