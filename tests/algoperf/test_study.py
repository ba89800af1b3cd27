"""What is run, and what is not run again: planning reads the results folder and nothing else."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import cast

import pytest

from algoperf import records, rulesets, study
from algoperf.claims import Claim, Claims, Lost
from algoperf.errors import UserError
from algoperf.executors.local import LocalExecutor
from algoperf.recording import TrialRecord
from algoperf.records import Ending
from algoperf.rules import Ruleset
from algoperf.spec import Status

WORKLOADS = ["digits_autoencoder", "digits_vit"]


@pytest.fixture
def self_tuning(tmp_path):
    path = tmp_path / "untuned.py"
    path.write_text("def init(a, b, c, d): ...\ndef update(a, b, c, d, e): ...\n")
    return path


ENDING = Ending(Status.FINISHED_EARLY, "for the test", 1)


def finish(spec, results, status=Status.FINISHED_EARLY):
    record = TrialRecord(spec, results)
    record.begin()
    record.finish(Ending(status, "for the test", 1), {})


def plan(submissions, rules, results, **options):
    return study.plan([str(s) for s in submissions], WORKLOADS, rules, results, **options)


def test_an_empty_folder_needs_everything(mine, self_tuning, rules, tmp_path):
    todo = plan([mine, self_tuning], rules, tmp_path / "r").todo
    # External: 2 studies x 2 trials, self-tuning: 2 x 1, on two workloads.
    assert len(todo) == 2 * (4 + 2)
    external = [s for s in todo if s.submission == "mine"]
    assert {(s.study, s.trial) for s in external} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert all(s.point is None for s in todo if s.submission == "untuned")


def test_every_trial_has_its_own_point_the_same_on_all_workloads(mine, rules, tmp_path):
    todo = plan([mine], rules, tmp_path).todo
    by_workload = [[s.point for s in todo if s.workload == name] for name in WORKLOADS]
    assert by_workload[0] == by_workload[1]
    assert len({point["rate"] for point in by_workload[0]}) == 4


def test_points_do_not_depend_on_what_is_missing(mine, rules, tmp_path):
    whole = {s.folder(tmp_path): s for s in plan([mine], rules, tmp_path).todo}
    for spec in list(whole.values())[::2]:
        finish(spec, tmp_path)
    rest = plan([mine], rules, tmp_path)
    assert rest.done == 4
    assert rest.todo == tuple(list(whole.values())[1::2])


def test_seeds_are_the_same_for_every_submission_and_differ_otherwise(mine, rules, tmp_path):
    todo = plan([mine, "adamw"], rules, tmp_path).todo
    seeds = {}
    for spec in todo:
        seeds.setdefault((spec.study, spec.workload, spec.trial), set()).add(spec.seed)
    assert all(len(same) == 1 for same in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)


def test_self_tuning_gets_its_larger_budget(mine, self_tuning, rules, tmp_path):
    todo = plan([mine, self_tuning], rules, tmp_path).todo
    budget = {(s.submission, s.workload): s.fixed.budget_s for s in todo}
    for name in WORKLOADS:
        assert budget["mine", name] == rules.workloads[name].budget_s
        assert budget["untuned", name] == 1.5 * rules.workloads[name].budget_s


def test_a_deleted_trial_is_the_one_that_is_run(mine, rules, tmp_path):
    import shutil

    todo = plan([mine], rules, tmp_path).todo
    for spec in todo:
        finish(spec, tmp_path)
    assert plan([mine], rules, tmp_path).todo == ()
    shutil.rmtree(todo[5].folder(tmp_path))
    assert plan([mine], rules, tmp_path).todo == (todo[5],)


def test_a_failed_trial_is_a_result_and_not_run_again(mine, rules, tmp_path):
    for spec in plan([mine], rules, tmp_path).todo:
        finish(spec, tmp_path, Status.FAILED)
    assert plan([mine], rules, tmp_path).todo == ()


def test_fewer_studies(mine, rules, tmp_path):
    assert {s.study for s in plan([mine], rules, tmp_path, studies=1).todo} == {1}


def test_results_of_another_version_do_not_mix(mine, rules, tmp_path):
    finish(plan([mine], rules, tmp_path).todo[0], tmp_path)
    mine.write_text(mine.read_text() + "# edited\n")
    with pytest.raises(UserError, match="another version of 'mine'.*rename.*--results"):
        plan([mine], rules, tmp_path)


def test_results_under_other_rules_do_not_mix(mine, rules, easy_rules, tmp_path):
    results = tmp_path / "r"
    finish(plan([mine], rulesets.load(easy_rules), results).todo[0], results)
    with pytest.raises(UserError, match="under the rules 'easy'"):
        plan([mine], rules, results)


def test_an_unreadable_manifest_is_told(mine, rules, tmp_path):
    spec = plan([mine], rules, tmp_path).todo[0]
    finish(spec, tmp_path)
    (spec.folder(tmp_path) / records.MANIFEST).write_text('{"format": 1, "subm')
    with pytest.raises(UserError, match="no readable manifest.json. Move it away"):
        plan([mine], rules, tmp_path)


def test_all_faults_of_all_submissions_are_told_at_once(tmp_path, rules):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("x =")
    with pytest.raises(UserError) as caught:
        plan([tmp_path / "one.py", tmp_path / "two.py", "adamx"], rules, tmp_path / "r")
    assert all(word in str(caught.value) for word in ("one.py", "two.py", "adamx"))


class Told:
    """Notes what a run tells."""

    def __init__(self):
        self.ended_, self.elsewhere_, self.texts = [], [], []

    def began(self, spec): ...

    def beat(self, spec, beat): ...

    def told(self, text):
        self.texts.append(text)

    def ended(self, spec, ending):
        self.ended_.append(spec.label)

    def elsewhere(self, spec):
        self.elsewhere_.append(spec.label)


def test_two_runs_on_one_folder_share_the_work(mine, rules, tmp_path, monkeypatch):
    """With a trial's process left out: it is recorded at once."""
    todo = plan([mine], rules, tmp_path / "r").todo
    started = []

    def record(self, spec, on_beat, claim, tell):
        started.append(spec)
        record = TrialRecord(spec, self.results, claim.number)
        record.begin()
        record.finish(ENDING, {})
        return ENDING

    monkeypatch.setattr(LocalExecutor, "run", record)
    watchers = [Told(), Told()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda told: study.run(todo, tmp_path / "r", told), watchers))
    assert len(started) == len(todo) == 8
    for told in watchers:
        assert set(told.ended_) | set(told.elsewhere_) == {spec.label for spec in todo}
    assert plan([mine], rules, tmp_path / "r").todo == ()
    assert not list((tmp_path / "r").rglob(".trial*"))


def test_of_a_trial_that_was_taken_over_in_its_sleep_the_owner_starts_nothing(
    mine, rules, tmp_path
):
    spec = plan([mine], rules, tmp_path / "r").todo[0]
    folder = spec.folder(tmp_path / "r")
    with cast("Claim", Claims().take(folder)) as claim:
        folder.with_name(".trial_1.2.claim").touch()
        with pytest.raises(Lost):
            LocalExecutor(tmp_path / "r", []).run(spec, lambda _: None, claim)
    assert [path.name for path in folder.parent.iterdir()] == [".trial_1.2.claim"]


def test_a_run_waits_for_what_another_machine_does(mine, rules, tmp_path, monkeypatch):
    """The claim of a trial that another machine records a moment later."""
    spec = plan([mine], rules, tmp_path / "r").todo[0]
    folder = spec.folder(tmp_path / "r")
    claim = folder.with_name(".trial_1.1.claim")
    folder.parent.mkdir(parents=True)
    claim.write_text(
        '{"host": "far", "machine": "m", "boot": "b", "pid": 7, "start": "then", "locked": true}'
    )
    monkeypatch.setattr(study, "LOOK_AGAIN_S", 0.01)
    told = Told()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(study.run, [spec], tmp_path / "r", told)
        time.sleep(0.1)
        assert not waiting.done()
        claim.write_text("")  # as it reads for a moment while it is given back
        time.sleep(0.1)
        finish(spec, tmp_path / "r")
        claim.unlink()
        waiting.result(timeout=10)
    assert told.texts == [f"{spec.label} is run by process 7 on far."]
    assert told.elsewhere_ == [spec.label]


def test_planning_a_complete_study_imports_no_jax(mine, rules, tmp_path):
    for spec in plan([mine], rules, tmp_path).todo:
        finish(spec, tmp_path)
    script = f"""
import sys
from dataclasses import replace
from pathlib import Path
from algoperf import rulesets, study
plan = study.plan([{str(mine)!r}], {WORKLOADS!r}, rulesets.load("quick"), Path({str(tmp_path)!r}))
assert plan.todo == () and plan.done == 8
assert "jax" not in sys.modules, "jax was imported"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_submission_given_twice_is_run_once(mine, rules, tmp_path):
    assert len(plan([mine, mine], rules, tmp_path).todo) == 8


def test_two_submissions_of_one_name_are_an_error(mine, rules, tmp_path):
    other = tmp_path / "elsewhere" / "mine.py"
    other.parent.mkdir()
    other.write_text(mine.read_text())
    with pytest.raises(UserError, match="have the same name; rename one"):
        plan([mine, other], rules, tmp_path)


def test_a_workload_that_is_not_installed_is_told_before_anything_runs(mine, rules, tmp_path):
    known = rules.workloads
    wider = replace(rules, workloads={**known, "elsewhere": known["digits_vit"]})
    with pytest.raises(UserError, match="Unknown workload 'elsewhere'"):
        study.plan([str(mine)], ["elsewhere"], wider, tmp_path)


def test_a_ruleset_that_is_asked_for_is_insisted_on(mine, self_tuning, rules, tmp_path):
    wanted = {"mine": Ruleset.EXTERNAL, "untuned": Ruleset.SELF_TUNING}
    for path in (mine, self_tuning):
        own = wanted[path.stem]
        (other,) = set(Ruleset) - {own}
        workloads = ["digits_autoencoder"]
        assert study.plan([str(path)], workloads, rules, tmp_path / "r", asked=own).todo
        with pytest.raises(UserError, match="search space"):
            study.plan([str(path)], workloads, rules, tmp_path / "r", asked=other)


def test_points_that_suffice_for_the_studies_asked_for_are_enough(rules, tmp_path):
    path = tmp_path / "few.py"
    path.write_text(
        "import optax\nfrom algoperf import from_optax\n"
        "search_space = [{'rate': 0.1}, {'rate': 0.2}]\n"
        "submission = from_optax(lambda hp, workload: optax.sgd(hp.rate))\n"
    )
    workloads = ["digits_autoencoder"]
    (first, second) = study.plan([str(path)], workloads, rules, tmp_path / "r", studies=1).todo
    assert (first.point, second.point) == ({"rate": 0.1}, {"rate": 0.2})
    with pytest.raises(UserError, match="need 4 hyperparameter points"):
        study.plan([str(path)], workloads, rules, tmp_path / "r")
