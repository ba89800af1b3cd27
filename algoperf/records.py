"""The results folder: its paths, its files, and what is read from them. No jax.

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

`recording` writes it: in the hidden folder `.trial_<k>.<n>.partial`, renamed when the trial has
ended. A folder `trial_<k>` is a whole trial. One that was repeated since its machine was slow has
other records beside it, in `.trial_<k>.<n>.aside`, which do not count.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algoperf.disk import file_sha256, plain, read_small, recording, write_json
from algoperf.errors import UserError
from algoperf.rules import Ruleset, WorkloadRules
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
ASIDE = ".aside"


def aside(trial: Path, number: int) -> Path:
    """Where the trial's `number`th record that does not count lies, from 1."""
    return trial.with_name(f".{trial.name}.{number}{ASIDE}")


def workload_folder(results: Path, submission: str, study: int, workload: str) -> Path:
    """Where the trials of a study on a workload lie."""
    return results / submission / f"study_{study}" / f"{workload}_{FRAMEWORK}"


def trial_name(trial: int) -> str:
    """The name of a finished trial's folder."""
    return f"trial_{trial}"


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
        repeat: How often it was recorded before, if it is to be repeated.
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
    repeat: int = 0

    @property
    def label(self) -> str:
        again = f", repeat {self.repeat}" if self.repeat else ""
        place = f"study {self.study}, trial {self.trial}"
        return f"{self.submission} on {self.workload}, {place}{again}"

    def folder(self, results: Path) -> Path:
        """Where the finished trial lies."""
        above = workload_folder(results, self.submission, self.study, self.workload)
        return above / trial_name(self.trial)

    def is_recorded(self, results: Path) -> bool:
        """Whether there is nothing left to do: of two records, one lies aside."""
        folder = self.folder(results)
        return folder.is_dir() and (not self.repeat or aside(folder, self.repeat).exists())


@dataclass(frozen=True)
class Beat:
    """A sign of life, for whoever watches the trial.

    Attributes:
        step: Updates done.
        time_s: Submission time [s].
        value: Latest validation metric; NaN before the first evaluation.
    """

    step: int
    time_s: float
    value: float


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        status: Its kind of ending.
        reason: One sentence.
        steps: Updates done; None if the trial could not tell any more.
    """

    status: Status
    reason: str
    steps: int | None


def finished(results: Path, submission: str) -> Iterator[str]:
    """Folders of the submission's finished trials.

    As text: of 148,500 trials, a fifth of the time of planning was that of making paths.
    """
    for study in _below(results / submission, "study_"):
        for workload in _below(study):
            yield from _below(workload, "trial_")


def every(results: Path) -> Iterator[str]:
    """Folders of all finished trials, as text."""
    for submission in _below(results):
        yield from finished(results, Path(submission).name)


def _below(folder: Path | str, prefix: str = "") -> Iterator[str]:
    """The folders in it whose names begin so; listed once, since there may be very many."""
    try:
        with os.scandir(folder) as entries:
            found = [e.path for e in entries if e.name.startswith(prefix) and e.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from found


def read_manifest(trial: Path | str) -> dict[str, Any] | None:
    """The trial's manifest; None if it is missing, unreadable or of another format."""
    try:
        manifest = json.loads(read_small(f"{trial}/{MANIFEST}"))
        if not _is_whole(manifest):
            return None
        manifest["ending"]["reason"] = printable(manifest["ending"].get("reason", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return manifest


def printable(text: str) -> str:
    """What a trial's process wrote or said, as every terminal and every log can take it."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether everything that is read of a manifest is there and is what it should be."""
    ending, workload = manifest["ending"], manifest["workload"]
    machine_id, calibration = manifest.get("machine_id"), manifest.get("calibration")
    best = manifest.get("calibration_best")
    return (
        manifest["format"] == FORMAT
        and manifest["ruleset"] in _RULESETS
        and ending["status"] in _STATUSES
        and isinstance(ending.get("reason", ""), str)
        and type(ending.get("steps")) in (int, type(None))
        and _is_name(manifest["submission"]["sha256"])
        and _is_name(workload["name"])
        and _is_name(manifest["rules"])
        and isinstance(workload["fixed"], dict)
        and isinstance(manifest.get("machine", {}), dict)
        and isinstance(manifest.get("versions", {}), dict)
        and (machine_id is None or isinstance(machine_id, str))
        and (calibration is None or _is_calibration(calibration))
        and (best is None or _is_calibration({"best": best}))
    )


_RULESETS = frozenset(map(str, Ruleset))
_STATUSES = frozenset(map(str, Status))


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and bool(text)


def _is_calibration(found: Mapping[str, Mapping[str, float]]) -> bool:
    moments = list(found.values())
    for moment in moments:
        if not moment or moment.keys() != moments[0].keys():
            return False
        for seconds in moment.values():
            if type(seconds) not in {int, float} or not 0 < seconds <= sys.float_info.max:
                return False
    return bool(moments)


def is_of(manifest: Mapping[str, Any], spec: TrialSpec) -> bool:
    """Whether the recorded trial is exactly the one that `spec` determines."""
    return (
        manifest["submission"]["sha256"] == spec.sha256
        and manifest.get("seed") == spec.seed
        and manifest.get("point") == plain(spec.point)
        and manifest["workload"]["fixed"] == recorded_form(spec.fixed)
    )


def recorded_form(fixed: WorkloadRules) -> Any:
    """How a manifest holds the targets, the budget and the step hint of a trial."""
    return plain(asdict(fixed))


def no_folder(folder: Path) -> UserError:
    """The error for a results folder that does not exist."""
    return UserError(
        f"There is no results folder {str(folder)!r}. `algoperf run` makes one (results/SUITE)."
    )


def claims(folder: Path) -> dict[Path, dict[str, Any] | None]:
    """Trials below `folder` that say they reached their target, with their manifests.

    One whose manifest cannot be read (None) says so by the parameters that it kept.

    Raises:
        UserError: If there is no such folder.
    """
    if not folder.is_dir():
        raise no_folder(folder)
    trials = (path.parent for path in sorted(folder.rglob(MANIFEST)))
    found = {
        trial: read_manifest(trial)
        for trial in trials
        if not trial.name.startswith(".")  # cut off before it was final
    }
    return {
        trial: manifest
        for trial, manifest in found.items()
        if (
            (trial / PARAMETERS).is_file()
            if manifest is None
            else manifest["ending"]["status"] == Status.TARGET_REACHED
        )
    }


def read_kept(trial: Path, manifest: Mapping[str, Any]) -> "dict[str, np.ndarray] | None":
    """What the trial kept of its last evaluation; None if the trial has none.

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
    with recording(path):
        write_json(path, {**verdict, "of": _verified_files(trial)})


def read_verdict(trial: Path | str) -> str:
    """What `algoperf verify` said of the trial as it is: "match", "mismatch" or "" for nothing."""
    try:
        kept = json.loads(read_small(f"{trial}/{VERDICT}"))
        return str(kept["verdict"]) if kept["of"] == _verified_files(Path(trial)) else ""
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
