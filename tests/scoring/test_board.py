"""From log files to the leaderboard, by hand."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from algoperf import rulesets
from algoperf.errors import UserError
from scoring.leaderboard import board
from scoring.report import files, table

# Seconds to target of each trial, by submission, study and workload; - is never.
#            study 1            study 2          times (min, then median)
# ada  a:  [10, 12]           [14, 30]          10, 14      -> 12
#      b:  [ -, 40]           [60,  -]          40, 60      -> 50
# bob  a:  [30, 24]           [24, 99]          24, 24      -> 24
#      b:  [20, 21]           [-,   -]          20, inf     -> inf
TRIALS = {
    ("ada", 1, "a"): [10, 12],
    ("ada", 2, "a"): [14, 30],
    ("ada", 1, "b"): [None, 40],
    ("ada", 2, "b"): [60, None],
    ("bob", 1, "a"): [30, 24],
    ("bob", 2, "a"): [24, 99],
    ("bob", 1, "b"): [20, 21],
    ("bob", 2, "b"): [None, None],
}
# Ratios: ada 1 and 1, bob 24/12 = 2 and inf. Scores: ada (1 + 1) / 2, bob (4 - 2) / 3 / 2 = 1/3.


@pytest.fixture
def rules(tmp_path):
    workload = {
        "metric": "accuracy",
        "higher_is_better": True,
        "validation_target": 0.9,
        "test_target": None,
        "budget_s": 100.0,
        "step_hint": 10,
    }
    raw = {
        "suite": "quick",
        "tuning": {
            "external": {"studies": 2, "trials": 2, "budget_factor": 1.0},
            "self_tuning": {"studies": 2, "trials": 1, "budget_factor": 1.5},
        },
        "base_workloads": ["a", "b"],
        "tau_max": 4.0,
        "workloads": {"a": workload, "b": workload},
    }
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(raw))
    return rulesets.load(path)


@pytest.fixture
def logs(tmp_path) -> Path:
    for (submission, study, workload), times in TRIALS.items():
        for trial, time in enumerate(times, 1):
            folder = tmp_path / "logs" / submission / f"study_{study}" / f"{workload}_jax"
            folder = folder / f"trial_{trial}"
            folder.mkdir(parents=True)
            last = f"{time},{time},0.95\n" if time else "99,99,0.8\n"
            (folder / "eval_measurements.csv").write_text(
                f"accumulated_submission_time,global_step,validation/accuracy\n1,1,0.1\n{last}"
            )
    return tmp_path / "logs"


def test_the_leaderboard_by_hand(logs, rules):
    found = board.score([logs], rules)
    scores = found.scores.set_index("submission")
    assert scores["rank"].to_dict() == {"ada": 1, "bob": 2}
    assert scores["score"].to_dict() == pytest.approx({"ada": 1.0, "bob": 1 / 3})
    assert scores["workloads_reached"].to_dict() == {"ada": 2, "bob": 1}
    times = found.times.set_index(["submission", "workload"])
    assert times["time"].to_dict() == {
        ("ada", "a"): 12.0,
        ("ada", "b"): 50.0,
        ("bob", "a"): 24.0,
        ("bob", "b"): float("inf"),
    }
    # bob over ada: 12/24 on a, at most 50/100 (bob's budget) on b: 0.5.
    assert scores["speedup"].to_dict() == pytest.approx({"ada": 1.0, "bob": 0.5})
    assert found.problems == []


def test_intervals_hold_their_score_and_are_reproducible(logs, rules):
    one, two = (board.score([logs], rules).scores for _ in range(2))
    assert one.equals(two)
    assert (one["low"] <= one["score"]).all()
    assert (one["score"] <= one["high"]).all()
    assert (one["low"] < one["high"]).any()


def test_few_studies_come_with_a_warning(logs, rules):
    assert "With 2 studies" in board.score([logs], rules).notes[0]


def test_the_json_form_is_the_one_that_programs_expect(logs, rules):
    found = json.loads(json.dumps(board.score([logs], rules).as_json(), allow_nan=False))
    assert found["rules"] == "rules"
    assert set(found["leaderboard"][0]) >= {
        "submission", "rank", "score", "interval", "workloads_reached", "speedup",
    }  # fmt: skip
    never = [row for row in found["times"] if not row["reached"]]
    assert never == [
        {"submission": "bob", "workload": "b", "time": None, "ratio": None, "reached": False}
    ]


def test_the_table_and_the_files_say_the_same(logs, rules, tmp_path):
    found = board.score([logs], rules)
    written = files.write_report(found, tmp_path / "report")
    names = ["leaderboard.csv", "leaderboard.md", "leaderboard.json", "profile.png", "profile.svg"]
    assert [path.name for path in written] == names
    assert all(path.stat().st_size > 100 for path in written)
    text = (tmp_path / "report" / "leaderboard.md").read_text()
    assert "| 1 | ada | 1.0000 |" in text
    assert "| bob | 24 (2.00x) | - |" in text
    console = Console(record=True, width=120, file=io.StringIO())
    table.terminal(found, console)
    shown = console.export_text()
    assert "ada" in shown
    assert "24 (2.00x)" in shown
    svg = (tmp_path / "report" / "profile.svg").read_text()
    assert "bob (0.333)" in svg


def test_a_report_is_the_same_bytes_each_time(logs, rules, tmp_path):
    found = board.score([logs], rules)
    for folder in ("one", "two"):
        files.write_report(found, tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_an_unknown_reference_is_an_error(logs, rules):
    with pytest.raises(UserError, match="no results of the reference 'eve'; there are: ada, bob"):
        board.score([logs], rules, reference="eve")


def test_seconds_of_unlike_machines_are_not_ranked_together(logs, rules):
    for name in ("ada", "bob"):
        for trial in (logs / name).glob("study_*/*/trial_*"):
            manifest = {
                "format": 1,
                "rules": "rules",
                "ruleset": "external",
                "machine_id": name,
                "submission": {"sha256": "0"},
                "ending": {"status": "finished_early"},
                "workload": {"name": "a", "fixed": {}},
            }
            (trial / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="unlike machines"):
        board.score([logs], rules)
    assert len(board.score([logs], rules, "steps").scores) == 2


def test_scoring_imports_no_jax(logs, rules, tmp_path):
    script = f"""
import sys
from pathlib import Path
from algoperf import cli
here = Path({str(tmp_path)!r})
cli.score([Path({str(logs)!r})], rules=str(here / "rules.json"), out=here / "report")
assert "jax" not in sys.modules, "jax was imported"
"""
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_variants_alone_are_not_scored(logs, rules, tmp_path):
    raw = json.loads((tmp_path / "rules.json").read_text())
    raw["workloads"]["c"] = raw["workloads"]["a"]
    raw["base_workloads"] = ["c"]
    (tmp_path / "rules.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match="No trial is on a base workload"):
        board.score([logs], rulesets.load(tmp_path / "rules.json"))


def test_a_report_that_cannot_be_written_is_told(logs, rules, tmp_path):
    (tmp_path / "file").write_text("")
    found = board.score([logs], rules)
    with pytest.raises(UserError, match="Cannot write"):
        files.write_report(found, tmp_path / "file")
    with pytest.raises(UserError, match="Cannot write"):
        files.write_json(found, tmp_path)
