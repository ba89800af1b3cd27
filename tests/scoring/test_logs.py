"""Logs as they are in the wild: our folders and MLCommons' trees, clean and dirty."""

import json
import math
import os
from pathlib import Path

import pytest

from algoperf import rulesets
from algoperf.errors import UserError
from algoperf.rules import Ruleset
from scoring.leaderboard import rows
from scoring.leaderboard.gaps import gaps
from scoring.leaderboard.logs import read

HEADER = "accumulated_submission_time,global_step,validation/mse"


@pytest.fixture
def rules(tmp_path):
    """One workload, target 0.1, budget 100 s, 2 studies of 2 trials."""
    raw = {
        "suite": "quick",
        "tuning": {
            "external": {"studies": 2, "trials": 2, "budget_factor": 1.0},
            "self_tuning": {"studies": 2, "trials": 1, "budget_factor": 1.5},
        },
        "base_workloads": ["glyphs"],
        "tau_max": 4.0,
        "workloads": {
            "glyphs": {
                "metric": "mse",
                "higher_is_better": False,
                "validation_target": 0.1,
                "test_target": 0.1,
                "budget_s": 100.0,
                "step_hint": 10,
            }
        },
    }
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(raw))
    return rulesets.load(path)


@pytest.fixture
def tree(tmp_path):
    """Writes trials; call with their measurements, read with `read(tree.root, rules)`."""

    class Tree:
        root = tmp_path / "logs"

        def __call__(self, text, study=1, trial=1, submission="mine", framework="jax"):
            folder = self.root / submission / f"study_{study}" / f"glyphs_{framework}"
            folder = folder / f"trial_{trial}"
            folder.mkdir(parents=True)
            if text is not None:
                (folder / "eval_measurements.csv").write_text(text)
            return folder

        def whole(self):
            for study in (1, 2):
                for trial in (1, 2):
                    self(f"{HEADER}\n5,50,0.2\n{10 * study * trial},100,0.05\n", study, trial)

    return Tree()


def test_the_first_evaluation_that_meets_the_target_counts(tree, rules):
    tree.whole()
    logs = read([tree.root], rules)
    assert logs.problems == []
    assert logs.trials["time"].tolist() == [10.0, 20.0, 20.0, 40.0]
    assert logs.trials["reached"].all()
    steps = read([tree.root], rules, "steps")
    assert set(steps.trials["time"]) == {100.0}


@pytest.mark.parametrize("above", [".", "a", "a/b/c"])
def test_trials_are_found_at_any_depth(tree, rules, tmp_path, above):
    tree.whole()
    place = tmp_path / "deep" / above
    place.parent.mkdir(parents=True, exist_ok=True)
    tree.root.rename(place)
    assert len(read([tmp_path / "deep"], rules).trials) == 4


def test_one_submissions_folder_is_enough(tree, rules):
    tree.whole()
    assert set(read([tree.root / "mine"], rules).trials["submission"]) == {"mine"}


def only_problem(logs):
    return [p for p in logs.problems if "studies" not in p.problem and "trials" not in p.problem]


@pytest.mark.parametrize(
    ("text", "problem", "time"),
    [
        (None, "is missing", math.inf),
        ("", "is empty", math.inf),
        ("\n \n", "is empty", math.inf),
        (f"{HEADER}\n", "has no evaluation", math.inf),
        (f"{HEADER}\n7,50,nan\n9,60,0.05\n", "not a number in 1 of 2 evaluations", 9.0),
        (f"{HEADER}\n7,50,\n9,60,0.05\n", "not a number in 1 of 2 evaluations", 9.0),
        (f"{HEADER}\n7,50,-inf\n9,60,0.05\n", "not a number in 1 of 2 evaluations", 9.0),
        (f"{HEADER}\n7,50,oops\n9,60,0.05\n", "line 2 is not an evaluation", 9.0),
        (f"{HEADER}\nnan,50,0.04\n9,60,0.05\n", "line 2 is not an evaluation", 9.0),
        (f"{HEADER}\n-1,50,0.04\n9,60,0.05\n", "line 2 is not an evaluation", 9.0),
        (f"{HEADER}\n{HEADER}\n9,60,0.05\n", "line 2 is the header again", 9.0),
        (f"{HEADER}\n9,60,0.05\n12,7", "line 3 has 2 of 3 cells", 9.0),
        (f"{HEADER}\n9,60,0.5\n12,7", "line 3 has 2 of 3 cells", math.inf),
        # 0.2123456789 cut off after "0.0" would look like a result; a missing line end alone
        # does no harm.
        (f"{HEADER}\n9,60,0.2123456789\n12,70,0.0", "line 3 is cut off", math.inf),
        (f"{HEADER}\n9,60,0.5\n12,70,0.05", None, 12.0),
        (f"{HEADER}\n20,50,0.2\n9,60,0.05\n", "time goes back 1 times", 9.0),
        (f"{HEADER},test/mse\n9,60,0.05\n12,70,0.04,0.3\n", "line 2 has 3 of 4 cells", 12.0),
        ("global_step,accumulated_submission_time\n9,60\n", "no column validation/mse", math.inf),
        (f"{HEADER}\n101,60,0.05\n", "1 evaluations lie past the budget of 100 s", math.inf),
        (f"{HEADER}\n99,60,0.05\n130,70,0.2\n", "1 evaluations lie past the budget", 99.0),
        # Written by a spreadsheet: marks at the beginning, quoted cells, other line ends.
        (f"\ufeff{HEADER}\r\n9,60,0.05\r\n", None, 9.0),
        ('"accumulated_submission_time","validation/mse"\n"9","0.05"\n', None, 9.0),
        (f'{HEADER}\n7,50,"0.2\n9,60,0.05\n', "line 2 is no CSV", 9.0),
        (f"{HEADER},validation/mse\n9,60,0.05,0.2\n", "has validation/mse twice", 9.0),
        (f"{HEADER}\n9,6_0,0.05\n", "line 2 is not an evaluation", math.inf),
        (f"{HEADER}\n5,50,2.5e-01\n9,60,1.0e-0", "line 3 is cut off", math.inf),
        (f"{HEADER}\n100,60,0.05\n", None, 100.0),
        (f"{HEADER}\n9,60,0.1\n", None, 9.0),  # exactly the target
    ],
)
def test_dirty_measurements(tree, rules, text, problem, time):
    tree(text)
    logs = read([tree.root], rules)
    assert logs.trials["time"].tolist() == [time]
    found = [p.problem for p in only_problem(logs)]
    assert found == [] if not problem else problem in found[0]


def test_what_is_missing_is_told(tree, rules):
    tree(f"{HEADER}\n9,60,0.05\n")
    tree(f"{HEADER}\n9,60,0.05\n", submission="other")
    problems = gaps(read([tree.root], rules).trials, rules)
    assert {p.path for p in problems} == {"mine on glyphs", "other on glyphs"}
    assert {p.problem for p in problems} == {"1 of 2 studies", "a study has 1 of 2 trials"}


def test_two_frameworks_for_one_workload_are_told(tree, rules):
    tree(f"{HEADER}\n9,60,0.05\n")
    tree(f"{HEADER}\n8,60,0.05\n", framework="pytorch")
    tree(f"{HEADER}\n10,60,0.05\n", trial=2)
    logs = read([tree.root], rules)
    # Two trials of jax against one of the other: a submission does not get the faster of both.
    assert logs.trials["time"].tolist() == [9.0, 10.0]
    assert "of another framework than most" in logs.problems[0].problem
    assert logs.problems[0].path.endswith("glyphs_pytorch/trial_1")


def test_a_stray_folder_is_no_workload(tree, rules):
    tree.whole()
    stray = tree.root / "mine" / "study_1" / "scratch_jax" / "trial_1"
    stray.mkdir(parents=True)
    (tree.root / "mine" / "study_1" / "notes").mkdir()
    (tree.root / "mine" / "study_1" / "glyphs_jax" / "trial_1_old").mkdir()
    nested = tree.root / "mine" / "study_2" / "glyphs_jax" / "trial_1" / "copy"
    nested.mkdir()
    loose = tree.root / "mine" / "glyphs_jax"
    loose.mkdir()
    for folder in (nested, loose):
        (folder / "eval_measurements.csv").write_text(f"{HEADER}\n1,1,0.01\n")
    import shutil

    study = tree.root / "mine" / "study_1"
    shutil.copytree(study, tree.root / "mine" / "study_2" / "study_1")
    (tree.root / "empty" / "study_1" / "glyphs_jax").mkdir(parents=True)
    logs = read([tree.root], rules)
    # A copy in the wrong place is no submission of its own.
    assert set(logs.trials["submission"]) == {"mine"}
    assert len(logs.trials) == 4
    strays = [p for p in logs.problems if p.path.startswith("/")]
    found = {Path(p.path).relative_to(tree.root).as_posix(): p.problem for p in strays}
    copied = [path for path in found if path.startswith("mine/study_2/study_1/")]
    assert {found.pop(path) for path in copied} == {"lies inside another study or trial"}
    assert found.pop("mine/study_2/study_1") == "is not named <workload>_<jax or pytorch>"
    assert found.pop("empty/study_1") == found.pop("empty/study_1/glyphs_jax") == "holds no trial"
    assert found.keys() == {
        "mine/glyphs_jax", "mine/study_1/glyphs_jax/trial_1_old", "mine/study_1/notes",
        "mine/study_2/glyphs_jax/trial_1/copy",
    }  # fmt: skip
    assert "does not lie where a trial does" in found["mine/glyphs_jax"]
    assert "inside another study or trial" in found["mine/study_2/glyphs_jax/trial_1/copy"]
    assert [p.problem for p in logs.problems if not p.path.startswith("/")] == [
        "the rules 'rules' have no workload 'scratch' (1 trials)"
    ]


def test_a_running_trial_is_not_read(tree, rules):
    tree.whole()
    folder = tree(f"{HEADER}\n1,60,0.05\n", trial=3)
    folder.rename(folder.with_name(".trial_3.partial"))
    assert len(read([tree.root], rules).trials) == 4


def test_a_half_written_manifest_is_told_and_done_without(tree, rules):
    tree.whole()
    folder = tree.root / "mine" / "study_1" / "glyphs_jax" / "trial_1"
    (folder / "manifest.json").write_text('{"format": 1, "ru')
    logs = read([tree.root], rules)
    assert [p.problem for p in logs.problems] == ["is not a readable manifest"]
    assert logs.trials["time"].tolist() == [10.0, 20.0, 20.0, 40.0]


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_nothing_to_read_is_an_error_with_a_way_out(tmp_path, rules, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="There is no (results folder|trial)"):
        read([tmp_path / place], rules)


def test_results_of_other_workloads_only(tree, tmp_path):
    tree.whole()
    with pytest.raises(UserError, match="No trial is on a base workload of the rules 'quick'"):
        read([tree.root], rulesets.load("quick"))


def test_reading_changes_nothing(tree, rules):
    tree.whole()
    before = sorted((p, p.stat().st_mtime_ns) for p in Path(tree.root).rglob("*"))
    read([tree.root], rules)
    assert before == sorted((p, p.stat().st_mtime_ns) for p in Path(tree.root).rglob("*"))


def test_more_than_the_rules_grant_is_left_out(tree, rules):
    for study in (1, 2, 3):
        for trial in (1, 2, 3):
            tree(f"{HEADER}\n{10 - 3 * trial + study},60,0.05\n", study, trial)
    logs = read([tree.root], rules)
    # Study 3 and each third trial, which would have been the fastest, are not granted.
    assert set(zip(logs.trials["study"], logs.trials["trial"], strict=True)) == {
        (1, 1), (1, 2), (2, 1), (2, 2),
    }  # fmt: skip
    problems = sorted(p.problem for p in logs.problems)
    assert problems == [
        *["is beyond the 2 studies that the rules grant"] * 3,
        *["is beyond the 2 trials a study that the rules grant"] * 2,
    ]


def test_the_same_trial_twice_counts_once(tree, rules, tmp_path):
    import shutil

    tree.whole()
    shutil.copytree(tree.root, tmp_path / "copy")
    logs = read([tree.root, tmp_path / "copy"], rules)
    assert len(logs.trials) == 4
    assert {p.problem for p in logs.problems} == {
        "is there twice",
        "the trials of 'mine' lie in several folders",
    }


def test_logs_that_do_not_say_may_be_of_self_tuning(tree, rules):
    for study in (1, 2):
        tree(f"{HEADER}\n120,60,0.05\n", study)
    assert not read([tree.root], rules).trials["reached"].any()
    logs = read([tree.root], rules, ruleset=Ruleset.SELF_TUNING)  # 1.5 x 100 s
    assert logs.trials["reached"].all()
    assert logs.problems == []


def test_an_unknown_number_on_the_axis_is_told(tree, rules):
    tree(f"{HEADER},flops\n9,60,0.05,nan\n")
    logs = read([tree.root], rules, "flops")
    assert logs.trials["time"].tolist() == [math.inf]
    assert only_problem(logs)[0].problem == "the target is met, but flops is not known"


def test_why_a_number_on_the_axis_is_unknown_is_told(tree, rules):
    folder = tree(f"{HEADER},flops\n9,60,0.05,nan\n")
    manifest = {
        "format": 1, "rules": "rules", "ruleset": "external", "machine_id": "m",
        "submission": {"sha256": "0"}, "ending": {"status": "target_reached"},
        "workload": {"name": "glyphs", "fixed": {}}, "flops_unknown": "`update` cannot be traced",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    problems = [p.problem for p in read([tree.root], rules, "flops").problems]
    assert "the target is met, but flops is not known: `update` cannot be traced" in problems


@pytest.mark.parametrize(("status", "told"), [("failed", False), ("target_reached", True)])
def test_an_empty_log_is_excused_only_where_the_trial_made_none(tree, rules, status, told):
    folder = tree("")
    manifest = {
        "format": 1, "rules": "rules", "ruleset": "external", "machine_id": "m",
        "submission": {"sha256": "0"}, "ending": {"status": status},
        "workload": {"name": "glyphs", "fixed": {}},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    problems = [p.problem for p in only_problem(read([tree.root], rules))]
    assert ("is empty" in problems) is told


def test_bytes_that_are_no_text_are_told(tree, rules):
    (tree("") / "eval_measurements.csv").write_bytes(b"\xff\xfe\x00score\n\x80,1\n")
    assert "has no column" in only_problem(read([tree.root], rules))[0].problem


def test_of_too_many_the_lowest_numbers_are_kept(tree, rules):
    """As numbers: 10 comes after 2."""
    for trial in (2, 9, 10):
        tree(f"{HEADER}\n{100 - trial},60,0.05\n", trial=trial)
    assert set(read([tree.root], rules).trials["trial"]) == {2, 9}


def test_the_cache_answers_for_the_same_content_only(tree, rules, tmp_path, monkeypatch):
    from scoring.leaderboard import cache

    tree.whole()
    kept = tmp_path / "cache.npz"
    first = read([tree.root], rules, cache=kept)
    second = read([tree.root], rules, cache=kept)
    assert first.trials.equals(second.trials)
    assert first.evaluations.equals(second.evaluations)
    folder = tree.root / "mine" / "study_1" / "glyphs_jax" / "trial_1"
    text = (folder / "eval_measurements.csv").read_text()
    parsed = []

    def parse(raws, metric):
        parsed.append((raws, metric))
        return [([], [])] * len(raws)

    monkeypatch.setattr(cache, "parse", parse)
    opened = cache.open_cache(kept)
    old = text.encode()
    opened.parse([(old, "mse"), (old, "another metric"), (b"new", "mse"), (b"new", "mse")])
    assert parsed == [([old], "another metric"), ([b"new"], "mse")]
    monkeypatch.undo()
    # A changed log of the same length and time is read anew.
    (folder / "eval_measurements.csv").write_text(text.replace("0.05", "0.15"))
    assert read([tree.root], rules, cache=kept).trials["time"].tolist()[0] == math.inf


def test_the_cache_keeps_faults_too(tree, rules, tmp_path):
    tree(f"{HEADER}\n7,50,nan\n9,60,0.05\n")
    kept = tmp_path / "cache.npz"
    assert read([tree.root], rules, cache=kept).problems == (
        read([tree.root], rules, cache=kept).problems
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive at all"])
def test_a_broken_cache_is_no_cache(tree, rules, tmp_path, content):
    tree.whole()
    (tmp_path / "cache.npz").write_bytes(content)
    logs = read([tree.root], rules, cache=tmp_path / "cache.npz")
    assert logs.trials["reached"].all()
    assert (tmp_path / "cache.npz").stat().st_size > 100  # written anew


def test_the_test_target_is_timed_at_its_first_hit(tree, rules):
    # MLCommons' scorer reports the time of the best test evaluation, 9 s, not of the first hit.
    tree(f"{HEADER},test/mse\n5,50,0.2,0.1\n7,60,0.2,0.2\n9,70,0.05,0.01\n")
    assert read([tree.root], rules).trials["test_time"].tolist() == [5.0]


def test_a_machine_that_was_slower_than_its_best_shows(tree, rules):
    """Three trials on one machine; the second saw a matrix product twice as long as the best."""
    for trial, (before, after) in enumerate([(1.0, 1.0), (2.0, 2.0)], 1):
        folder = tree(f"{HEADER}\n9,60,0.05\n", trial=trial)
        manifest = {
            "format": 1, "rules": "rules", "ruleset": "external", "machine_id": "m",
            "submission": {"sha256": "0"}, "ending": {"status": "target_reached"},
            "workload": {"name": "glyphs", "fixed": {}},
            "calibration": {
                "before": {"matmul_s": before, "loop_s": 3.0},
                "after": {"matmul_s": after, "loop_s": 3.0},
            },
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))
    assert read([tree.root], rules).trials["slowdown"].tolist() == [1.0, 2.0]


def test_links_are_followed_and_no_folder_is_read_twice(tree, rules, tmp_path):
    tree.whole()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "mine").symlink_to(tree.root / "mine")
    (tmp_path / "links" / "again").symlink_to(tree.root / "mine")
    (tree.root / "mine" / "study_1" / "up").symlink_to(tree.root)
    logs = read([tmp_path / "links"], rules)
    assert len(logs.trials) == 4
    assert sum("is a link to" in p.problem for p in logs.problems) == 2


def test_names_of_other_encodings_are_shown(tree, rules):
    import os

    tree.whole()
    (tree.root / "mine").rename(os.fsdecode(os.fsencode(tree.root) + b"/m\xffne"))
    logs = read([tree.root], rules)
    assert set(logs.trials["submission"]) == {"m\ufffdne"}
    assert logs.trials["reached"].all()


@pytest.mark.parametrize(
    "odd",
    [
        {"machine_id": []}, {"calibration": [1]}, {"calibration": {"before": {}, "after": {}}},
        {"calibration": {"before": {"loop_s": 0}}}, {"calibration": {"before": {"loop_s": None}}},
        {"calibration": {"before": {"loop_s": 1.0}, "after": {"copy_s": 1.0}}},
        {"calibration": {"before": {"loop_s": 10**400}}},
        {"versions": []}, {"machine": "fast"}, {"submission": {"sha256": 5}}, {"ruleset": "none"},
        {"workload": {"name": "glyphs", "fixed": None}}, {"ending": "well"}, [], "text", None,
    ],
)  # fmt: skip
def test_a_manifest_of_odd_content_is_told_and_done_without(tree, rules, odd):
    tree.whole()
    folder = tree.root / "mine" / "study_1" / "glyphs_jax" / "trial_1"
    whole = {
        "format": 1, "rules": "rules", "ruleset": "external", "machine_id": "m",
        "submission": {"sha256": "0"}, "ending": {"status": "target_reached"},
        "workload": {"name": "glyphs", "fixed": {}},
    }  # fmt: skip
    content = {**whole, **odd} if isinstance(odd, dict) else odd
    (folder / "manifest.json").write_text(json.dumps(content))
    logs = read([tree.root], rules)
    assert [p.problem for p in logs.problems] == ["is not a readable manifest"]
    assert logs.trials["reached"].all()


def test_a_variant_that_is_not_scored_is_told(tree, tmp_path, rules):
    raw = json.loads((tmp_path / "rules.json").read_text())
    raw["workloads"]["glyphs_x"] = raw["workloads"]["glyphs"]
    (tmp_path / "rules.json").write_text(json.dumps(raw))
    tree.whole()
    study = tree.root / "mine" / "study_1"
    (study / "glyphs_x_jax" / "trial_1").mkdir(parents=True)
    logs = read([tree.root], rulesets.load(tmp_path / "rules.json"))
    assert len(logs.trials) == 4
    (problem,) = logs.problems
    assert "do not score this variant (1 trials)" in problem.problem


def test_how_far_it_is_is_told(tree, rules):
    tree.whole()
    told = []
    read([tree.root], rules, tell=told.append)
    assert told == ["looking for trials", "reading manifests: 0 of 4", "reading logs: 0 of 4"]


def test_a_log_that_is_no_file_is_told_and_not_waited_for(tree, rules):
    os.mkfifo(tree(None) / "eval_measurements.csv")
    problem = only_problem(read([tree.root], rules))[0]
    assert problem.problem == "cannot be read: it is no regular file"


@pytest.mark.parametrize(("files", "size"), [(1, 10**9), (3, 10**9), (500, 1), (500, 100)])
def test_how_many_logs_are_parsed_together_is_no_matter(tree, rules, monkeypatch, files, size):
    tree.whole()
    tree(None, study=1, trial=3)
    whole = read([tree.root], rules)
    monkeypatch.setattr(rows, "TOGETHER", files)
    monkeypatch.setattr(rows, "_TOGETHER_BYTES", size)
    parts = read([tree.root], rules)
    assert parts.trials.equals(whole.trials)
    assert parts.evaluations.equals(whole.evaluations)
    assert parts.problems == whole.problems
