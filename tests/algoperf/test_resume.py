"""A trial that was cut off and goes on is the trial that was never stopped, bit for bit."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algoperf import machine, registry, running, trial
from algoperf.accounts import SUBMISSION
from algoperf.errors import TrainingComplete
from algoperf.loading import Submission
from algoperf.recording import TrialRecord
from algoperf.records import TrialSpec, read_measurements
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.spec import Split
from algoperf.submission import Algorithm
from algoperf.workload import Extra, Workload
from tests import killed, tiny
from tests.algoperf.conftest import SGD, Time
from tests.small_data import ready
from tests.states import ALGORITHMS, bits


class Cut(BaseException):
    """The process is gone, as far as a test within one process can have it."""


TIMES = ("_time", "total_duration", "score", "preemption_count")


def told(rows: pd.DataFrame) -> pd.DataFrame:
    """All that a resumed trial has to have in common with one that was not stopped."""
    return rows[[name for name in rows.columns if not name.endswith(TIMES)]]


@dataclasses.dataclass
class Bench:
    """Runs one trial in pieces."""

    folder: Path
    patch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self.source = self.folder / "source.py"
        self.source.write_text("")
        self.news: list[str] = []
        self.final: Any = None

    def record(self, workload: Workload, results: str, claim: int = 1, seed: int = 0):
        fixed = WorkloadRules(
            workload.validation, workload.test, workload.budget_s, workload.step_hint
        )
        spec = TrialSpec(
            "source", self.source, registry.source_hash(self.source), "tiny", 1, 1, seed, None,
            Ruleset.SELF_TUNING, "tests", fixed,
        )  # fmt: skip
        return TrialRecord(spec, self.folder / results, claim)

    def attempt(
        self, algorithm: Algorithm, workload: Workload, results: str, cut: int | None, claim=1
    ) -> Path | None:
        """Runs until the step `cut`; the finished folder, or None if it was cut off."""

        def update(view, train, batch, key, progress):
            if progress.step == cut:
                raise Cut
            try:
                return algorithm.update(view, train, batch, key, progress)
            except TrainingComplete:
                self.final = train
                raise

        watched = dataclasses.replace(algorithm, update=update)
        submission = Submission("source", self.source, "0", "", None, watched)
        self.patch.setattr(registry, "workload", lambda _: workload)
        self.patch.setattr(trial, "load", lambda _: submission)
        record = self.record(workload, results, claim)
        record.begin()
        try:
            ending, facts = trial.run(
                record.spec, record, trial.Listener(tell=self.news.append), clock_now=Time(1e-3)
            )
        except Cut:
            return None
        return record.finish(ending, facts)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(running, "CHECKPOINT_SHARE", float("inf"))
    monkeypatch.setattr(machine, "CALIBRATION_S", 0.0)
    return Bench(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "name", ["short", *(pytest.param(n, marks=pytest.mark.slow) for n in ("everything", "average"))]
)
def test_it_goes_on_as_if_it_had_never_been_stopped(bench, name):
    workload = tiny.unreachable_for(24)
    whole = bench.attempt(ALGORITHMS[name], workload, "whole", None)
    wanted = bits(bench.final)
    for cut in (8, 13):
        assert bench.attempt(ALGORITHMS[name], workload, "cut", cut) is None
    resumed = bench.attempt(ALGORITHMS[name], workload, "cut", None)
    assert bits(bench.final) == wanted
    assert told(read_measurements(resumed)).equals(told(read_measurements(whole)))
    assert {path.name for path in resumed.iterdir()} == {path.name for path in whole.iterdir()}
    manifest = json.loads((resumed / "manifest.json").read_text())
    assert manifest["checkpoints"]["obstacle"] is None
    # Evaluations, and so checkpoints and signs of life, at 5, 10, 15, 20.
    attempts = [(a["step"], a["repeated_steps"]) for a in manifest["interruptions"]]
    assert attempts == [(5, 0), (10, 0)]
    assert read_measurements(resumed)["preemption_count"].tolist() == [0, 1, 2, 2, 2]


@pytest.mark.slow
def test_the_record_of_a_target_reached_is_the_same(bench):
    whole = bench.attempt(SGD, tiny.workload, "whole", None)
    steps = read_measurements(whole)["global_step"].iloc[-1]
    assert bench.attempt(SGD, tiny.workload, "cut", int(steps) - 2) is None
    resumed = bench.attempt(SGD, tiny.workload, "cut", None)
    for name in ("reached.npz", "hparams.json", "meta_data_0.json", "submission.py"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    first, again = (json.loads((f / "manifest.json").read_text()) for f in (whole, resumed))
    differ = {key for key in first if first[key] != again[key]}
    timed = {"clock", "calibration", "calibration_best", "load", "started", "ended"}
    assert differ <= {*timed, "interruptions"}
    assert first["ending"] == again["ending"]
    assert set(again["calibration"]) == {"before", "resumed_1", "after"}


@pytest.mark.slow
def test_what_is_done_again_counts_once(bench):
    workload = tiny.unreachable_for(24)
    whole = bench.attempt(SGD, workload, "whole", None)
    bench.attempt(SGD, workload, "cut", 19)
    resumed = bench.attempt(SGD, workload, "cut", None)
    first, again = (
        json.loads((f / "manifest.json").read_text())["clock"] for f in (whole, resumed)
    )
    # The clock of this test moves with each look at it, so equal steps take equal times, give or
    # take the looks at waiting for the device, which are fewer the more it has seen.
    assert again["submission_s"] == pytest.approx(first["submission_s"], rel=0.2)
    assert first["accounts"]["repeated"] == 0
    assert again["accounts"]["repeated"] > 0
    assert sum(again["accounts"].values()) == pytest.approx(again["total_s"])
    assert sum(again["accounts"][str(a)] for a in SUBMISSION) == again["submission_s"]
    times = read_measurements(resumed)["accumulated_submission_time"]
    assert times.is_monotonic_increasing


@pytest.mark.slow
def test_tables_and_output_go_back_too(bench):
    def table(model, variables, standing):
        return {"step": [standing.step], "bias": [float(variables["params"]["Dense_0"]["bias"][0])]}

    workload = dataclasses.replace(tiny.unreachable_for(24), extra=Extra("biases", table))
    whole = bench.attempt(SGD, workload, "whole", None)
    bench.attempt(SGD, workload, "cut", 13)
    partial = bench.record(workload, "cut").folder
    (partial / "output.txt").write_text("of the attempt that was cut off\n")
    with (partial / "biases.csv").open("a") as file:
        file.write("11,0.")  # half a row
    (partial / "reached.npz").write_bytes(b"half")
    resumed = bench.attempt(SGD, workload, "cut", None)
    assert (resumed / "biases.csv").read_bytes() == (whole / "biases.csv").read_bytes()
    assert not (resumed / "reached.npz").exists()
    assert not (resumed / "output.txt").exists()  # there was none at the checkpoint


@pytest.mark.slow
def test_another_version_of_jax_starts_again_and_says_so(bench, monkeypatch):
    workload = tiny.unreachable_for(12)
    bench.attempt(SGD, workload, "cut", 9)
    versions = {**machine.versions(), "jax": "99.9"}
    monkeypatch.setattr(machine, "versions", lambda: versions)
    bench.news.clear()
    resumed = bench.attempt(SGD, workload, "cut", None)
    (news,) = bench.news
    assert "is 99.9" in news
    assert "it starts again" in news
    (attempt,) = json.loads((resumed / "manifest.json").read_text())["interruptions"]
    assert attempt["step"] == 0
    assert attempt["repeated_steps"] == 5
    assert read_measurements(resumed)["global_step"].tolist() == [5, 10, 12]


@pytest.mark.slow
def test_another_version_of_the_submission_starts_anew_and_says_so(bench):
    workload = tiny.unreachable_for(12)
    bench.attempt(SGD, workload, "cut", 9)
    bench.source.write_text("# changed\n")
    resumed = bench.attempt(SGD, workload, "cut", None)
    assert "another version of the file" in bench.news[-1]
    assert json.loads((resumed / "manifest.json").read_text())["interruptions"] == []
    assert (resumed / "submission.py").read_text() == "# changed\n"


@pytest.mark.slow
def test_who_was_cut_off_before_the_first_checkpoint_starts_again(bench):
    workload = tiny.unreachable_for(12)
    bench.attempt(SGD, workload, "cut", 3)
    resumed = bench.attempt(SGD, workload, "cut", None)
    assert read_measurements(resumed)["global_step"].tolist() == [5, 10, 12]
    (attempt,) = json.loads((resumed / "manifest.json").read_text())["interruptions"]
    assert (attempt["step"], attempt["repeated_steps"]) == (0, 1)  # a beat at the first step


@pytest.mark.slow
def test_a_state_that_cannot_be_kept_is_trained_all_the_same(bench):
    def update(view, train, batch, key, progress):
        train = SGD.update(view, train, batch, key, progress)
        return train._replace(optimizer_state=(train.optimizer_state, lambda: None))

    def unwrapped(view, train, batch, key, progress):
        if isinstance(train.optimizer_state, tuple):
            train = train._replace(optimizer_state=train.optimizer_state[0])
        return update(view, train, batch, key, progress)

    algorithm = dataclasses.replace(SGD, update=unwrapped)
    folder = bench.attempt(algorithm, tiny.unreachable_for(12), "whole", None)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "cannot be pickled" in manifest["checkpoints"]["obstacle"]
    assert read_measurements(folder)["global_step"].tolist() == [5, 10, 12]


@pytest.mark.slow
def test_checkpoints_are_rare_enough(bench, monkeypatch):
    monkeypatch.setattr(running, "CHECKPOINT_EVERY_S", 0.4)
    monkeypatch.setattr(running, "CHECKPOINT_SHARE", 0.01)
    saved = []
    monkeypatch.setattr(TrialRecord, "save", lambda self, arrays, facts: saved.append(facts))
    bench.attempt(SGD, tiny.unreachable_for(500), "whole", None)
    at = np.array([sum(facts["accounts"].values()) for facts in saved])
    assert len(at) >= 2
    # A save takes a look at this test's clock or two, 1 ms each: a hundredth is 0.1 to 0.2 s.
    assert (np.diff(at) >= 0.4).all()


@pytest.mark.slow
def test_data_from_disk_go_on_too(bench, tmp_path):
    from tests.algoperf.test_trial import Flat

    dataset = ready("mnist", tmp_path / "data")
    workload = dataclasses.replace(tiny.unreachable_for(24), model=Flat(), dataset=dataset)
    whole = bench.attempt(SGD, workload, "whole", None)
    wanted = bits(bench.final)
    bench.attempt(SGD, workload, "cut", 13)
    resumed = bench.attempt(SGD, workload, "cut", None)
    assert bits(bench.final) == wanted
    assert told(read_measurements(resumed)).equals(told(read_measurements(whole)))
    assert workload.dataset.sizes[Split.VALIDATION] == 5


KILLS = 17
"""Of each algorithm; with three algorithms at least 50 in all."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_killed_at_random_moments_it_is_still_the_same_trial(tmp_path, name):
    """SIGKILL, by turns just before a random write and after a random time.

    The first trial, which is left alone, and the end of the last are in processes that were not
    forked: nothing may hang on what a process was given at its start.
    """
    rng = np.random.default_rng(list(name.encode()))

    def attempt(results: Path, when: str) -> int | None:
        if when != "never":
            status = killed.attempt(results, name, when, tmp_path / "cache")
            assert status in (0, -signal.SIGKILL)
            return status
        command = [sys.executable, "-m", "tests.killed", results, name, when, tmp_path / "cache"]
        return subprocess.run(command, check=True, capture_output=True).returncode

    def outcome(results: Path) -> tuple[pd.DataFrame, str, dict[str, Any]]:
        (folder,) = results.glob("*/*/*/trial_*")
        assert not list(folder.parent.glob(".*"))
        manifest = json.loads((folder / "manifest.json").read_text())
        names = {path.name for path in folder.iterdir()}
        kept = {key: manifest[key] for key in ("ending", "seed", "flops_per_step", "workload")}
        final = results.with_suffix(".final").read_text()
        return told(read_measurements(folder)), final, {**kept, "files": names}

    whole = tmp_path / "whole"
    assert attempt(whole, "never") == 0
    rows, final, rest = outcome(whole)
    assert len(rows) == 10
    kills = trials = 0
    while kills < KILLS:
        trials += 1
        results = tmp_path / f"cut_{trials}"
        while True:
            # A whole trial changes its folder about 70 times, and takes a second or two.
            moment = f"write:{rng.integers(1, 75)}" if kills % 2 else f"after:{rng.random():.3f}"
            if attempt(results, moment if kills < KILLS else "never") == 0:
                break
            kills += 1
        again, final_again, rest_again = outcome(results)
        assert again.equals(rows)
        assert final_again == final
        assert rest_again == rest
