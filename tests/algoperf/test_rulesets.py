"""A rules file is checked whole before anything is run or scored under it."""

import copy
import json

import pytest

from algoperf import registry, rulesets
from algoperf.errors import UserError
from algoperf.rules import Scoring
from tests.scoring.trees import WORKLOAD

RAW = {
    "suite": "mine",
    "tuning": {
        "external": {"studies": 2, "trials": 2, "budget_factor": 1.0},
        "self_tuning": {"studies": 2, "trials": 1, "budget_factor": 1.5},
    },
    "base_workloads": ["a", "b"],
    "tau_max": 4.0,
    "workloads": {"a": WORKLOAD, "b": WORKLOAD, "a_x": WORKLOAD, "a_y": WORKLOAD},
}


@pytest.fixture
def load(tmp_path):
    def load_(raw, name="mine.json"):
        path = tmp_path / name
        path.write_text(raw if isinstance(raw, str) else json.dumps(raw))
        return rulesets.load(path)

    return load_


def changed(path, value):
    """`RAW` with the value at `path`, keys joined by dots, replaced."""
    raw = copy.deepcopy(RAW)
    *above, last = path.split(".")
    inner = raw
    for key in above:
        inner = inner[key]
    inner[last] = value
    return raw


@pytest.mark.parametrize("name", registry.rules_files())
def test_the_rules_that_come_with_the_package_are_valid(name):
    rules = rulesets.load(name)
    assert rules.name == name
    assert set(rules.base_workloads) <= rules.workloads.keys()


def test_what_is_left_out_has_a_default(load):
    rules = load(RAW)
    assert rules.name == "mine"
    assert rules.scoring == Scoring()
    assert rules.held_out == ()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tau_mx", 4.0, "unknown keys tau_mx"),
        ("base_workloads", ["a", "a"], "base_workloads is not a list of different names"),
        ("base_workloads", "ab", "base_workloads is not a list of different names"),
        ("base_workloads", [], "base_workloads is empty"),
        ("base_workloads", ["c"], "base_workloads names c, without"),
        ("held_out", ["b"], "'b' is a variant of no base workload"),
        ("held_out", ["zzz"], "held_out names zzz, without"),
        ("tuning.external.studies", 0, "studies of external is 0"),
        ("tuning.external.studies", "2", "studies of external is '2'"),
        ("tuning.external.trials", 1.5, "trials of external is 1.5; it must be a whole number"),
        ("tuning.external.budget_factor", "x", "budget_factor of external"),
        ("tuning.external.budget_factor", -1.0, "budget_factor of external"),
        ("tuning.external", {"studies": 2}, "tuning external must have"),
        ("tuning", {"external": RAW["tuning"]["external"]}, "tuning lacks self_tuning"),
        ("tau_max", float("inf"), "tau_max is not finite"),
        ("tau_max", 1.0, "tau_min is 1; it must be below tau_max, which is 1"),
        ("cutoff", float("nan"), "cutoff is nan"),
        ("cutoff", 0.5, "cutoff is 0.5"),
        ("profile_points", 1, "profile_points is 1"),
        ("profile_points", 10**12, "a million are enough"),
        ("choice", "slowest", "choice is 'slowest'; it must be one of fastest, "),
        ("choice", 3, "choice is 3; it must be one of"),
        ("budget_checked", "yes", "budget_checked is 'yes'; it must be true or false"),
        ("workloads.a.metric", 3, "metric of a is 3"),
        ("workloads.a.higher_is_better", "false", "higher_is_better of a"),
        ("workloads.a.validation_target", "low", "validation_target of a"),
        ("workloads.a.step_hint", 0, "step_hint of a is 0"),
        ("workloads", [], "workloads is []; it must be an object"),
        ("tuning", 3, "tuning is 3; it must be an object"),
        ("tuning.internal", {}, "a ruleset under tuning is 'internal'; it must be one of external"),
    ],
)
def test_what_is_wrong_is_named(load, path, value, message):
    with pytest.raises(UserError, match=r"mine\.json") as raised:
        load(changed(path, value))
    assert message in str(raised.value)


def test_several_variants_of_a_base_may_be_held_out(load):
    from scoring.leaderboard.profiles import suite_of

    for names in (["a_x", "a_y"], ["a_y", "a_x"]):
        suite = suite_of(load({**RAW, "held_out": names}))
        assert suite.columns == ("a", "b", *names)
        assert suite.held_out == ((2, 3), ())


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\x00"])
def test_what_is_no_json_is_told(load, text):
    with pytest.raises(UserError, match="Rules file"):
        load(text)


def test_a_folder_is_no_rules_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        rulesets.load(tmp_path)


def test_a_file_may_extend_rules_by_name_and_by_file(load):
    load(RAW)
    mine = load({"extends": "mine.json", "tau_max": 3.0}, "other.json")
    assert (mine.name, mine.scoring.tau_max, mine.base_workloads) == ("other", 3.0, ("a", "b"))
    named = load({"extends": "v0.6", "base_workloads": ["ogbg"]}, "small.json")
    assert named.base_workloads == ("ogbg",)
    assert named.workloads == rulesets.load("v0.6").workloads
