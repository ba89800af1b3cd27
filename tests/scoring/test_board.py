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
from scoring.leaderboard.board import Options
from scoring.report import files, table
from tests.scoring import trees
from tests.scoring.trees import write

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
    return trees.rules(tmp_path)


@pytest.fixture
def logs(tmp_path) -> Path:
    trees.write_all(tmp_path / "logs", TRIALS)
    return tmp_path / "logs"


def test_the_leaderboard_by_hand(logs, rules):
    found = board.score([logs], rules)
    scores = found.scores.set_index("submission")
    assert list(scores.index) == ["ada", "bob"]
    # bob reaches b where both draws are of study 1 (1/4 of the resamples). Then he needs 20 s
    # and ada 40 to 60 (2x to 3x), while ada leads on a by 24/14 to 24/10: ada's score is
    # (1 + at most 2/3) / 2, bob's (at least 8/15 + 1) / 2. Mostly below 95 %: they share a rank.
    assert scores["rank"].to_dict() == {"ada": 1, "bob": 1}
    assert 0.75 <= scores.loc["ada", "above_next"] < 0.95
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
    (never,) = [row for row in found["times"] if not row["reached"]]
    assert (never["submission"], never["workload"]) == ("bob", "b")
    assert never["time"] is never["ratio"] is None


def test_the_table_and_the_files_say_the_same(logs, rules, tmp_path):
    found = board.score([logs], rules)
    written = files.write_report(found, tmp_path / "report")
    names = [f"leaderboard.{kind}" for kind in ("csv", "md", "json")] + ["report.html"]
    names += ["profile.png", "profile.svg", "ranks.png", "ranks.svg"]
    assert [path.name for path in written] == names
    assert all(path.stat().st_size > 100 for path in written)
    text = (tmp_path / "report" / "leaderboard.md").read_text()
    assert "| 1= | ada | 1.0000 |" in text
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
        board.score([logs], rules, Options(reference="eve"))


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
    assert len(board.score([logs], rules, Options(axis="steps")).scores) == 2


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


# --- the rules' variants -----------------------------------------------------------------------


def changed(tmp_path, **changes):
    """The rules of this page with something changed, by way of a file that extends them."""
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({"extends": "rules.json", **changes}))
    return rulesets.load(path)


def test_the_published_scores_take_the_trial_with_the_fewest_evaluations(rules, tmp_path):
    # Trial 1 needs two evaluations and 40 s, trial 2 three and 30 s: the rules say 30, MLCommons'
    # scorer 40 (facts of its get_best_trial_index).
    for study in (1, 2):
        at = tmp_path / "logs" / "ada" / f"study_{study}" / "a_jax"
        write(at / "trial_1", [(20, 1, 0.1), (40, 2, 0.95)])
        write(at / "trial_2", [(10, 1, 0.1), (20, 2, 0.2), (30, 3, 0.95)])
    published = changed(tmp_path, choice="earliest_evaluation", profile_points=100)
    assert board.score([tmp_path / "logs"], rules).times["time"].iloc[0] == 30
    assert board.score([tmp_path / "logs"], published).times["time"].iloc[0] == 40


def test_of_equally_early_trials_the_first_counts(rules, tmp_path):
    for study in (1, 2):
        at = tmp_path / "logs" / "ada" / f"study_{study}" / "a_jax"
        for trial, seconds in ((1, 33), (2, 22)):
            write(at / f"trial_{trial}", [(10, 1, 0.1), (seconds, 2, 0.95)])
    published = changed(tmp_path, choice="earliest_evaluation")
    assert board.score([tmp_path / "logs"], published).times["time"].iloc[0] == 33


def test_an_evaluation_past_the_budget_counts_only_where_the_rules_say_so(logs, rules, tmp_path):
    for study in (1, 2):
        for workload in "ab":
            for trial in (1, 2):
                at = logs / "eve" / f"study_{study}" / f"{workload}_jax" / f"trial_{trial}"
                write(at, [(1000, 5, 0.95)])
    assert board.score([logs], rules).scores.set_index("submission").loc["eve", "score"] == 0
    counted = board.score([logs], changed(tmp_path, budget_checked=False))
    times = counted.times[counted.times["submission"] == "eve"]["time"]
    assert times.tolist() == [1000.0, 1000.0]
    assert "counted, as the published scores do" in {p.action for p in counted.problems}


def held_out(tmp_path, names):
    raw = json.loads((tmp_path / "rules.json").read_text())
    workloads = dict.fromkeys(("a_x", "a_y", "b_x"), raw["workloads"]["a"])
    return changed(tmp_path, held_out=names, workloads=workloads)


def test_a_held_out_list_that_is_not_that_of_the_logs_is_an_error(logs, rules, tmp_path):
    """MLCommons' scorer takes whatever variant it finds, and another first place comes out."""
    for trial in (1, 2):
        write(logs / "ada" / "study_1" / "a_y_jax" / f"trial_{trial}", [(10, 1, 0.95)])
    with pytest.raises(UserError, match=r"hold out a_x.*the logs' variants are: a_y"):
        board.score([logs], held_out(tmp_path, ["a_x"]))


def test_a_missed_held_out_variant_voids_its_base_for_its_submission_only(logs, rules, tmp_path):
    for study in (1, 2):
        for trial in (1, 2):
            place = f"study_{study}/a_x_jax/trial_{trial}"
            write(logs / "bob" / place, [(10, 1, 0.95)])
    found = board.score([logs], held_out(tmp_path, ["a_x"]))
    ratio = found.ratio_table()["a"]
    # ada never ran the variant: her a is gone, and bob's 24 s are the fastest.
    assert ratio.to_dict() == {"ada": float("inf"), "bob": 1.0}
    assert ("ada on a_x", "there is no trial") in {(p.path, p.problem) for p in found.problems}


def test_strict_refuses_logs_with_a_problem(logs, rules):
    assert board.score([logs], rules, Options(strict=True)).problems == []
    (logs / "ada" / "study_1" / "a_jax" / "trial_1" / "eval_measurements.csv").write_text("")
    with pytest.raises(UserError, match="1 problems, and --strict allows none"):
        board.score([logs], rules, Options(strict=True))


@pytest.mark.parametrize("name", ["v0.5-as-published", "v0.6-as-published"])
def test_the_published_forms_differ_only_in_scoring(name):
    from dataclasses import replace

    from algoperf.rules import TrialChoice

    published, exact = rulesets.load(name), rulesets.load(name.removesuffix("-as-published"))
    assert published.scoring.choice is TrialChoice.EARLIEST_EVALUATION
    assert published.scoring.profile_points == 100
    assert replace(published, name=exact.name, scoring=exact.scoring) == exact
    # v0.5's runner made one evaluation past the budget; v0.6's makes none.
    assert published.scoring.budget_checked == (exact.name == "v0.6")


def test_rules_that_extend_themselves_are_an_error(tmp_path):
    (tmp_path / "a.json").write_text('{"extends": "b.json"}')
    (tmp_path / "b.json").write_text('{"extends": "a.json"}')
    with pytest.raises(UserError, match="extends itself"):
        rulesets.load(tmp_path / "a.json")
    (tmp_path / "c.json").write_text('{"extends": "nowhere.json"}')
    with pytest.raises(UserError, match="no rules file .*nowhere.json"):
        rulesets.load(tmp_path / "c.json")


# --- invariance --------------------------------------------------------------------------------


def test_neither_the_order_of_files_nor_of_folders_matters(logs, rules, tmp_path):
    import shutil

    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(logs / "bob", one / "bob")
    shutil.copytree(logs / "ada", two / "deep" / "ada")
    whole = board.score([logs], rules).as_json()
    for folders in ([one, two], [two, one]):
        parts = board.score(folders, rules).as_json()
        for key in ("leaderboard", "times", "sensitivity"):
            assert parts[key] == whole[key]


# --- sensitivity -------------------------------------------------------------------------------


def test_what_changes_the_order_by_hand(rules, tmp_path):
    # ada needs 10 s on a and 40 on b, bob 20 and 20 (steps the other way round, 40/10 and 20/20).
    #     ratios  ada 1, 2   bob 2, 1: both (1 + 2/3) / 2
    # without a: ada 2/3, bob 1; without b: ada 1, bob 2/3. A tie is no order, so nothing swaps.
    steps = {("ada", "a"): 40, ("ada", "b"): 10, ("bob", "a"): 20, ("bob", "b"): 20}
    seconds = {("ada", "a"): 10, ("ada", "b"): 40, ("bob", "a"): 20, ("bob", "b"): 20}
    for (name, workload), time in seconds.items():
        for study in (1, 2):
            at = tmp_path / "logs" / name / f"study_{study}" / f"{workload}_jax"
            for trial in (1, 2):
                write(at / f"trial_{trial}", [(time, steps[name, workload], 0.95)])
    found = board.score([tmp_path / "logs"], rules)
    changes = {(c.kind, c.what): c for c in found.changes}
    assert changes["workload left out", "a"].scores == pytest.approx({"ada": 2 / 3, "bob": 1})
    assert changes["workload left out", "b"].scores == pytest.approx({"ada": 1, "bob": 2 / 3})
    # tau_max 3: (3 - 2) / 2 for the slower; steps: ada 2, 1 and bob 1, 2.
    assert changes["tau_max", "3"].scores == pytest.approx({"ada": 3 / 4, "bob": 3 / 4})
    assert changes["time axis", "steps"].scores == pytest.approx({"ada": 5 / 6, "bob": 5 / 6})
    assert [c.swapped for c in found.changes] == [[]] * len(found.changes)
    # examples and flops are not in these logs, and one submission alone is no field.
    assert {kind for kind, _ in changes} == {"workload left out", "tau_max", "time axis"}


def test_a_swap_is_named(rules, tmp_path):
    # ada 10 s and 30 s, bob 20 s and 20 s: (1 + (4 - 1.5) / 3) / 2 against (2/3 + 1) / 2.
    # Without a bob is ahead: 1 against 5/6.
    for name, times in {"ada": (10, 30), "bob": (20, 20)}.items():
        for workload, time in zip("ab", times, strict=True):
            for study in (1, 2):
                at = tmp_path / "logs" / name / f"study_{study}" / f"{workload}_jax"
                write(at / "trial_1", [(time, 1, 0.95)])
    found = board.score([tmp_path / "logs"], rules)
    (change,) = [c for c in found.changes if c.what == "a"]
    assert change.swapped == [("ada", "bob")]
    assert change.scores == pytest.approx({"ada": 5 / 6, "bob": 1.0})
    assert "workload left out (a): bob passes ada" in table.order_holds(found)


def test_of_many_submissions_nothing_is_cut_and_no_list_is_endless(rules, tmp_path):
    """24 whose order one workload turns around, in a terminal of the usual width."""
    for place in range(24):
        name = f"an_algorithm_with_a_long_name_{place:02}"
        for workload, time in (("a", 10 + place), ("b", 11 if place else 40)):
            at = tmp_path / "logs" / name / "study_1" / f"{workload}_jax"
            write(at / "trial_1", [(time, 1, 0.95)])
    found = board.score([tmp_path / "logs"], rules)
    said = table.order_holds(found)
    assert len(next(c.swapped for c in found.changes if c.what == "b")) == 23
    assert "and 20 more" in said
    assert max(len(note) for note in found.notes) < 400
    console = Console(file=(out := io.StringIO()), width=80)
    table.terminal(found, console)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for _, row in found.scores.iterrows():
        assert any(f"{row['score']:.4f}" in line for line in lines)
    assert any("rank" in line and "95 % interval" in line for line in lines)


# --- more than one number ----------------------------------------------------------------------


def test_tuning_by_hand(logs, rules):
    from scoring.leaderboard import views

    found = board.score([logs], rules)
    won = views.tuning(found.logs.trials, found.chosen).set_index(
        ["submission", "workload", "study"]
    )
    assert won.loc[("ada", "a", 2), ["trial", "time", "next"]].tolist() == [1, 14.0, 30 / 14]
    assert won.loc[("ada", "b", 1), ["trial", "reached", "trials"]].tolist() == [2, 1, 2]
    assert won.loc[("ada", "b", 1), "next"] == float("inf")
    assert ("bob", "b", 2) not in won.index


def test_hyperparameters_by_hand(rules, tmp_path):
    from scoring.leaderboard import views

    # The larger the rate the faster, but the largest never arrives: times 40 30 20 inf over
    # rates 1 2 3 4: ranks 3 2 1 4 against 1 2 3 4, d = -2 0 2 0, 1 - 6 * 8 / (4 * 15) = 0.2.
    for number, time in enumerate([40, 30, 20, None], 1):
        study, trial = divmod(number - 1, 2)
        at = tmp_path / "logs" / "ada" / f"study_{study + 1}" / "a_jax" / f"trial_{trial + 1}"
        write(at, [(time or 50, 1, 0.95 if time else 0.1)])
        (at / "hparams.json").write_text(json.dumps({"rate": float(number), "name": "x"}))
    found = views.hyperparameters(board.score([tmp_path / "logs"], rules).logs.trials)
    assert found[["hyperparameter", "trials"]].to_numpy().tolist() == [["rate", 4]]
    assert found["spearman"].tolist() == pytest.approx([0.2])


def test_shares_by_hand(rules, tmp_path):
    from scoring.leaderboard import views

    columns = (
        "accumulated_submission_time,global_step,validation/accuracy,accumulated_eval_time,"
        "total_duration,accumulated_data_time"
    )
    # Two trials: evaluation 2 + 4 s of 10 + 20 s; data 1 + 1 of 5 + 15 s of training.
    at = tmp_path / "logs" / "ada" / "study_1" / "a_jax"
    write(at / "trial_1", [(5, 1, 0.95, 2, 10, 1)], columns)
    write(at / "trial_2", [(4, 1, 0.1, 1, 8, 0), (15, 1, 0.95, 4, 20, 1)], columns)
    (row,) = views.shares(board.score([tmp_path / "logs"], rules).logs).to_dict("records")
    assert (row["evaluation"], row["data"]) == pytest.approx((0.2, 0.1))
    assert row["compile"] != row["compile"]  # not recorded: NaN


# --- machines ----------------------------------------------------------------------------------


def manifest_of(trial: Path, **facts):
    """A manifest for a trial folder."""
    whole = {
        "format": 1, "rules": "rules", "ruleset": "external", "machine_id": "m",
        "submission": {"sha256": "0"}, "ending": {"status": "finished_early"},
        "workload": {"name": "a", "fixed": {}},
    }  # fmt: skip
    (trial / "manifest.json").write_text(json.dumps({**whole, **facts}))


def test_a_crashed_trial_and_a_broken_manifest_do_not_stop_the_board(logs, rules):
    trials = sorted(logs.glob("*/study_*/*/trial_*"))
    for trial in trials:
        manifest_of(trial)
    never = logs / "bob" / "study_2" / "b_jax"
    # Its process died before it knew its machine; another's manifest is cut off.
    manifest_of(never / "trial_1", machine_id=None, ending={"status": "failed"})
    (never / "trial_2" / "manifest.json").write_text("{")
    (logs / "ada" / "study_1" / "a_jax" / "trial_1" / "manifest.json").write_text("{")
    found = board.score([logs], rules)
    assert found.scores["score"].tolist() == pytest.approx([1.0, 1 / 3])


def test_a_result_of_no_known_machine_is_not_ranked_with_others(logs, rules):
    for trial in logs.glob("*/study_*/*/trial_*"):
        manifest_of(trial, machine_id=None if "ada" in str(trial) else "m")
    with pytest.raises(UserError, match="not recorded: ada"):
        board.score([logs], rules)


def test_an_axis_that_no_log_has_is_an_error(logs, rules):
    with pytest.raises(UserError, match="do not have the column 'flops'"):
        board.score([logs], rules, Options(axis="flops"))


def test_one_submission_with_one_study_does_not_take_the_others_intervals(logs, rules):
    trees.write_all(logs, {("eve", 1, "a"): [50, 60], ("eve", 1, "b"): [70, None]})
    scores = board.score([logs], rules).scores.set_index("submission")
    assert scores["low"].isna().to_dict() == {"ada": False, "bob": False, "eve": True}
    assert "Of one study nobody can say how sure it is: eve" in board.score([logs], rules).notes[0]


def test_names_with_odd_characters_reach_the_report(logs, rules, tmp_path):
    (logs / "ada").rename(logs / "_a$da")
    (logs / "bob").rename(logs / "b|$o")
    files.write_report(board.score([logs], rules), tmp_path / "report")
    assert r"b\|$o" in (tmp_path / "report" / "leaderboard.md").read_text()
    assert "_a$da (1.000)" in (tmp_path / "report" / "profile.svg").read_text()


def test_a_report_is_drawn_anew_when_what_it_shows_has_changed(logs, rules, tmp_path):
    report = tmp_path / "report"
    files.write_report(board.score([logs], rules), report)
    before = (report / "report.html").stat().st_mtime_ns
    files.write_report(board.score([logs], rules), report)
    assert (report / "report.html").stat().st_mtime_ns == before
    trial = logs / "ada" / "study_1" / "a_jax" / "trial_1"
    (trial / "hparams.json").write_text('{"rate": 0.125}')
    files.write_report(board.score([logs], rules), report)
    assert "rate 0.125" in (report / "report.html").read_text()


def test_the_cache_of_a_report_that_cannot_be_written_harms_nobody(logs, rules, tmp_path):
    (tmp_path / "file").write_text("")
    options = Options(cache=tmp_path / "file" / ".logs.npz")
    assert len(board.score([logs], rules, options).scores) == 2
