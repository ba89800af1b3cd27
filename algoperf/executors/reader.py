"""The process that reads submissions: it forks one for each, which is shut in (`declarations`)."""

import ctypes
import itertools
import json
import os
import resource
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from algoperf import processes, registry, sandbox, sources, tuning
from algoperf.disk import remove
from algoperf.errors import UserError
from algoperf.executors.filling import OUTPUT_LIMIT_BYTES
from algoperf.executors.messages import LONGEST
from algoperf.guard import ImportGuard
from algoperf.loading import Submission, load
from algoperf.workload import Workload

_END_WITH_PARENT = 1  # for prctl: PR_SET_PDEATHSIG
_ANSWER = "answer.json"
_MOST_AT_ONCE = 8


@dataclass(frozen=True)
class _Request:
    """Submissions to be read; see `declarations.read`.

    Attributes:
        submissions: Names or paths.
        hidden: The results folder.
        workloads: Names.
        folder: Which paths are relative to.
        limit_s: How long a submission may take.
    """

    submissions: Sequence[str]
    hidden: str
    workloads: Sequence[str]
    folder: str
    limit_s: float


def main() -> None:
    """Answers requests, a line of JSON each, until there are no more."""
    processes.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for line in sys.stdin:
        request = _Request(**json.loads(line))
        os.chdir(request.folder)
        print(json.dumps(list(_answers(request))), flush=True)  # noqa: T201 - for the parent


def _answers(request: _Request) -> Iterator[dict[str, Any]]:
    """How each submission's process ended, and what it had said, in their order."""
    workloads = {}
    if any(sources.is_mlcommons(registry.submission_path(s)) for s in request.submissions):
        for name in request.workloads:
            with suppress(UserError):  # no such workload, which others say
                workloads[name] = registry.workload(name)
    left = iter(request.submissions)
    while batch := list(itertools.islice(left, min(os.cpu_count() or 1, _MOST_AT_ONCE))):
        yield from _read(batch, request, workloads)


def _read(
    batch: Sequence[str], request: _Request, workloads: Mapping[str, Workload]
) -> Iterator[dict[str, Any]]:
    """The same of some submissions at once."""
    began, deadline = processes.boot_time(), time.monotonic() + request.limit_s
    started: list[_Reading] = []
    try:
        started.extend(_Reading(one, Path(request.hidden), workloads) for one in batch)
        codes = [reading.wait(deadline) for reading in started]
    finally:
        for reading in started:
            reading.end(began)
    for reading, code in zip(started, codes, strict=True):
        yield {"code": code, "text": reading.answer()}


class _Reading:
    """A submission that is being read, in a process of its own."""

    def __init__(self, submission: str, hidden: Path, workloads: Mapping[str, Workload]) -> None:
        self._temporary = tempfile.TemporaryDirectory(
            prefix="algoperf-", ignore_cleanup_errors=True
        )
        self._pid = os.fork()
        self._code: int | None = None
        if not self._pid:
            try:
                _main(submission, hidden, workloads, Path(self._temporary.name))
            finally:  # the stack above is the server's
                os._exit(1)

    def wait(self, deadline: float) -> int | None:
        """The exit status; None if the process has not ended in time."""
        while not self._ended(os.WNOHANG) and time.monotonic() < deadline:
            time.sleep(0.002)
        return self._code

    def end(self, since: float) -> None:
        """Ends the process and whatever it left behind; see `processes.end`."""
        processes.end(self._pid, since)
        self._ended(0)

    def answer(self) -> str | None:
        """What it said; None if it did not."""
        try:
            return _text(Path(self._temporary.name) / _ANSWER)
        except (OSError, UnicodeDecodeError):
            return None
        finally:
            remove(Path(self._temporary.name))  # to any depth, unlike the next
            self._temporary.cleanup()

    def _ended(self, options: int) -> bool:
        if self._code is None:
            pid, status = os.waitpid(self._pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code is not None


def _text(path: Path) -> str:
    """Content of a file that the submission could have put there instead of ours."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor) as file:
        return file.read(LONGEST) if stat.S_ISREG(os.fstat(descriptor).st_mode) else ""


def _main(
    submission: str, hidden: Path, workloads: Mapping[str, Workload], temporary: Path
) -> None:
    """Reads a submission in a process of its own, and ends that."""
    _begin(temporary)
    path = registry.submission_path(submission)
    readable = [sources.root(path), path.with_name(sources.SEARCH_SPACE)]
    sandbox.shut_in([temporary], hidden=hidden, readable=readable)
    with ImportGuard(sources.root(path)):
        (temporary / _ANSWER).write_text(json.dumps(_answer(submission, workloads)))
    os._exit(0)


def _begin(temporary: Path) -> None:
    """A session of its own, which has nothing open by which the server speaks with its parent."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    processes.adopt_orphans()
    processes.first_to_be_killed()
    # No file of it may fill the disk that others write to.
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_LIMIT_BYTES, OUTPUT_LIMIT_BYTES))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)


def _answer(submission: str, workloads: Mapping[str, Workload]) -> dict[str, Any]:
    try:
        loaded = load(submission)
        notes = _notes(loaded, workloads)
    except UserError as error:
        return {"error": str(error)}
    space = loaded.search_space
    return {
        "doc": loaded.doc,
        "search_space": None if space is None else tuning.as_json(space),
        "notes": notes,
    }


def _notes(loaded: Submission, workloads: Mapping[str, Workload]) -> dict[str, Sequence[str]]:
    """What its adapter has to say of workloads, where it has one."""
    if not sources.is_mlcommons(loaded.path):
        return {}
    notes = {}
    for name, workload in workloads.items():
        try:
            notes[name] = loaded.algorithm.notes(workload)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise UserError(f"{loaded.path} gives no batch size for {name!r}: {what}") from error
    return notes
