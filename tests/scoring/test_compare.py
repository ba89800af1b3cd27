"""Two side by side, by hand."""

import json
import math

import pytest
from rich.console import Console

from algoperf import rulesets
from algoperf.errors import UserError
from algoperf.rules import Ruleset
from scoring.leaderboard.compare import Side, compare, side
from scoring.leaderboard.gathered import gather
from scoring.report import comparison
from tests.scoring import trees

# Study times (of the faster trial):  a: ada 10, 20  bob 20, 40     b: ada 30, 50  bob 30, never
TRIALS = {
    ("ada", 1, "a"): [10, 15],
    ("ada", 2, "a"): [20, 30],
    ("bob", 1, "a"): [20, None],
    ("bob", 2, "a"): [60, 40],
    ("ada", 1, "b"): [30, 31],
    ("ada", 2, "b"): [50, None],
    ("bob", 1, "b"): [30, None],
    ("bob", 2, "b"): [None, None],
}


@pytest.fixture
def rules(tmp_path):
    return trees.rules(tmp_path)


@pytest.fixture
def logs(tmp_path):
    trees.write_all(tmp_path / "logs", TRIALS)
    return tmp_path / "logs"


def of(name, folder):
    return Side(name, gather([folder]))


@pytest.fixture
def found(logs, rules):
    return compare(of("ada", logs / "ada"), of("bob", logs / "bob"), rules)


def test_ratios_by_hand(found):
    (pair,) = found.pairs
    rows = pair.rows.set_index("workload")
    # a: medians 15 and 30. b: 40 and inf, which counts as the budget of 100 s: at least 2.5.
    assert rows.loc["a", ["left", "right", "ratio"]].tolist() == [15.0, 30.0, 2.0]
    assert rows.loc["b", ["left", "right", "ratio"]].tolist() == [40.0, math.inf, 2.5]
    assert rows["bound"].tolist() == [False, True]
    assert pair.ratio == pytest.approx(math.sqrt(2.0 * 2.5))


def test_pairing_takes_what_the_studies_share_out_of_the_interval(found):
    # On a bob needs exactly twice ada's time in each study: the paired ratio is sure, though the
    # times differ by a factor of two from study to study.
    row = found.pairs[0].rows.set_index("workload").loc["a"]
    assert (row["low"], row["high"]) == (2.0, 2.0)
    # On b the draws are (1, 1), (1, 2), (2, 2): ratios 30/30, 100/40 and 100/50.
    row = found.pairs[0].rows.set_index("workload").loc["b"]
    assert (row["low"], row["high"]) == (1.0, 2.5)
    assert found.pairs[0].faster == 0.0


def test_the_other_way_round_is_the_inverse(logs, rules, found):
    back = compare(of("bob", logs / "bob"), of("ada", logs / "ada"), rules).pairs[0]
    assert back.ratio == pytest.approx(1 / found.pairs[0].ratio)
    assert back.faster == 1.0


def test_two_results_folders_are_compared_by_submission(logs, rules, tmp_path):
    later = {key: [t and t / 2 for t in times] for key, times in TRIALS.items() if key[0] == "ada"}
    trees.write_all(tmp_path / "later", later)
    found = compare(of("logs", logs), of("later", tmp_path / "later"), rules)
    assert [(pair.left, pair.right) for pair in found.pairs] == [("ada", "ada")]
    assert found.pairs[0].ratio == pytest.approx(0.5)
    assert found.notes == ["Only in logs: bob."]


def test_a_workload_that_neither_reached_is_not_counted(rules, tmp_path):
    # Of b both medians are infinite, though A reached it once: only a counts, 20 over 10.
    trials = {
        ("ada", 1, "a"): [10], ("ada", 2, "a"): [10], ("ada", 3, "a"): [10],
        ("ada", 1, "b"): [30], ("ada", 2, "b"): [None], ("ada", 3, "b"): [None],
        ("bob", 1, "a"): [20], ("bob", 2, "a"): [20], ("bob", 3, "a"): [20],
        ("bob", 1, "b"): [None], ("bob", 2, "b"): [None], ("bob", 3, "b"): [None],
    }  # fmt: skip
    trees.write_all(tmp_path / "three", trials)
    three = tmp_path / "three"
    path = tmp_path / "three.json"
    tuning = {"studies": 3, "trials": 1, "budget_factor": 1.0}
    path.write_text(json.dumps({"extends": "rules.json", "tuning": dict.fromkeys(Ruleset, tuning)}))
    loaded = rulesets.load(path)
    (pair,) = compare(of("ada", three / "ada"), of("bob", three / "bob"), loaded).pairs
    assert pair.ratio == pytest.approx(2.0)


def test_what_is_not_compared_is_told(logs, rules, tmp_path):
    few = {("eve", 0, "a"): [5], ("eve", 1, "a"): [20]}
    trees.write_all(tmp_path / "few", few)
    found = compare(of("ada", logs / "ada"), of("eve", tmp_path / "few"), rules)
    assert found.notes == ["Only A ran b: it is not compared."]
    # Two studies each, counted from 1 and from 0: paired in their order, 10 with 5, 20 with 20.
    (row,) = found.pairs[0].rows.to_dict("records")
    assert (row["studies"], row["left"], row["right"]) == (2, 15.0, 12.5)
    trees.write_all(tmp_path / "fewer", {("eve", 2, "a"): [5], ("eve", 2, "b"): [5]})
    found = compare(of("ada", logs / "ada"), of("eve", tmp_path / "fewer"), rules)
    assert "a: 1 studies in pairs, of 2 of A and 1 of B." in found.notes
    assert found.pairs[0].rows["left"].tolist() == [20.0, 50.0]


def test_nothing_in_common_is_an_error(logs, rules, tmp_path):
    trees.write_all(tmp_path / "other", {("eve", 1, "a"): [1], ("eva", 1, "a"): [1]})
    with pytest.raises(UserError, match="no submission is in both"):
        compare(of("logs", logs), of("other", tmp_path / "other"), rules)
    trees.write_all(tmp_path / "third", {("eve", 7, "a"): [1]})
    with pytest.raises(UserError, match="no base workload and study in common"):
        compare(of("ada", logs / "ada"), of("eve", tmp_path / "third"), rules)


def test_a_name_is_looked_up(logs, tmp_path):
    assert side("ada", logs) == of("ada", logs / "ada")
    assert side(str(logs / "bob"), None) == of(str(logs / "bob"), logs / "bob")
    with pytest.raises(UserError, match="'eve' is neither a folder nor a submission"):
        side("eve", logs)
    trees.write_all(logs / "again", {("ada", 1, "a"): [1]})
    with pytest.raises(UserError, match="in several folders"):
        side("ada", logs)


def test_what_is_shown_and_what_programs_read(found):
    console = Console(record=True, width=100)
    comparison.terminal(found, console)
    shown = console.export_text()
    assert ">= 2.50" in shown
    assert "B needs 2.24 times the time of A" in shown
    raw = json.loads(comparison.as_json(found))
    assert raw["pairs"][0]["workloads"][1]["right"] is None


def test_of_one_study_there_is_no_interval(logs, rules, tmp_path):
    trees.write_all(tmp_path / "one", {("ada", 1, "a"): [10], ("bob", 1, "a"): [30]})
    one = tmp_path / "one"
    (pair,) = compare(of("ada", one / "ada"), of("bob", one / "bob"), rules).pairs
    assert pair.ratio == pytest.approx(3.0)
    assert math.isnan(pair.low)
    assert math.isnan(pair.faster)
    assert "of one study nobody can say" in comparison.verdict(pair)


def test_without_a_budget_what_was_not_reached_is_left_open(logs, rules):
    found = compare(of("ada", logs / "ada"), of("bob", logs / "bob"), rules, "steps")
    row = found.pairs[0].rows.set_index("workload").loc["b"]
    assert math.isnan(row["ratio"])
    # On a everybody arrives with his last step: 10, 15, ... are the steps, too.
    assert found.pairs[0].ratio == pytest.approx(2.0)
