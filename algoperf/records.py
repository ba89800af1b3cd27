"""The results folder: the only module that knows its paths and files. No jax.

    <results>/<submission>/study_<n>/<workload>_jax/trial_<k>/
        eval_measurements.csv   a row an evaluation; MLCommons' columns, and ours
        <table>.csv             what else the workload writes at every evaluation, if anything
        hparams.json            the hyperparameter point
        meta_data_0.json        what MLCommons' tools read: workload, system, seed
        manifest.json           everything else, so that a trial explains itself
        submission.py           the source that was run
        submission_files/       what else belongs to it, if anything
        output.txt              what the submission printed
        reached.npz             parameters and model state with which it reached its target
        verification.json       what `algoperf verify` found when it measured them again
        traceback.txt           if it failed

A trial is written in the hidden folder `.trial_<k>.partial` and renamed when it has ended: a
folder `trial_<k>` is a whole trial.
"""

import csv
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algoperf import machine, sources
from algoperf.errors import UserError
from algoperf.rulesets import Ruleset, WorkloadRules
from algoperf.spec import Status
from algoperf.tuning import Point

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT = 1
MEASUREMENTS = "eval_measurements.csv"
HYPERPARAMETERS = "hparams.json"
META_DATA = "meta_data_0.json"
MANIFEST = "manifest.json"
SOURCE = "submission.py"
SOURCES = "submission_files"
OUTPUT = "output.txt"
TRACEBACK = "traceback.txt"
PARAMETERS = "reached.npz"
VERDICT = "verification.json"
FRAMEWORK = "jax"


def trial_folder(results: Path, submission: str, study: int, workload: str, trial: int) -> Path:
    """Where a finished trial lies."""
    study_folder = results / submission / f"study_{study}"
    return study_folder / f"{workload}_{FRAMEWORK}" / f"trial_{trial}"


@dataclass(frozen=True)
class TrialSpec:
    """One training run, fully determined.

    Attributes:
        submission: Its name.
        path: Its file.
        sha256: Hash of the file.
        workload: Name.
        study: Number from 1.
        trial: Number from 1 within its study.
        seed: Root of all randomness.
        point: Hyperparameters; None in self-tuning.
        ruleset: External or self-tuning.
        rules: Name of the rules.
        fixed: Targets, budget and step hint for this trial.
    """

    submission: str
    path: Path
    sha256: str
    workload: str
    study: int
    trial: int
    seed: int
    point: Point | None
    ruleset: Ruleset
    rules: str
    fixed: WorkloadRules

    @property
    def label(self) -> str:
        return f"{self.submission} on {self.workload}, study {self.study}, trial {self.trial}"

    def folder(self, results: Path) -> Path:
        """Where the finished trial lies."""
        return trial_folder(results, self.submission, self.study, self.workload, self.trial)


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        status: One of the five.
        reason: One sentence.
        steps: Updates done; None if the trial could not tell any more.
    """

    status: Status
    reason: str
    steps: int | None


class CannotRecord(UserError):
    """The results folder cannot be written; no fault of the submission's."""


@contextmanager
def _recording(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotRecord(
            f"Cannot write {path}: {error.strerror or error}. Nothing that was recorded is lost; "
            "mend it, or give another folder with --results, and run the same command again."
        ) from error


class TrialRecord:
    """A trial's folder while it is written. All methods raise `CannotRecord`."""

    def __init__(self, spec: TrialSpec, results: Path) -> None:
        self.spec = spec
        self.final = spec.folder(results)
        self.folder = self.final.with_name(f".{self.final.name}.partial")
        self._columns: dict[str, list[str]] = {}

    def begin(self) -> None:
        """An empty folder with source and point; what an earlier attempt left is dropped.

        Raises also if the submission's file is not the one that was planned with.
        """
        point = {} if self.spec.point is None else dict(self.spec.point)
        source, *others = _source(self.spec).items()
        with _recording(self.folder):
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True)
            (self.folder / SOURCE).write_bytes(source[1])
            for name, content in others:
                beside = self.folder / SOURCES / name
                beside.parent.mkdir(parents=True, exist_ok=True)
                beside.write_bytes(content)
            _write_json(self.folder / HYPERPARAMETERS, point)

    def append(self, row: Mapping[str, float | int]) -> None:
        """Adds an evaluation; the columns are the first row's, in alphabetical order."""
        self._append(MEASUREMENTS, sorted(row), [row])

    def append_table(self, name: str, table: Mapping[str, Sequence[Any]]) -> None:
        """Adds rows to `<name>.csv`, given as columns; the first call's names and order count."""
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        self._append(f"{name}.csv", list(table), rows)

    def _append(self, file: str, columns: list[str], rows: Sequence[Mapping[str, Any]]) -> None:
        path = self.folder / file
        lines = [] if file in self._columns else [columns]
        columns = self._columns.setdefault(file, columns)
        with _recording(path), path.open("a", newline="") as opened:
            writer = csv.writer(opened, lineterminator="\n")
            # In one piece for each evaluation: a reader never sees half a row.
            writer.writerows([*lines, *([row[column] for column in columns] for row in rows)])

    def keep(self, arrays: Mapping[str, "np.ndarray"]) -> None:
        """Keeps the arrays with which the target was reached; verification measures them again."""
        import numpy as np  # planning a run does not need it

        with _recording(self.folder), (self.folder / PARAMETERS).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def fail(self, traceback: str) -> None:
        """Keeps the traceback of what went wrong."""
        with _recording(self.folder):
            (self.folder / TRACEBACK).write_text(traceback)

    def finish(self, ending: Ending, facts: Mapping[str, Any]) -> Path:
        """Writes the manifest and makes the trial final.

        Args:
            ending: How it ended.
            facts: What else is known: `machine`, `workload`, `clock`, ...
        """
        with _recording(self.folder):
            if (measurements := self.folder / MEASUREMENTS).exists():
                _sync(measurements)
            kept = self.folder / PARAMETERS
            if kept.exists():
                _sync(kept)
                facts = {**facts, "parameters_sha256": file_sha256(kept)}
            _write_json(self.folder / META_DATA, _meta_data(self.spec, facts))
            _write_json(self.folder / MANIFEST, _manifest(self.spec, ending, facts))
            _sync(self.folder)
            self.folder.rename(self.final)
            _sync(self.final.parent)
        return self.final


def _source(spec: TrialSpec) -> dict[str, bytes]:
    """The submission's files, which have to be what they were when the trial was planned."""
    try:
        contents = sources.read(spec.path)
    except OSError as error:
        raise CannotRecord(f"{spec.path} cannot be read any more: {error.strerror}.") from error
    if sources.digest(contents) != spec.sha256:
        raise CannotRecord(
            f"{spec.path} was changed while its trials were run. Those recorded are of the version "
            f"before: move {spec.submission!r} in the results folder away, and run it again."
        )
    return contents


def _manifest(spec: TrialSpec, ending: Ending, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "submission": {"name": spec.submission, "file": spec.path.name, "sha256": spec.sha256},
        "workload": {
            "name": spec.workload,
            "fixed": asdict(spec.fixed),
            **facts.get("workload", {}),
        },
        "rules": spec.rules,
        "ruleset": spec.ruleset,
        "study": spec.study,
        "trial": spec.trial,
        "seed": spec.seed,
        "point": spec.point,
        "ending": asdict(ending),
        "versions": machine.versions(),
        **{key: value for key, value in facts.items() if key != "workload"},
    }


def _meta_data(spec: TrialSpec, facts: Mapping[str, Any]) -> dict[str, Any]:
    system = facts.get("machine", {})
    return {
        "workload.target_metric_name": spec.fixed.validation.metric,
        "workload.validation_target_value": spec.fixed.validation.value,
        "workload.test_target_value": spec.fixed.test.value,
        "workload.max_allowed_runtime_sec": spec.fixed.budget_s,
        "workload.step_hint": spec.fixed.step_hint,
        "cpu_model_name": system.get("cpu"),
        "cpu_count": system.get("cores"),
        "os_platform": system.get("system"),
        "python_version": machine.versions()["python"],
        "rng_seed": spec.seed,
    }


def file_sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    """The time of day, for the record: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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


def _write_json(path: Path, value: Any) -> None:
    with path.open("w") as file:
        json.dump(plain(value), file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(results: Path) -> Iterator[None]:
    """Holds the results folder: two runs on one folder would run trials twice.

    The lock is the operating system's, so it ends with the process that holds it.

    Raises:
        UserError: If another process holds it.
    """
    import fcntl  # not on Windows, where results can still be scored

    with _recording(results):
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / ".lock").open("a+")
    with lock:
        try:
            with _recording(results / ".lock"):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except CannotRecord as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            raise UserError(
                f"Another run is using {results}. Wait for it, or give another folder with "
                "--results."
            ) from None
        yield


def finished(results: Path, submission: str) -> Iterator[Path]:
    """Folders of the submission's finished trials."""
    yield from (results / submission).glob("study_*/*/trial_*")


def read_manifest(trial: Path) -> dict[str, Any] | None:
    """The trial's manifest; None if it is missing, unreadable or of another format."""
    try:
        manifest = json.loads((trial / MANIFEST).read_text())
        return manifest if _is_whole(manifest) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether everything that is read of a manifest is there and is what it should be."""
    Ruleset(manifest["ruleset"])
    Status(manifest["ending"]["status"])
    machine_id, calibration = manifest.get("machine_id"), manifest.get("calibration")
    return (
        manifest["format"] == FORMAT
        and all(
            isinstance(text, str) and text
            for text in (
                manifest["submission"]["sha256"],
                manifest["workload"]["name"],
                manifest["rules"],
            )
        )
        and isinstance(manifest["workload"]["fixed"], dict)
        and all(isinstance(manifest.get(key, {}), dict) for key in ("machine", "versions"))
        and (machine_id is None or isinstance(machine_id, str))
        and (calibration is None or _is_calibration(calibration))
    )


def _is_calibration(found: Mapping[str, Mapping[str, float]]) -> bool:
    pieces = [set(moment) for moment in found.values()]
    seconds = [value for moment in found.values() for value in moment.values()]
    return (
        len(pieces) > 0
        and all(own == pieces[0] and own for own in pieces)
        and all(type(value) in (int, float) and 0 < value < math.inf for value in seconds)
    )


def is_of(manifest: Mapping[str, Any], spec: TrialSpec) -> bool:
    """Whether the recorded trial is exactly the one that `spec` determines."""
    return (
        manifest["submission"]["sha256"] == spec.sha256
        and manifest["seed"] == spec.seed
        and manifest["point"] == plain(spec.point)
        and same_fixed(manifest, spec.fixed)
    )


def same_fixed(manifest: Mapping[str, Any], fixed: WorkloadRules) -> bool:
    """Whether the recorded trial had these targets, this budget and this step hint."""
    return manifest["workload"]["fixed"] == plain(asdict(fixed))


def claims(folder: Path) -> dict[Path, dict[str, Any]]:
    """Trials below `folder` that say they reached their target, with their manifests.

    Raises:
        UserError: If there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"There is no results folder {str(folder)!r}.")
    found = {path.parent: read_manifest(path.parent) for path in sorted(folder.rglob(MANIFEST))}
    return {
        trial: manifest
        for trial, manifest in found.items()
        if manifest and manifest["ending"]["status"] == Status.TARGET_REACHED
    }


def read_kept(trial: Path, manifest: Mapping[str, Any]) -> "dict[str, np.ndarray] | None":
    """What `TrialRecord.keep` kept; None if the trial has none.

    Raises:
        ValueError: If the file is not the one that the manifest names, or is broken.
    """
    import numpy as np

    path = trial / PARAMETERS
    if not path.is_file():
        return None
    if file_sha256(path) != manifest.get("parameters_sha256"):
        raise ValueError(f"{PARAMETERS} is not the file that the trial wrote")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def write_verdict(trial: Path, verdict: Mapping[str, Any]) -> None:
    """Records what verification found, and of what; a reader never sees half of it."""
    path = trial / VERDICT
    partial = path.with_name(f".{path.name}.partial")
    with _recording(path):
        _write_json(partial, {**verdict, "of": _verified_files(trial)})
        partial.replace(path)


def read_verdict(trial: Path) -> str:
    """What `algoperf verify` said of the trial as it is: "match", "mismatch" or "" for nothing."""
    try:
        kept = json.loads((trial / VERDICT).read_text())
        return str(kept["verdict"]) if kept["of"] == _verified_files(trial) else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _verified_files(trial: Path) -> dict[str, str | int]:
    """Identifies what a verdict is about. The parameters' hash is in the manifest."""
    kept = trial / PARAMETERS
    hashed = (path for name in (MEASUREMENTS, MANIFEST) if (path := trial / name).is_file())
    return {
        **{path.name: file_sha256(path) for path in hashed},
        PARAMETERS: kept.stat().st_size if kept.is_file() else 0,
    }


def read_measurements(trial: Path) -> "pd.DataFrame":
    """The trial's evaluations, a row each.

    Raises:
        FileNotFoundError: If it made none.
    """
    import pandas as pd  # a second of import that planning a run does not need

    return pd.read_csv(trial / MEASUREMENTS)
