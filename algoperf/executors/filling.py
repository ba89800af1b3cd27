"""How much a trial may write: it must not fill the disk that others write to. No jax."""

import errno
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from algoperf import disk
from algoperf.records import OUTPUT, PARAMETERS

OUTPUT_LIMIT_BYTES = 100_000_000
"""How much a trial may print."""

WRITTEN_LIMIT_BYTES = 1_000_000_000
"""How much a trial may write besides what the harness keeps of it."""

FILES_LIMIT = 100_000
"""How many files and folders may lie where a trial may write."""

SIZE_POLL_S = 10.0
"""How often the size of what a trial wrote is measured."""

_HARNESS = re.compile(rf"\.?(checkpoint_\d+\.npz|{re.escape(PARAMETERS)})(\.partial)?")
_MOST_OF_HARNESS = 4  # two checkpoints, one that is being written, and the parameters

_BLOCK = 512  # of `st_blocks`, whatever the disk's own are


class Filling:
    """Tells when a trial has written too much.

    Args:
        record: Its folder in the results folder; need not exist yet.
        others: The other folders that it may write.
        now: Clock [s].
    """

    def __init__(
        self, record: Path, others: Iterable[Path], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._record = record
        self._others = tuple(others)
        self._now = now
        self._looked = now()
        self._before = 0
        with suppress(OSError):
            self._before = self._written() or 0  # compilations stay from trial to trial

    def over(self) -> str:
        """Why the trial has to be ended; empty as long as it has not. To be asked at every turn."""
        if self._printed() > OUTPUT_LIMIT_BYTES:
            return f"it printed more than {OUTPUT_LIMIT_BYTES:,} bytes"
        now = self._now()
        if now - self._looked < SIZE_POLL_S:
            return ""
        self._looked = now
        try:
            written = self._written()
        except OSError as error:
            hidden = error.errno in (errno.EACCES, errno.ENAMETOOLONG)
            return f"it made files that cannot be seen: {error.strerror}" if hidden else ""
        if written is None:
            return f"it made more than {FILES_LIMIT:,} files"
        if written - self._before > WRITTEN_LIMIT_BYTES:
            return f"it wrote more than {WRITTEN_LIMIT_BYTES:,} bytes besides its checkpoints"
        return ""

    def _printed(self) -> int:
        try:
            return (self._record / OUTPUT).stat().st_size
        except OSError:  # not begun, or just finished
            return 0

    def _written(self) -> int | None:
        """Bytes on the disk but for the harness's; None if there are too many files to count."""
        written, files = 0, 0
        harness: list[int] = []
        for folder in (self._record, *self._others):
            for entry in disk.below(folder):
                files += 1
                if files > FILES_LIMIT:
                    return None
                try:
                    found = entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                except FileNotFoundError:
                    continue
                if folder == self._record and self._is_harness(entry):
                    harness.append(found)
                else:
                    written += found
        return written + sum(sorted(harness)[:-_MOST_OF_HARNESS])

    def _is_harness(self, entry: os.DirEntry[str]) -> bool:
        direct = entry.path == os.path.join(self._record, entry.name)  # noqa: PTH118 - text is faster
        return direct and _HARNESS.fullmatch(entry.name) is not None
