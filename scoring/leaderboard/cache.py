"""Parsed logs, kept beside the output: a file is parsed once, whatever is scored from it."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from scoring.intervals import Floats
from scoring.leaderboard.measurements import FIELDS, Parsed, parse

NAME = ".logs.npz"

_FORMAT = 1
_KEY_BYTES = 16


@dataclass
class Cache:
    """What was parsed, by the content of the file and the metric that was read from it.

    Attributes:
        path: Where it is kept; None to keep nothing.
    """

    path: Path | None
    _old: dict[bytes, Parsed] = field(default_factory=dict)
    _used: dict[bytes, Parsed] = field(default_factory=dict)

    def parse(self, logs: Sequence[tuple[bytes, str]]) -> list[Parsed]:
        """`measurements.parse`, or what it said of the same content before.

        Args:
            logs: Files and the metrics that are read from them.
        """
        keys = [_key(raw, metric) for raw, metric in logs]
        new: dict[str, dict[bytes, bytes]] = {}
        for key, (raw, metric) in zip(keys, logs, strict=True):
            if key in self._old:
                self._used[key] = self._old[key]
            elif key not in self._used:
                new.setdefault(metric, {})[key] = raw
        for metric, raws in new.items():
            self._used |= zip(raws, parse(list(raws.values()), metric), strict=True)
        return [self._used[key] for key in keys]

    def save(self) -> None:
        """Keeps what was used; a folder that cannot be written is no reason to stop."""
        if self.path is None or self._used.keys() == self._old.keys():
            return
        arrays = [array for array, _ in self._used.values()]
        faults = [faults for _, faults in self._used.values()]
        partial = self.path.with_name(f"{self.path.name}.partial.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(
                    file,
                    version=np.array(_version()),
                    keys=np.frombuffer(b"".join(self._used), np.uint8),
                    lengths=np.array([len(array) for array in arrays], np.int64),
                    rows=np.concatenate([np.empty((0, len(FIELDS))), *arrays]),
                    faults=np.array(json.dumps(faults)),
                )
            partial.replace(self.path)
        except OSError:
            with suppress(OSError):
                partial.unlink()


def open_cache(path: Path | None) -> Cache:
    """The cache in that file; empty if there is none that can be read."""
    if path is None or not path.is_file():
        return Cache(path)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if str(file["version"]) != _version():
                return Cache(path)
            keys, rows = file["keys"].tobytes(), file["rows"]
            ends = np.cumsum(file["lengths"])
            faults = json.loads(str(file["faults"]))
    except Exception:  # noqa: BLE001 - a cache that is broken in whatever way is no cache
        return Cache(path)
    arrays = np.split(rows, ends[:-1])
    return Cache(path, _old=dict(zip(_split(keys), map(_parsed, arrays, faults), strict=True)))


def _key(raw: bytes, metric: str) -> bytes:
    return blake2b(raw, digest_size=_KEY_BYTES, key=metric.encode()[:64]).digest()


def _parsed(array: Floats, faults: Sequence[Sequence[str]]) -> Parsed:
    return array, [(what, action) for what, action in faults]


def _split(keys: bytes) -> list[bytes]:
    return [keys[start : start + _KEY_BYTES] for start in range(0, len(keys), _KEY_BYTES)]


def _version() -> str:
    """Changes when what is read of a log, or how, changes."""
    source = Path(__file__).with_name("measurements.py").read_bytes()
    return f"{_FORMAT}-{blake2b(source, digest_size=8).hexdigest()}"
