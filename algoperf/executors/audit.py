"""Compares what a trial's record says with what was heard while it ran. No jax.

The record is written by the trial's process, and a submission may come to master that. What it can
not change is how long the process ran, and what was said before the submission was imported.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from algoperf.accounts import SUBMISSION, Account
from algoperf.executors.messages import Measured, Message
from algoperf.executors.second_clock import SecondClock
from algoperf.records import MEASUREMENTS, PARAMETERS, TrialSpec, read_manifest
from algoperf.spec import Status

LARGEST = 100_000_000
"""How large the table of evaluations may be [bytes]."""

_ROUNDING = {"rel_tol": 1e-6, "abs_tol": 1e-3}
"""How far sums of seconds may differ that the same clock measured."""

_EXACT = 1e-9


class Audit:
    """All that counts of what a trial said.

    Attributes:
        clock: The second clock.
        measured: What was measured before the submission was imported; None before that.
    """

    def __init__(self) -> None:
        self.clock = SecondClock()
        self.measured: Measured | None = None

    def hear(self, message: Message) -> bool:
        """Takes note of what was said; returns whether the submission is about to be imported."""
        self.clock.hear(message.timed_s)
        if message.compiled is None or self.measured is not None:
            return False
        self.measured = message.compiled
        return True

    def fault(self, spec: TrialSpec, folder: Path) -> str:
        """What in the record of a trial that ended cannot be; empty if nothing is."""
        manifest = read_manifest(folder)
        if manifest is None or manifest["ending"]["status"] == Status.FAILED:
            return ""  # the one is found elsewhere, the other claims nothing
        said_s = self.clock.said_s
        if said_s is None or self.measured is None:
            return _forged("its clock was never read")
        try:
            found = _faults(manifest, folder, spec, said_s, self.measured)
            return next(map(_forged, found), "")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return _forged(f"an entry of it is missing or malformed: {error!r}")


def _forged(what: str) -> str:
    return f"the record cannot be right, {what}: the submission changed it, which the rules forbid"


def _faults(
    manifest: Mapping[str, Any], folder: Path, spec: TrialSpec, said_s: float, measured: Measured
) -> Iterator[str]:
    if manifest["machine_id"] != measured.machine_id:
        yield "it names another machine"
    if measured.before not in manifest["calibration"].values():
        yield "it lacks the calibration from before the submission was imported"
    clock = manifest["clock"]
    total_s, submission_s = float(clock["total_s"]), float(clock["submission_s"])
    accounts = {Account(name): float(seconds) for name, seconds in clock["accounts"].items()}
    if not all(-_EXACT <= seconds < math.inf for seconds in accounts.values()):
        yield "an account of its clock is no time"
    if not math.isclose(sum(accounts.values()), total_s, **_ROUNDING):
        yield "the accounts of its clock do not add up"
    if not math.isclose(
        sum(accounts.get(name, 0.0) for name in SUBMISSION), submission_s, **_ROUNDING
    ):
        yield "its submission time is not that of the accounts"
    if not total_s >= said_s - _ROUNDING["abs_tol"]:  # more where it was cut off before
        yield f"it lasted {said_s:.1f} s, and {total_s:.1f} s are written"
    yield from _faults_of_evaluations(manifest, folder, spec, submission_s, total_s)


def _faults_of_evaluations(
    manifest: Mapping[str, Any], folder: Path, spec: TrialSpec, submission_s: float, total_s: float
) -> Iterator[str]:
    target = spec.fixed.validation
    last, reached = (0.0, 0.0, 0.0), False
    for row in _evaluations(folder):
        times = (row["score"], row["total_duration"], row["global_step"])
        if reached:
            yield "there are evaluations after the one that met the target"
        if (
            row["score"] != row["accumulated_submission_time"]
            or not row["score"] <= row["total_duration"]
        ):
            yield "an evaluation's times contradict each other"
        if not all(now >= before for now, before in zip(times, last, strict=True)):
            yield "its evaluations are not in order"
        last, reached = times, target.met(row[f"validation/{target.metric}"])
    if not (last[0] <= submission_s + _EXACT and last[1] <= total_s + _EXACT):
        yield "its last evaluation is later than the end of the trial"
    if reached != (manifest["ending"]["status"] == Status.TARGET_REACHED):
        yield "its evaluations and its ending disagree on whether the target was met"
    if reached and not math.isclose(last[0], submission_s, abs_tol=_EXACT):
        yield f"it met the target after {last[0]:.3f} s, and used {submission_s:.3f} s"
    if reached and not (folder / PARAMETERS).is_file():
        yield f"there is no {PARAMETERS}"


def _evaluations(folder: Path) -> Iterator[dict[str, float]]:
    """The rows of the trial's evaluations; none if it made none."""
    path = folder / MEASUREMENTS
    if not path.exists():
        return
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{MEASUREMENTS} of {path.stat().st_size:,} bytes")
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            yield {name: float(value) for name, value in row.items()}
