"""Writing so that a kill or a power cut between any two writes leaves something whole. No jax.

And reading and removing what a trial's process wrote, which may be anything.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from algoperf.errors import UserError


class CannotRecord(UserError):
    """The results folder cannot be written; no fault of the submission's."""


CURE = (
    "Nothing that was recorded is lost; mend it, or give another folder with --results, and run "
    "the same command again."
)

ROOM_BYTES = 10_000_000_000
"""How much room is enough for whatever a trial may have to write next."""

_TRY_BYTES = 1_000_000
"""How much is written to find out whether a disk takes anything."""

SMALL_BYTES = 20_000_000
"""The longest file that is read into memory as a whole."""


@contextmanager
def recording(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses below `path` into `CannotRecord`."""
    try:
        yield
    except OSError as error:
        raise CannotRecord(f"Cannot write {path}: {error.strerror or error}. {CURE}") from error


def is_full(error: CannotRecord) -> bool:
    """Whether it is for want of room."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def has_room(folder: Path) -> bool:
    """Whether a file can be written in a folder, and its disk is far from full."""
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".room.") as file:
            file.write(bytes(_TRY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        return shutil.disk_usage(folder).free >= ROOM_BYTES
    except OSError:
        return False


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path`, whole and on the disk, when it is closed."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with suppress(OSError):  # of a full disk, what was written would take the last of it
            partial.unlink()
        raise
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Strict JSON, in one move."""
    with replacing(path) as file:
        file.write(json.dumps(plain(value), indent=2, allow_nan=False).encode() + b"\n")


def plain(value: Any) -> Any:
    """`value` in strict JSON: NumPy's numbers become Python's, and null if not finite."""
    value = value.item() if hasattr(value, "dtype") and hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_FLAGS = ("O_RDONLY", "O_NONBLOCK", "O_NOCTTY", "O_BINARY")
READING = sum(getattr(os, name, 0) for name in _FLAGS)  # as far as the system has them
"""Nobody waits for who would write into what turns out to be a pipe."""


def read_small(path: Path | str, most: int = SMALL_BYTES) -> bytes:
    """What a file holds.

    Raises:
        OSError: If it cannot be read, is no file, or is longer than `most` bytes.
    """
    descriptor = os.open(path, READING)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes", str(path))
        content = os.read(descriptor, found.st_size)
        # All at once, but for some network file systems.
        while len(content) < found.st_size and (more := os.read(descriptor, found.st_size)):
            content += more
        return content
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """What a file holds; None if there is none or it is damaged."""
    try:
        return json.loads(read_small(path))
    except (OSError, ValueError, RecursionError):
        return None


def entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where there is none."""
    return list(folder.iterdir()) if folder.is_dir() else []


def below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All that lies in a folder, however deep; nothing where there is none (any more).

    Raises:
        OSError: If a folder cannot be read, or lies so deep that the system has no path for it.
    """
    left = [os.fspath(folder)]
    while left:
        with suppress(FileNotFoundError), os.scandir(left.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)


def remove(path: Path) -> None:
    """Removes a file or a folder, whatever is in it, if there is one.

    Folders are moved up before they are emptied: neither a path nor the stack grows with depth.

    Raises:
        OSError: If it cannot be removed.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    folders = [path]
    for folder in folders:  # it grows meanwhile
        _open_up(folder)
        with os.scandir(folder) as entries:
            found = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for inner, is_folder in found:
            if not is_folder:
                inner.unlink()
            elif folder == path:
                folders.append(inner)
            else:
                _open_up(inner)
                folders.append(inner.rename(path / uuid.uuid4().hex))
    for folder in reversed(folders):
        folder.rmdir()


def _open_up(folder: Path) -> None:
    with suppress(PermissionError):  # another's, who may let us write there all the same
        folder.chmod(stat.S_IRWXU)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    """The time of day, for the record: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
