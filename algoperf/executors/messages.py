"""What a trial's process says to the one that follows it. No jax.

As JSON: to unpickle what a submission's process sends would run its code outside of its sandbox.
"""

import json
import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from algoperf.records import Beat, printable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LONGEST = 1_000_000
"""How long a message may be, in bytes."""

_HEADER = struct.Struct("!i")  # multiprocessing's: the length of what follows
_AT_ONCE = 65_536
_MOST_STEPS = 2**63


class Unreadable(Exception):
    """What came is no message."""


@dataclass(frozen=True)
class Measured:
    """What a trial's process measures before it imports the submission.

    Attributes:
        machine_id: As `machine.fingerprint_id` says.
        before: The calibration.
    """

    machine_id: str
    before: Mapping[str, float]


@dataclass(frozen=True)
class Message:
    """What was said.

    Attributes:
        beat: A sign of life, if it is one.
        news: What a person should know.
        obstacle: Why the results folder cannot be written.
        lost: Which of the trial's other hosts is gone.
        timed_s: What the trial's clock says since it was made; 0 when it is made.
        compiled: What was measured, as the harness's own programs are compiled; the trial waits
            until they are taken over. Only the first comes before the submission is imported.
        ended: Whether the trial's record is written.
    """

    beat: Beat | None = None
    news: str = ""
    obstacle: str = ""
    lost: str = ""
    timed_s: float | None = None
    compiled: Measured | None = None
    ended: bool = False


def send(connection: "Connection[Any, Any]", message: Message) -> None:
    """Says something."""
    connection.send_bytes(json.dumps(asdict(message)).encode())


class Inbox:
    """What a trial's process says, taken without ever waiting for it.

    Whoever says half a message keeps nobody from looking after him, nor who never stops talking.

    Args:
        connection: The end of the one that listens; it no longer waits when it is read.
    """

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._descriptor = connection.fileno()
        self._text = bytearray()
        os.set_blocking(self._descriptor, False)

    def take(self) -> list[Message]:
        """What was said by now, as far as messages are whole and fit into one reading.

        Raises:
            EOFError: If nothing comes any more.
            Unreadable: If it is no message.
        """
        try:
            read = os.read(self._descriptor, _AT_ONCE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise EOFError from error
        if not read:
            raise EOFError
        self._text += read
        return list(self._messages())

    def _messages(self) -> Iterator[Message]:
        while len(self._text) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._text)
            if not 0 <= length <= LONGEST:
                raise Unreadable(f"a message of {length} bytes")
            end = _HEADER.size + length
            if len(self._text) < end:
                return
            text = bytes(self._text[_HEADER.size : end])
            del self._text[:end]
            yield _read(text)


def _read(text: bytes) -> Message:
    try:
        return _message(json.loads(text))
    except (
        ArithmeticError,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise Unreadable(str(error)) from error


def _message(said: dict[str, Any]) -> Message:
    beat, timed_s = said["beat"], said["timed_s"]
    if beat is not None:
        beat = Beat(int(beat["step"]), float(beat["time_s"]), float(beat["value"]))
        if not 0 <= beat.step < _MOST_STEPS or not math.isfinite(beat.time_s):
            raise ValueError(f"{beat}")
    return Message(
        beat=beat,
        news=printable(str(said["news"])),
        obstacle=printable(str(said["obstacle"])),
        lost=printable(str(said["lost"])),
        timed_s=None if timed_s is None else float(timed_s),
        compiled=None if said["compiled"] is None else _measured(**said["compiled"]),
        ended=bool(said["ended"]),
    )


def _measured(machine_id: str, before: dict[str, float]) -> Measured:
    seconds = {str(name): float(took) for name, took in before.items()}
    if not re.fullmatch("[0-9a-f]{12}", machine_id):  # it becomes part of a file's name
        raise ValueError(machine_id)
    if not (seconds and all(0 < took < math.inf for took in seconds.values())):
        raise ValueError(before)
    return Measured(machine_id, seconds)
