"""Where a trial was cut off and went on, told in its folder, and its signs of life. No jax."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from algoperf.disk import now, read_json, read_small, write_json

ATTEMPTS = "attempts.json"
BEAT = "beat"
FILES = {ATTEMPTS, BEAT}

Attempts = list[dict[str, Any]]
"""For each time that the trial was cut off: when and at which step it went on, how many steps and
seconds were done again (None if unknown), which checkpoints could not be used and why."""


def read(folder: Path) -> Attempts:
    """Those told of in a trial's folder."""
    found = read_json(folder / ATTEMPTS)
    return found if isinstance(found, list) else []


def add(
    folder: Path, earlier: Attempts, at: Mapping[str, Any] | None, passed_over: Sequence[str]
) -> Attempts:
    """Tells in a trial's folder of one more; raises `OSError`.

    Args:
        folder: The trial's.
        earlier: Those before.
        at: The facts of the checkpoint from which it goes on: `step` and `submission_s`; None for
            the beginning.
        passed_over: Checkpoints that could not be used, and why.

    Returns:
        All of them.
    """
    step, since_s = (0, 0.0) if at is None else (at["step"], at["submission_s"])
    reached, reached_s = _last_beat(folder, len(earlier))
    attempt = {
        "when": now(),
        "step": step,
        "repeated_steps": None if reached is None else max(reached - step, 0),
        "repeated_s": None if reached_s is None else max(reached_s - since_s, 0.0),
        "passed_over": list(passed_over),
    }
    told = [*earlier, attempt]
    write_json(folder / ATTEMPTS, told)
    return told


def news_of(attempt: Mapping[str, Any]) -> str:
    """What is told of an attempt to whoever watches."""
    step = attempt["step"]
    again = f"it was cut off, and goes on from step {step}" if step else "it starts again"
    return "; ".join([*attempt["passed_over"], again])


def beat(folder: Path, attempt: int, step: int, submission_s: float) -> None:
    """Leaves a sign of life, from which a later attempt learns how much it does again."""
    (folder / BEAT).write_text(f"{attempt} {step} {submission_s!r}\n")


def _last_beat(folder: Path, attempt: int) -> tuple[int, float] | tuple[None, None]:
    """Step and submission time [s] at the attempt's last sign of life, if it gave any."""
    try:
        of, step, submission_s = read_small(folder / BEAT, 1000).split()
        if int(of) == attempt:
            return int(step), float(submission_s)
    except (OSError, ValueError):
        pass
    return None, None
