"""What a trial's process says to the one that follows it. No jax.

As JSON: to unpickle what a submission's process sends would run its code outside of its sandbox.
"""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from algoperf.records import Beat

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LONGEST = 1_000_000
"""How long a message may be, in bytes."""


class Unreadable(Exception):
    """What came is no message."""


@dataclass(frozen=True)
class Message:
    """What was said.

    Attributes:
        beat: A sign of life, if it is one.
        news: What a person should know.
        obstacle: Why the results folder cannot be written.
        lost: Which of the trial's other hosts is gone.
        timed_s: What the trial's clock says since it was made; 0 when it is made.
        compiled: Whether the harness's own programs are; the trial waits until they are taken over.
        ended: Whether the trial's record is written.
    """

    beat: Beat | None = None
    news: str = ""
    obstacle: str = ""
    lost: str = ""
    timed_s: float | None = None
    compiled: bool = False
    ended: bool = False


def send(connection: "Connection[Any, Any]", message: Message) -> None:
    """Says something."""
    connection.send_bytes(json.dumps(asdict(message)).encode())


def receive(connection: "Connection[Any, Any]") -> Message:
    """Waits for what is said next.

    Raises:
        EOFError, OSError: If nothing comes any more.
        Unreadable: If it is no message.
    """
    text = connection.recv_bytes(LONGEST)
    try:
        return _message(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def _message(said: dict[str, Any]) -> Message:
    beat, timed_s = said["beat"], said["timed_s"]
    if beat is not None:
        beat = Beat(int(beat["step"]), float(beat["time_s"]), float(beat["value"]))
    return Message(
        beat=beat,
        news=str(said["news"]),
        obstacle=str(said["obstacle"]),
        lost=str(said["lost"]),
        timed_s=None if timed_s is None else float(timed_s),
        compiled=bool(said["compiled"]),
        ended=bool(said["ended"]),
    )
