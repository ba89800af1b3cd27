"""Shuts a trial's process in: it writes only what is its own, and reads no other trial's files.

By Landlock (Linux 5.13 and later), which asks for no privileges, costs nothing while a step runs,
and is inherited by every thread and process that is started afterwards. Where the kernel has none,
trials run all the same, and their manifests say so.
"""

import contextlib
import ctypes
import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from algoperf import registry
from algoperf.errors import UserError
from algoperf.inputs.extra import data_root

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every architecture that jax runs on."""

_VERSION = 1  # flag of CREATE_RULESET: say which version of Landlock this is
_BENEATH = 1  # type of a rule: what lies in a folder, or a file
_NO_NEW_PRIVILEGES = 38  # for prctl; without it no process may restrict itself

# Rights, from linux/landlock.h.
_WRITE_FILE, _READ_FILE = 1 << 1, 1 << 2
_REMOVE = 1 << 4 | 1 << 5
_MAKE_FOLDER, _MAKE_FILE = 1 << 7, 1 << 8
_MAKE_OTHER = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # devices, sockets, pipes, links
_REFER = 1 << 13  # moving and linking between folders; from version 2
_TRUNCATE = 1 << 14  # from version 3
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets and signals, to processes outside; from version 6

_OWN = _WRITE_FILE | _READ_FILE | _REMOVE | _MAKE_FOLDER | _MAKE_FILE | _TRUNCATE
"""In its own folders a trial needs no links, and is given none: whoever reads or writes there
later must not be led elsewhere."""

_MEMORY = {"shm", "mqueue", "hugepages", "pts"}
"""What lies in /dev and is no device: a trial could leave there what another finds."""

WRITABLE_VARIABLE = "ALGOPERF_WRITABLE"
"""Further folders that trials may write, separated by colons: some drivers need /dev/shm."""

_MOST_ENTRIES = 20_000


@dataclass(frozen=True)
class Sandbox:
    """What keeps a trial in.

    Attributes:
        landlock: The kernel's version of Landlock; 0 if the trial is not sandboxed.
        writable: What it may write, besides devices.
        obstacle: What could not be done, and why; empty if everything could.
    """

    landlock: int
    writable: tuple[str, ...] = ()
    obstacle: str = ""


def version() -> int:
    """Version of the kernel's Landlock; 0 where there is none.

    Below 3 what another program may write can be cut short by a trial; below 6 a trial can end the
    user's other processes.
    """
    if not sys.platform.startswith("linux"):
        return 0
    return max(_call(CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION), 0)


def shut_in(own: Sequence[Path], hidden: Path, readable: Iterable[Path] = ()) -> Sandbox:
    """From now on this thread, and what it starts, writes below `own` only, for good.

    To be called before there are other threads: they would stay outside.

    Args:
        own: Existing folders.
        hidden: A folder whose files cannot be read either, but for those in `own` and `readable`.
        readable: Files and folders.
    """
    found = version()
    if not found:
        return Sandbox(0, obstacle="this system has no Landlock")
    own = [*own, *_further()]
    outside, obstacle = _outside(hidden.resolve())
    handled = _OWN | _MAKE_OTHER
    handled |= _REFER if found >= 2 else 0
    handled &= ~(_TRUNCATE if found < 3 else 0)
    ruleset = _new_ruleset(handled, _SCOPES if found >= 6 else 0)
    if ruleset < 0:
        return Sandbox(0, obstacle=_refused())
    try:
        for path in own:
            _allow(ruleset, path, _OWN & handled)
        for path in _devices():
            _allow(ruleset, path, _WRITE_FILE)
        for path in [*outside, *readable]:
            _allow(ruleset, path, _READ_FILE)
        _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if _call(RESTRICT_SELF, ruleset, 0) < 0:
            return Sandbox(0, obstacle=_refused())
    finally:
        os.close(ruleset)
    return Sandbox(found, tuple(map(str, own)), obstacle)


def check_hidden(hidden: Path) -> None:
    """Makes sure that no trial needs what `shut_in` will hide from it.

    Raises:
        UserError: If the folder holds programs or data sets.
    """
    needed = [
        ("Python", sys.prefix),
        ("Python", sys.base_prefix),
        ("this program", Path(__file__).parent),
        *(("workloads", folder) for folder in registry.workload_folders()),
    ]
    with contextlib.suppress(RuntimeError):  # no home at all
        needed.append(("data sets", data_root()))
    inside = [
        f"{what}: {path}"
        for what, path in needed
        if Path(path).exists() and Path(path).resolve().is_relative_to(hidden.resolve())
    ]
    if version() and inside:
        raise UserError.of_many(
            f"Trials may not read what lies in the results folder, {hidden.resolve()}, and need "
            "some of it. Give another folder with --results.",
            inside,
        )


def _further() -> list[Path]:
    given = os.environ.get(WRITABLE_VARIABLE, "")
    return [path for name in given.split(":") if name and (path := Path(name)).is_dir()]


def _outside(hidden: Path) -> tuple[list[str], str]:
    """Everything but `hidden`, in as few pieces as there are; and why not, if it cannot be told.

    A rule allows, and none forbids, so that all that lies beside the way to `hidden` is named.
    """
    found: list[str] = []
    way = [hidden, *hidden.parents]
    try:
        for on_the_way, folder in itertools.pairwise(way):
            with os.scandir(folder) as entries:
                # What a link leads to is named where it lies.
                found += [
                    entry.path
                    for entry in entries
                    if entry.name != on_the_way.name and not entry.is_symlink()
                ]
            if len(found) > _MOST_ENTRIES:
                return ["/"], f"other results can be read: {folder} holds too much to name"
    except OSError as error:
        return ["/"], f"other results can be read: {error}"
    return found, ""


def _devices() -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir("/dev") as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISCHR(mode) or (stat.S_ISDIR(mode) and entry.name not in _MEMORY):
                yield Path(entry.path)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def _new_ruleset(handled: int, scoped: int) -> int:
    asked = _Ruleset(handled, 0, scoped)
    size = ctypes.sizeof(asked) if scoped else 8  # older kernels know its beginning only
    return _call(CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(size), 0)


def _allow(ruleset: int, path: Path | str, rights: int) -> None:
    """Nothing if there is no such path (any more)."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _WRITE_FILE | _READ_FILE | _TRUNCATE  # a file has no others
        _call(ADD_RULE, ruleset, _BENEATH, ctypes.byref(_Rule(rights, descriptor)), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    return _libc().syscall(ctypes.c_long(number), *arguments)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _refused() -> str:
    return f"Landlock refused: {os.strerror(ctypes.get_errno())}"
