"""What tests of trials share: one in their own process, on a workload that compiles in a moment."""

import optax
import pytest

from algoperf import machine, records, registry, rulesets, trial
from algoperf.loading import Submission
from algoperf.recording import TrialRecord
from algoperf.records import TrialSpec, read_measurements
from algoperf.rulesets import Ruleset, WorkloadRules
from algoperf.submission import Algorithm, from_optax
from tests import tiny

SGD = from_optax(lambda hp, workload: optax.sgd(0.3), steps=lambda workload: workload.step_hint)


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
        ending, facts = trial.run(spec, record, beats.append, clock_now=now or Time(1e-3))
        folder = record.finish(ending, facts)
        measured = folder / "eval_measurements.csv"
        rows = read_measurements(folder) if measured.exists() else None
        return ending, rows, facts

    return run_
