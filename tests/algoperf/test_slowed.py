"""Trials on a machine that was slow: which they are, and what becomes of their records."""

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from algoperf import records, slowed, study
from algoperf.errors import UserError
from algoperf.executors.local import LocalExecutor
from algoperf.recording import TrialRecord
from algoperf.records import Ending, TrialSpec
from algoperf.spec import Status
from scoring.leaderboard import board

WORKLOADS = ["digits_autoencoder", "digits_vit"]
REACHED = Ending(Status.TARGET_REACHED, "for the test", 1)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def record(spec: TrialSpec, results: Path, machine: str, *moments: float, time: float = 1.0):
    """Records a trial whose matrix product took so many seconds before, between and after."""
    folder = TrialRecord(spec, results)
    folder.begin()
    target = spec.fixed.validation
    folder.append(
        {
            "accumulated_submission_time": time,
            "global_step": 1,
            f"validation/{target.metric}": target.value,
        }
    )
    calibration = {str(place): {"matmul_s": s} for place, s in enumerate(moments)}
    folder.finish(REACHED, {"machine_id": machine, "calibration": calibration})


def fail(spec, results):
    folder = TrialRecord(spec, results)
    folder.begin()
    folder.finish(Ending(Status.FAILED, "for the test", None), {"machine_id": "a"})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def todo(mine, rules, results):
    return study.plan([str(mine)], WORKLOADS, rules, results).todo


def find(mine, rules, results, **options):
    return slowed.find([str(mine)], WORKLOADS, rules, results, **options)


@pytest.fixture
def one(mine, rules, results):
    """A folder in which one trial of eight was slowed, by a fifth: its repeat."""
    for place, spec in enumerate(todo(mine, rules, results)):
        record(spec, results, "a", 1.0, 1.4 if place == 5 else 1.0, time=5.0)
    (found,) = find(mine, rules, results)
    assert found.slowdown == pytest.approx(1.2)
    return found.spec


def test_slowed_is_what_scoring_marks(mine, rules, results):
    specs = todo(mine, rules, results)
    # Machine a at best needs 1.00 s, machine b 2.00 s. A trial counts by the mean of its moments.
    moments = [("a", 1.0, 1.0), ("a", 1.0, 1.0625), ("a", 1.0, 1.25), ("b", 2.0, 2.0),
               ("b", 2.0, 2.0625), ("b", 2.25, 2.0, 2.25)]  # fmt: skip
    for spec, moment in zip(specs, moments, strict=False):
        record(spec, results, *moment)
    fail(specs[6], results)
    found = find(mine, rules, results)
    # 1.0625: 1.03; 1.25: 1.125; 2.0625: 1.015; 2.25, 2, 2.25: 6.5 / 3 / 2 = 1.083.
    assert [slow.slowdown for slow in found] == pytest.approx([1.125, 6.5 / 6])
    assert [slow.spec for slow in found] == [
        TrialSpec(**{**vars(specs[place]), "repeat": 1}) for place in (2, 5)
    ]
    trials = board.read([results], rules).trials
    assert sorted(trials["slowdown"].dropna()) == pytest.approx(
        sorted([1.0, 1.03125, 1.125, 1.0, 1.015625, 6.5 / 6])
    )


def test_only_what_is_asked_for_is_repeated(mine, rules, results):
    specs = todo(mine, rules, results)
    for spec in specs:
        record(spec, results, "a", 1.0 if spec == specs[0] else 2.0)
    assert len(find(mine, rules, results)) == 7
    assert {slow.spec.study for slow in find(mine, rules, results, studies=1)} == {1}
    assert len(slowed.find([str(mine)], WORKLOADS[1:], rules, results)) == 4
    assert slowed.find(["adamw"], WORKLOADS, rules, results) == []


def test_a_repeat_that_was_slowed_less_counts_and_the_record_before_stays(
    one, mine, rules, results
):
    folder = one.folder(results)
    before = contents(folder)
    record(one, results, "a", 1.0, 1.2, time=3.0)
    assert contents(records.aside(folder, 1)) == before
    manifest = records.read_manifest(folder)
    assert manifest is not None
    assert (manifest["repeat"], manifest["seed"]) == (1, one.seed)
    # Slowed by a tenth, it may be repeated once more, under the next number.
    (again,) = find(mine, rules, results)
    assert again.slowdown == pytest.approx(1.1)
    assert again.spec.repeat == 2
    repeat = contents(folder)
    record(again.spec, results, "a", 1.0, 1.0, time=2.0)
    assert contents(records.aside(folder, 1)) == before
    assert contents(records.aside(folder, 2)) == repeat
    assert find(mine, rules, results) == []
    assert todo(mine, rules, results) == ()


@pytest.mark.parametrize("slower", [("a", 2.0, 2.0), ("a", 1.0, 1.4), ("b", 1.0, 1.0), ()])
def test_a_repeat_that_was_slowed_more_or_elsewhere_or_failed_lies_aside(one, results, slower):
    folder = one.folder(results)
    before = contents(folder)
    if slower:
        record(one, results, *slower)
    else:
        fail(one, results)
    assert contents(folder) == before
    aside = records.read_manifest(records.aside(folder, 1))
    assert aside is not None
    assert aside["repeat"] == 1
    assert one.is_recorded(results)


def test_a_repeat_that_is_cut_off_leaves_the_record(one, mine, rules, results):
    folder = one.folder(results)
    before = contents(folder)
    TrialRecord(one, results).begin()
    assert contents(folder) == before
    assert not one.is_recorded(results)
    assert todo(mine, rules, results) == ()
    assert [slow.spec for slow in find(mine, rules, results)] == [one]
    record(one, results, "a", 1.0)
    assert contents(records.aside(folder, 1)) == before


@pytest.mark.parametrize("moves", [0, 1])
def test_a_cut_between_the_moves_loses_no_record(one, mine, rules, results, monkeypatch, moves):
    """Cut off before the first or the second of the two moves that put the repeat in its place."""
    folder, rename = one.folder(results), Path.rename
    before = contents(folder)
    done = []

    def cut(self, target):
        if self.name.startswith("trial_") or target == folder:
            if len(done) == moves:
                raise KeyboardInterrupt
            done.append(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut)
    with pytest.raises(KeyboardInterrupt):
        record(one, results, "a", 1.0, time=3.0)
    monkeypatch.undo()
    # The next run does what is left, and trains nothing.
    missing = todo(mine, rules, results)
    assert len(missing) == moves
    (spec,) = missing or [slow.spec for slow in find(mine, rules, results)]
    ending = LocalExecutor(results, []).run(spec, lambda _: None)
    assert ending == REACHED
    assert contents(records.aside(folder, 1)) == before
    manifest = records.read_manifest(folder)
    assert manifest is not None
    assert manifest["repeat"] == 1
    assert not list(folder.parent.glob(".trial*partial"))


class Told:
    """Notes what a run tells."""

    def __init__(self):
        self.ended_, self.elsewhere_ = [], []

    def began(self, spec): ...

    def beat(self, spec, beat): ...

    def told(self, text): ...

    def ended(self, spec, ending):
        self.ended_.append(spec.label)

    def elsewhere(self, spec):
        self.elsewhere_.append(spec.label)


def test_two_runs_share_the_repeats(mine, rules, results, monkeypatch):
    """With a trial's process left out: it is recorded at once."""
    for place, spec in enumerate(todo(mine, rules, results)):
        record(spec, results, "a", 2.0 if place else 1.0)
    again = [slow.spec for slow in find(mine, rules, results)]
    started = []

    def run(self, spec, on_beat, claim, tell):
        started.append(spec)
        record(spec, self.results, "a", 1.0)
        return REACHED

    monkeypatch.setattr(LocalExecutor, "run", run)
    watchers = [Told(), Told()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda told: study.run(again, results, told), watchers))
    assert len(started) == len(again) == 7
    labels = {spec.label for spec in again}
    assert all(set(told.ended_) | set(told.elsewhere_) == labels for told in watchers)
    assert all(label.endswith("repeat 1") for label in labels)
    assert find(mine, rules, results) == []


def test_the_scorer_takes_the_record_slowed_least_and_tells_how_many_were_repeated(
    one, rules, results
):
    record(one, results, "a", 1.0, 1.2, time=3.0)
    record(TrialSpec(**{**vars(one), "repeat": 2}), results, "a", 1.5, time=1.0)
    found = board.read([results], rules).trials
    row = found[(found["workload"] == one.workload) & (found["repeats"] > 0)].iloc[0]
    assert (row["time"], row["repeats"], row["study"], row["trial"]) == (
        3.0,
        2,
        one.study,
        one.trial,
    )
    assert len(found) == 8
    assert found["repeats"].sum() == 2
    notes = " ".join(board.score([results], rules).notes)
    assert "1 of 8 trials were repeated" in notes


def test_repeats_are_counted_by_their_option_alone(tmp_path):
    from algoperf import cli

    with pytest.raises(UserError, match="--repeats needs --rerun-slowed"):
        cli.run(["adamw"], results=tmp_path / "r", repeats=2)
    with pytest.raises(UserError, match="--repeats is 0; it must be at least 1"):
        cli.run(["adamw"], results=tmp_path / "r", repeats=0, rerun_slowed=True)
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_a_real_trial_is_repeated(tmp_path, easy_rules, results):
    source = tmp_path / "mine.py"
    source.write_text(
        "import optax\nfrom algoperf import from_optax\n"
        "submission = from_optax(lambda hp, workload: optax.sgd(0.1))\n"
    )

    def run(*options):
        command = [Path(sys.executable).parent / "algoperf", "run", source, "--rules", easy_rules,
                   "--results", results, "--workload", "digits_autoencoder", "--studies", "1",
                   *options]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    run()
    (trial,) = results.rglob("trial_1")
    manifest = records.read_manifest(trial)
    assert manifest is not None
    # As if the machine had been slow beyond all that its other work can make of it.
    for moment in manifest["calibration"].values():
        moment |= {name: 1000 * seconds for name, seconds in moment.items()}
    (trial / records.MANIFEST).write_text(json.dumps(manifest))
    before = contents(trial)
    plan = run("--rerun-slowed", "--plan")
    assert "1 recorded trials ran while the machine was slowed down by 5% or more" in plan
    assert "To be repeated" in plan
    assert contents(trial) == before
    assert "study 1, trial 1, repeat 1: target reached" in run("--rerun-slowed")
    assert contents(records.aside(trial, 1)) == before
    repeat = records.read_manifest(trial)
    assert repeat is not None
    assert (repeat["repeat"], repeat["seed"]) == (1, manifest["seed"])
    assert slowed.less(repeat, manifest)


def test_slowdown_is_the_worst_piece_over_before_and_after():
    calibration = {"before": {"a": 1.0, "b": 2.0}, "after": {"a": 1.2, "b": 2.0}}
    own = slowed.pace({"machine_id": "m", "calibration": calibration})
    # The mean of a, 1.1, is a tenth above its best; b is at its best.
    assert slowed.slowdown(own, slowed.best([own])) == pytest.approx(1.1)
    # Another trial of the machine knew of a better b: 2 / 1.6.
    other = slowed.pace({"machine_id": "m", "calibration_best": {"b": 1.6}})
    assert slowed.slowdown(own, slowed.best([own, None, other])) == pytest.approx(1.25)
    assert math.isnan(slowed.slowdown(other, slowed.best([own, other])))
    # What another machine can do is no matter.
    fast = slowed.pace({"machine_id": "n", "calibration_best": {"a": 0.1, "b": 0.1}})
    assert slowed.slowdown(own, slowed.best([own, fast])) == pytest.approx(1.1)
