"""A record that a trial wrote is compared with what was heard of it."""

import json

import pytest

from algoperf import records
from algoperf.executors.audit import Audit
from algoperf.executors.messages import Measured, Message
from algoperf.records import TrialSpec
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.spec import Status, Target

BEFORE = {"loop_s": 0.5}
TARGET = Target("mse", 0.1, higher_is_better=False)
FIXED = WorkloadRules(TARGET, TARGET, 10.0, 100)
CLOCK = {  # 0.5 + 2.5 are submission time, and with 1 + 0.25 all there is
    "accounts": {"data": 0.5, "update": 2.5, "evaluation": 1.0, "logging": 0.25},
    "submission_s": 3.0,
    "total_s": 4.25,
}
MANIFEST = {
    "format": records.FORMAT,
    "submission": {"sha256": "0"},
    "workload": {"name": "tiny", "fixed": {}},
    "rules": "tests",
    "ruleset": Ruleset.SELF_TUNING,
    "seed": 0,
    "point": None,
    "machine_id": "0123456789ab",
    "calibration": {"before": BEFORE, "after": {"loop_s": 0.25}},
    "ending": {"status": Status.TARGET_REACHED, "reason": "reached", "steps": 20},
    "clock": CLOCK,
}
ROWS = [(10, 1.5, 2.0, 0.5), (20, 3.0, 4.0, 0.05)]
"""Step, submission time, time since the start, validation metric."""


@pytest.fixture
def fault(tmp_path):
    """What is wrong with a record, of which the clock said 4.25 s last."""

    def fault_(manifest=MANIFEST, rows=ROWS, said_s=4.25, *, kept=True):
        spec = TrialSpec(
            "mine", tmp_path / "mine.py", "0", "tiny", 1, 1, 0, None, Ruleset.SELF_TUNING,
            "tests", FIXED,
        )  # fmt: skip
        lines = [f"{time},{step},{time},{total},{value}\n" for step, time, total, value in rows]
        head = "accumulated_submission_time,global_step,score,total_duration,validation/mse\n"
        (tmp_path / records.MEASUREMENTS).write_text("".join([head, *lines]))
        (tmp_path / records.MANIFEST).write_text(json.dumps(manifest))
        if kept:
            (tmp_path / records.PARAMETERS).touch()
        audit = Audit()
        assert audit.hear(Message(compiled=Measured("0123456789ab", BEFORE)))
        assert not audit.hear(Message(compiled=Measured("ffffffffffff", BEFORE)))
        audit.clock.said_s = said_s
        return audit.fault(spec, tmp_path)

    return fault_


def clock(**changes):
    return {**MANIFEST, "clock": {**CLOCK, **changes}}


def test_a_record_as_it_was_heard_has_no_fault(fault):
    assert fault() == ""
    assert fault(said_s=2.0) == ""  # it was cut off before, and went on


def test_a_trial_that_says_it_failed_claims_nothing(fault):
    ending = {"status": Status.FAILED, "reason": "", "steps": None}
    assert fault({**MANIFEST, "ending": ending}, [], None) == ""


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"said_s": None}, "its clock was never read"),
        ({"said_s": 9.0}, "it lasted 9.0 s, and 4.2 s are written"),
        ({"kept": False}, "there is no reached.npz"),
        ({"manifest": {**MANIFEST, "machine_id": "ffffffffffff"}}, "another machine"),
        ({"manifest": {**MANIFEST, "calibration": {"before": {"loop_s": 1e-9}}}}, "lacks the cal"),
        ({"manifest": clock(total_s=9.0)}, "do not add up"),
        ({"manifest": clock(submission_s=1.0)}, "is not that of the accounts"),
        ({"manifest": clock(accounts={"data": -1.0, "setup": 5.25})}, "is no time"),
        ({"manifest": clock(accounts={"leisure": 4.25})}, "'leisure' is not a valid Account"),
        ({"manifest": {k: v for k, v in MANIFEST.items() if k != "clock"}}, "KeyError('clock')"),
        ({"rows": [(10, 0.1, 4.0, 0.05)]}, "met the target after 0.100 s, and used 3.000 s"),
        ({"rows": [(10, 0.1, 4.0, 0.05), *ROWS]}, "after the one that met the target"),
        ({"rows": [(10, 1.5, 2.0, 0.5), (20, 1.0, 4.0, 0.05)]}, "not in order"),
        ({"rows": [(10, 3.0, 2.0, 0.05)]}, "contradict each other"),
        ({"rows": [(10, 3.0, 5.0, 0.05)]}, "later than the end of the trial"),
        ({"rows": ROWS[:1]}, "disagree on whether the target was met"),
        ({"rows": []}, "disagree on whether the target was met"),
    ],
)
def test_a_record_that_cannot_be_right_is_found(fault, changed, what):
    assert what in fault(**changed)
    assert "which the rules forbid" in fault(**changed)


def test_a_table_too_large_is_not_read(fault, tmp_path, monkeypatch):
    monkeypatch.setattr("algoperf.executors.audit.LARGEST", 10)
    assert "eval_measurements.csv of " in fault()


def test_other_endings_need_no_target(fault):
    ending = {"status": Status.BUDGET_EXHAUSTED, "reason": "", "steps": 20}
    assert fault({**MANIFEST, "ending": ending}, ROWS[:1], kept=False) == ""
    assert fault({**MANIFEST, "ending": ending}, [], kept=False) == ""
