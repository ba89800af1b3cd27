"""The target-setting protocol by hand, and the committed provenance against the rules."""

import json
import math
from dataclasses import replace

import pytest

from algoperf import registry, rulesets, settling, targets
from algoperf.errors import UserError
from algoperf.recording import TrialRecord
from algoperf.records import Ending, Status
from algoperf.spec import Target

HOW = settling.Protocol(("a", "b"), points=2, seeds=5, horizon=0.5, budget_factor=3.0)
LOSS = Target("loss", float("nan"), higher_is_better=False)


def outcome(value, test=0.0, submission="a", step_s=0.01):
    return {"submission": submission, "best_validation": value, "test": test, "step_s": step_s}


SEARCH = [
    outcome(0.5),
    outcome(0.4, submission="b", step_s=0.07),
    outcome(0.4, submission="b", step_s=0.02),
]


def settle(target, repeats):
    return settling.settle(target, HOW, repeats, SEARCH, step_hint=100)


def test_the_target_is_the_median_and_the_test_target_the_worst_of_those_that_hit():
    repeats = [outcome(v, t) for v, t in [(0.3, 1), (0.1, 4), (0.5, 9), (0.2, 2), (0.4, 8)]]
    found = settle(LOSS, repeats)
    # In order 0.1 0.2 [0.3] 0.4 0.5; three hit it, with tests 4, 2, 1: the worst loss is 4.
    assert (found["validation_target"], found["test_target"]) == (0.3, 4)
    # 3 x 100 steps x 0.02 s of the slower algorithm, whose other run was held up.
    assert found["budget_s"] == 6.0


def test_the_other_direction():
    accuracy = Target("accuracy", float("nan"), higher_is_better=True)
    repeats = [outcome(v, t) for v, t in [(0.3, 1), (0.1, 4), (0.5, 9), (0.2, 2), (0.4, 8)]]
    found = settle(accuracy, repeats)
    assert (found["validation_target"], found["test_target"]) == (0.3, 1)


def test_a_run_that_measured_nothing_counts_as_the_worst():
    repeats = [outcome(None), outcome(0.1), outcome(None), outcome(0.2), outcome(0.3)]
    assert settle(LOSS, repeats)["validation_target"] == 0.3
    with pytest.raises(UserError, match="More than half"):
        settle(LOSS, [outcome(None)] * 3 + [outcome(0.1)] * 2)


def test_rules_that_do_not_say_how(tmp_path):
    with pytest.raises(UserError, match="do not say how targets are set"):
        targets.protocol_of({"name": "mine"}, "mine")


@pytest.mark.parametrize("name", ["quick", "pocket"])
def test_every_committed_number_follows_from_its_committed_runs(name):
    rules, how, provenance = rulesets.load(name), targets.protocol(name), targets.provenance(name)
    set_ = {
        w
        for w, fixed in rules.workloads.items()
        if fixed.validation.value == fixed.validation.value
    }
    assert set(rules.base_workloads) <= set_ == set(provenance)
    for workload, found in provenance.items():
        fixed = rules.workloads[workload]
        searched = how.search_variants or workload in rules.base_workloads
        base = None if searched else rules.workloads[rules.base_of(workload)]
        again = settling.settle(
            fixed.validation,
            how,
            found["repeats"],
            found["search"],
            step_hint=fixed.step_hint,
            budget_s=base and base.budget_s,
        )
        assert fixed.validation.value == again["validation_target"] == found["validation_target"]
        assert fixed.test.value == again["test_target"]
        assert fixed.budget_s == again["budget_s"]
        assert len({run["seed"] for run in found["repeats"]}) == how.seeds
        assert len(found["search"]) == (how.points * len(how.submissions) if searched else 0)
        of = found if searched else provenance[rules.base_of(workload)]
        best = _best(of["search"], higher=fixed.validation.higher_is_better)
        assert all(run["point"] == best["point"] for run in found["repeats"])


def _best(search, *, higher):
    measured = [run for run in search if run["best_validation"] is not None]
    return (max if higher else min)(measured, key=lambda run: run["best_validation"])


def test_a_variant_without_a_search_takes_its_bases_best_point(monkeypatch, tmp_path):
    rules = rulesets.load("quick")
    how = targets.protocol_of(
        {
            "target_setting": {
                "submissions": ["adamw"], "points": 2, "seeds": 3, "horizon": 0.5,
                "budget_factor": 3.0, "search_variants": False,
            }
        },
        "quick",
    )  # fmt: skip
    first, second = targets._search(rules, how, "digits_vit", "adamw")
    settled = {"digits_vit": {"repeats": [{"submission": "adamw", "point": second.point}]}}
    monkeypatch.setattr(targets, "provenance", lambda _: settled)
    chosen = targets._best_of_base(rules, how, "digits_vit_relu")
    assert (chosen.workload, chosen.point) == ("digits_vit_relu", second.point)
    assert len(targets._repeats(rules, how, chosen)) == 3
    # Half of the step hint, unless this base and its variants have a share of their own.
    hint = rules.workloads["digits_vit"].step_hint
    assert first.fixed.step_hint == chosen.fixed.step_hint == hint // 2
    longer = replace(how, horizons={"digits_vit": 0.9})
    spec = targets._search(rules, longer, "digits_vit_relu", "adamw")[0]
    assert spec.fixed.step_hint == round(0.9 * hint)
    with pytest.raises(UserError, match="no target yet: name both"):
        targets._best_of_base(rules, how, "digits_resnet_gelu")
    settled["digits_vit"]["repeats"][0]["point"] = {"learning_rate": 0.5}
    with pytest.raises(UserError, match="no longer gives"):
        targets._best_of_base(rules, how, "digits_vit_relu")


@pytest.fixture
def rules_of_my_own(monkeypatch, tmp_path):
    """A copy of the quick rules that may be written: two algorithms, two points, three seeds."""
    raw = json.loads(registry.rules_files()["quick"].read_text())
    raw["target_setting"] |= {
        "submissions": ["adamw", "heavy_ball"], "points": 2, "seeds": 3, "search_variants": False,
    }  # fmt: skip
    file = tmp_path / "rules" / "quick.json"
    file.parent.mkdir()
    file.write_text(json.dumps(raw))
    monkeypatch.setattr(registry, "rules_files", lambda: {"quick": file})
    return file


def test_the_whole_protocol_from_search_to_rules(rules_of_my_own, tmp_path):
    """By hand: `heavy_ball`'s second point is the best, and its repeats are what counts."""
    rules, ran = rulesets.load("quick"), []
    searched = {"adamw": [0.9, 0.7], "heavy_ball": [0.8, 0.4]}
    repeated = {"digits_vit": [0.5, 0.3, 0.6], "digits_vit_relu": [0.9, 0.8, 0.7]}
    step_s = {"adamw": 0.02, "heavy_ball": 0.01}

    def run(specs):
        ran.append(len(specs))
        for spec in specs:
            values = searched[spec.submission] if spec.study == 1 else repeated[spec.workload]
            best = values[spec.trial - 1]
            record = TrialRecord(spec, tmp_path / "results")
            record.begin()
            for step, value in ((100, best), (200, best + 1)):
                record.append({
                    "global_step": step,
                    "accumulated_submission_time": step * step_s[spec.submission],
                    "validation/cross_entropy": value,
                    "test/cross_entropy": round(value + 0.01 * spec.trial, 9),
                })  # fmt: skip
            record.finish(Ending(Status.FINISHED_EARLY, "for the test", 200), {})

    asked = ["digits_vit_relu", "digits_vit"]
    found = targets.set_targets(rules, asked, tmp_path / "results", run)
    assert ran == [4, 3, 3]
    written = json.loads(rules_of_my_own.read_text())["workloads"]
    base, variant = written["digits_vit"], written["digits_vit_relu"]
    # The median of 0.5 0.3 0.6; 0.5 and 0.3 hit it, with tests 0.51 and 0.32.
    assert (base["validation_target"], base["test_target"]) == (0.5, 0.51)
    # 0.9 0.8 0.7: 0.8 and 0.7 hit it, with tests 0.82 and 0.73.
    assert (variant["validation_target"], variant["test_target"]) == (0.8, 0.82)
    # The slower algorithm's 0.02 s for each step of the hint, and then the rules' factor.
    hint, factor = rules.workloads["digits_vit"].step_hint, targets.protocol("quick").budget_factor
    assert base["budget_s"] == variant["budget_s"] == math.ceil(factor * 0.02 * hint)
    point = found["digits_vit"]["search"][3]["point"]
    assert [run["point"] for run in found["digits_vit_relu"]["repeats"]] == [point] * 3
    assert targets.provenance("quick") == found
    # What is recorded is not run again.
    assert targets.set_targets(rules, asked, tmp_path / "results", run) == found
    assert ran[3:] == [0, 0, 0]


def test_a_base_that_is_not_scored_is_searched_all_the_same(monkeypatch, tmp_path):
    rules = rulesets.load("quick")
    assert "digits_continued" not in rules.base_workloads
    how = replace(targets.protocol("quick"), search_variants=False)
    monkeypatch.setattr(targets, "protocol", lambda _: how)
    asked = []

    def run(specs):
        asked.extend(specs)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        targets.set_targets(rules, ["digits_continued"], tmp_path, run)
    assert len(asked) == how.points * len(how.submissions)
