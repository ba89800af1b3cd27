"""What submissions say of themselves, each read in a process that is shut in. No jax here.

To import a file is to run it, and its author may be anybody: who plans or lists submissions does
not import them. One process has the imports done and forks one for each submission; what comes
back is JSON, and no more than the submission's own word on itself.
"""

import atexit
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from algoperf import registry, tuning
from algoperf.errors import UserError
from algoperf.rules import Ruleset

LIMIT_S = 120.0
"""How long a submission's file may take to be imported."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from algoperf.executors import reader; reader.main()"
)


@dataclass(frozen=True)
class Declared:
    """What a submission says of itself.

    Attributes:
        name: Names its results folder.
        path: Its file.
        doc: First line of the file's docstring.
        search_space: None for a self-tuning submission.
        notes: Workload to what whoever runs it there has to be told.
    """

    name: str
    path: Path
    doc: str
    search_space: tuning.SearchSpace | None
    notes: Mapping[str, Sequence[str]]

    @property
    def ruleset(self) -> Ruleset:
        return Ruleset.SELF_TUNING if self.search_space is None else Ruleset.EXTERNAL


def read(
    submissions: Sequence[str | Path], hidden: Path, workloads: Sequence[str] = ()
) -> list[Declared | UserError]:
    """What each submission says, or what is wrong with it, in their order.

    Args:
        submissions: Names or paths.
        hidden: The results folder, which none of them can read.
        workloads: Those that they may be run on.
    """
    found: dict[str, Declared | UserError] = {}
    paths: dict[str, Path] = {}
    for given in map(str, submissions):
        try:
            paths[given] = registry.submission_path(given)
        except UserError as error:
            found[given] = error
    if paths:
        answers = _ask(list(paths), str(hidden.resolve()), list(workloads))
        for (given, path), answer in zip(paths.items(), answers, strict=True):
            try:
                found[given] = _declared(path, **answer)
            except UserError as error:
                found[given] = error
    return [found[given] for given in map(str, submissions)]


def _declared(path: Path, code: int | None, text: str | None) -> Declared:
    """What a submission's process said before it ended with `code`; None if it did not end."""
    if code is None:
        raise UserError(f"{path} fails when it is imported: it took more than {LIMIT_S:.0f} s.")
    try:
        said = json.loads(text or "")
        if "error" in said:
            raise UserError(str(said["error"]))
        return _as_said(path, said)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        how = f"by {signal.strsignal(-code)}" if code < 0 else f"with exit status {code}"
        raise UserError(f"{path} fails when it is imported: the process ended {how}.") from None


def _as_said(path: Path, said: Mapping[str, Any]) -> Declared:
    space = said["search_space"]
    return Declared(
        name=registry.submission_name(path),
        path=path,
        doc=str(said["doc"]),
        search_space=None if space is None else tuning.parse(space),
        notes={str(name): list(map(str, notes)) for name, notes in said["notes"].items()},
    )


def _ask(submissions: list[str], hidden: str, workloads: list[str]) -> list[dict[str, Any]]:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    request = {
        "submissions": submissions,
        "hidden": hidden,
        "workloads": workloads,
        "folder": str(Path.cwd()),
        "limit_s": LIMIT_S,
    }
    try:
        server.stdin.write(f"{json.dumps(request)}\n")
        server.stdin.flush()
        import scipy.stats  # noqa: F401 - which drawing points takes half a second for: meanwhile

        return json.loads(server.stdout.readline())
    except (OSError, ValueError) as error:
        _end(server)
        raise RuntimeError("The process that reads submissions has ended.") from error
    except BaseException:
        _end(server)
        raise


@cache
def _server() -> "subprocess.Popen[str]":
    """The process that forks the others; it ends with this one."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for this one
    try:
        server = subprocess.Popen(  # noqa: S603 - no shell, and a command of ours
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    atexit.register(_end, server)
    return server


def _end(server: "subprocess.Popen[str]") -> None:
    """Ends it, and what it is reading."""
    _server.cache_clear()
    server.terminate()
    server.communicate()
