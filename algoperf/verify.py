"""Measures again what claims to have reached its target, without the submission's code.

A trial keeps the parameters with which it reached its target. Here they are evaluated by the
harness's own workload, in a process in which no submission was ever imported.
"""

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from algoperf import machine, parameters, records, registry
from algoperf.disk import now
from algoperf.errors import UserError
from algoperf.spec import Split, Target
from algoperf.trial import machine_facts
from algoperf.workload import Evaluator, Workload, model_shapes

SAME_MACHINE = 1e-5
"""How far a metric may be from the one recorded on the same machine, relative to that."""

OTHER_MACHINE = 1e-2
"""How far it may be from one recorded elsewhere: other hardware adds up in another order, and an
accuracy may differ by an example."""


Measured = tuple[Workload, Evaluator]


class Verdict(StrEnum):
    """What verification found."""

    MATCH = "match"
    MISMATCH = "mismatch"
    NOT_KEPT = "parameters not kept"


@dataclass(frozen=True)
class Finding:
    """What verification found of one trial.

    Attributes:
        trial: Its folder.
        verdict: Whether the recorded result repeats.
        reason: One sentence.
        recorded: Metrics of the last evaluation, as recorded.
        measured: The same, measured now; empty if they could not be.
    """

    trial: Path
    verdict: Verdict
    reason: str
    recorded: Mapping[str, float]
    measured: Mapping[str, float]


def verify(folder: Path, tell: Callable[[Finding], None]) -> list[Finding]:
    """Measures every trial below `folder` that claims its target, and records the verdicts.

    Args:
        folder: A results folder, or any folder in one.
        tell: Called with each finding as it is made.

    Raises:
        UserError: If there is no such folder, or no trial in it claims anything.
    """
    claims = records.claims(folder)
    if not claims:
        raise UserError(
            f"No trial below {folder} says that it reached its target. There is nothing to verify."
        )
    evaluators: dict[str, Measured] = {}
    here = machine_facts()["machine_id"]
    found = []
    for trial, manifest in claims.items():
        finding = _finding(trial, manifest, evaluators, here)
        if finding.verdict is not Verdict.NOT_KEPT:
            told = {k: v for k, v in asdict(finding).items() if k != "trial"}
            about = {"when": now(), "machine_id": here, "versions": machine.versions()}
            records.write_verdict(trial, {**told, **about})
        tell(finding)
        found.append(finding)
    return found


def _finding(
    trial: Path,
    manifest: Mapping[str, Any] | None,
    evaluators: dict[str, Measured],
    here: str,
) -> Finding:
    recorded: dict[str, float] = {}

    def mismatch(reason: str, measured: Mapping[str, float] | None = None) -> Finding:
        return Finding(trial, Verdict.MISMATCH, reason, recorded, measured or {})

    if manifest is None:
        return mismatch(f"{records.MANIFEST} cannot be read, and it kept parameters")
    try:
        recorded |= _last(trial)
        target = Target(**manifest["workload"]["fixed"]["validation"])
        kept = records.read_kept(trial, manifest)
        if kept is None and "sandbox" not in manifest and "parameters_sha256" not in manifest:
            return Finding(trial, Verdict.NOT_KEPT, "from before they were kept", recorded, {})
        if kept is None:
            return mismatch(f"{records.PARAMETERS} is missing: every such trial keeps it")
        workload, evaluator = _workload(manifest, evaluators)
        if target.metric not in workload.metrics:
            return mismatch(f"the workload does not measure {target.metric!r}")
        if workload.dataset.sha256 != manifest["workload"].get("dataset_sha256"):
            return mismatch("the data are not those that it was run on")
        params, model_state = parameters.restored(kept, model_shapes(workload))
    except (KeyError, TypeError) as error:
        return mismatch(f"an entry of its manifest is missing or malformed: {error!r}")
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        return mismatch(str(error))
    measured = {
        f"{name}/{metric}": value
        for name, split in (("validation", Split.VALIDATION), ("test", Split.TEST))
        for metric, value in evaluator(params, model_state, split).items()
    }
    same = manifest.get("machine_id") == here
    if faults := list(_faults(measured, recorded, target, same)):
        return mismatch("; ".join(faults), measured)
    within = f"to {SAME_MACHINE if same else OTHER_MACHINE:g}"
    return Finding(trial, Verdict.MATCH, f"measured again, {within}", recorded, measured)


def _workload(manifest: Mapping[str, Any], evaluators: dict[str, Measured]) -> Measured:
    """The harness's workload of the trial; one evaluator, and so one compilation, serves all."""
    name = manifest["workload"]["name"]
    if name not in evaluators:
        try:
            workload = registry.workload(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        evaluators[name] = workload, Evaluator(workload)
    return evaluators[name]


def _last(trial: Path) -> dict[str, float]:
    """Validation and test metrics of the last evaluation."""
    try:
        rows = records.read_measurements(trial)
    except ValueError as error:  # pandas' parsers' errors are such
        raise ValueError(f"{records.MEASUREMENTS} cannot be read: {str(error).strip()}") from None
    last = rows.iloc[-1].to_dict() if len(rows) else {}
    return {
        str(name): float(value)
        for name, value in last.items()
        if str(name).startswith(("validation/", "test/")) and not str(name).endswith("num_examples")
    }


def _faults(
    measured: Mapping[str, float], recorded: Mapping[str, float], target: Target, same: bool
) -> Iterator[str]:
    """What does not repeat, in words."""
    value = measured[f"validation/{target.metric}"]
    if not target.met(value):
        yield f"validation {target.metric} is {value:.6g}, which misses the target {target.value:g}"
    tolerance = SAME_MACHINE if same else OTHER_MACHINE
    for name, now_is in measured.items():
        was = recorded.get(name, math.nan)
        if not math.isclose(now_is, was, rel_tol=tolerance, abs_tol=1e-12):
            yield f"{name} is {now_is:.6g}, recorded is {was:.6g}"
