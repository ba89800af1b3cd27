"""What tests of trials share: one in the test's process, on a workload that compiles in a moment.

And one in a process of its own, as users' trials are; and one that is recorded but not run.
"""

import json
import textwrap
from pathlib import Path

import numpy as np
import optax
import pytest

from algoperf import machine, records, registry, rulesets, study, trial
from algoperf.executors.local import LocalExecutor
from algoperf.loading import Submission
from algoperf.recording import TrialRecord
from algoperf.records import Ending, TrialSpec, read_measurements
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.spec import Status, Target
from algoperf.submission import Algorithm, from_optax
from tests import tiny

SGD = from_optax(lambda hp, workload: optax.sgd(0.3), steps=lambda workload: workload.step_hint)

GOOD = """
    import optax
    from algoperf import from_optax
    submission = from_optax(lambda hp, workload: optax.sgd(0.1))
"""
"""Reaches an easy target at once."""

LONG = """
    import os, signal, subprocess, sys, time, jax
    def init(workload, params, hyperparameters, key): return ()
    def update(workload, train, batch, key, progress):
        if progress.step == 3:
            {fault}
        return train
"""
"""Does something in its fourth step."""

ENDING = Ending(Status.FINISHED_EARLY, "for the test", 30)
FAILED = Ending(Status.FAILED, "for the test", None)


class Time:
    """Moves by `tick` whenever it is read."""

    def __init__(self, tick: float = 0.0) -> None:
        self.seconds = 0.0
        self.tick = tick

    def __call__(self) -> float:
        self.seconds += self.tick
        return self.seconds


@pytest.fixture
def rules():
    """The quick suite's."""
    return rulesets.load("quick")


@pytest.fixture
def mine(tmp_path):
    """A submission with a search space that trains nothing."""
    path = tmp_path / "mine.py"
    path.write_text(
        "search_space = {'rate': {'min': 0.1, 'max': 1.0}}\n"
        "def init(workload, params, hyperparameters, key): ...\n"
        "def update(workload, train, batch, key, progress): ...\n"
    )
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs an algorithm on a workload: (ending, measurements, facts)."""

    monkeypatch.setattr(machine, "CALIBRATION_S", 0.0)  # the clock is not real either
    monkeypatch.setattr(machine, "cache_folder", lambda: tmp_path / "cache")

    def run_(algorithm: Algorithm, workload=tiny.workload, now=None, seed=0, trial_number=1):
        fixed = WorkloadRules(
            workload.validation, workload.test, workload.budget_s, workload.step_hint
        )
        source = tmp_path / "source.py"
        source.write_text("")
        submission = Submission("source", source, "0", "", None, algorithm)
        monkeypatch.setattr(registry, "workload", lambda _: workload)
        monkeypatch.setattr(trial, "load", lambda _: submission)
        spec = TrialSpec(
            "source", source, registry.source_hash(source), "tiny", 1, trial_number, seed, None,
            Ruleset.SELF_TUNING, "tests", fixed,
        )  # fmt: skip
        record = TrialRecord(spec, tmp_path)
        record.begin()
        beats: list[records.Beat] = []
        listener = trial.Listener(report=beats.append)
        ending, facts = trial.run(spec, record, listener, clock_now=now or Time(1e-3))
        folder = record.finish(ending, facts)
        measured = folder / "eval_measurements.csv"
        rows = read_measurements(folder) if measured.exists() else None
        return ending, rows, facts

    return run_


def planned(text: str, rules: Path, folder: Path) -> TrialSpec:
    """The first trial of a submission with that text, whose results go into `folder`."""
    source = folder / "mine.py"
    source.write_text(textwrap.dedent(text))
    plan = study.plan(
        [str(source)], ["digits_autoencoder"], rulesets.load(rules), folder / "results", studies=1
    )
    return plan.todo[0]


@pytest.fixture
def execute(tmp_path, easy_rules):
    """Runs a submission's text: (ending, folder, manifest, beats)."""
    executor = LocalExecutor(tmp_path / "results", ["workloads.digits_autoencoder"])

    def execute_(text: str):
        spec = planned(text, easy_rules, tmp_path)
        beats = []
        ending = executor.run(spec, beats.append)
        folder = spec.folder(tmp_path / "results")
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["ending"]["status"] == ending.status
        return ending, folder, manifest, beats

    return execute_


@pytest.fixture
def start(tmp_path):
    """Begins the trial under a claim: its record."""
    source = tmp_path / "mine.py"
    source.write_text("# the source\n")
    target = Target("loss", 0.5, higher_is_better=False)
    spec = TrialSpec(
        "mine", source, registry.source_hash(source), "glyphs", 1, 1, 7, {"rate": 0.1},
        Ruleset.EXTERNAL, "quick", WorkloadRules(target, target, 100.0, 10),
    )  # fmt: skip

    def start_(claim: int = 1) -> TrialRecord:
        record = TrialRecord(spec, tmp_path / "results", claim)
        record.begin()
        return record

    return start_


def advance(record: TrialRecord, *steps: int) -> None:
    """An evaluation, a table's rows, and a checkpoint, at each step."""
    for step in steps:
        record.append({"global_step": step, "loss": 1 / step})
        record.append_table("answers", {"step": [step, step], "answer": ["a", "b"]})
        record.beat(step, float(step))
        arrays = {"0": np.arange(1000 * step), "1": np.asarray(step / 3)}
        record.save(arrays, {"step": step, "submission_s": float(step)})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
