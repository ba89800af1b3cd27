"""What is asked of a cluster, and what comes of it; tests/slurm does it with a real one."""

import dataclasses
import math
import textwrap

import pytest

from algoperf import rulesets, study
from algoperf.errors import UserError
from algoperf.executors import queue, slurm
from algoperf.executors.slurm import Options, Partition
from algoperf.spec import Status
from tests.algoperf.conftest import GOOD


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90:30", 91),  # 30 s begin another minute
        ("2:00:00", 120),
        ("1-12", 2160),  # a day and a half: 24 h + 12 h
        ("1-12:30", 2190),
        ("7-00:00:00", 10080),
        ("infinite", math.inf),
        ("0", 0),
        ("soon", None),
        ("1:2:3:4", None),
        ("-5", None),
        ("", None),
    ],
)
def test_times_in_slurms_notation(text, expected):
    assert slurm.minutes(text) == expected


def test_options_name_every_fault_at_once():
    extra = ["account=physics", "Two words", "time=5", "nodes=2"]
    given = {"gpus": 0, "cpus": 4, "time": "soon", "extra": extra}
    with pytest.raises(UserError) as caught:
        Options.of(given)
    for part in (
        "--slurm-gpus is 0",
        "--slurm-time 'soon'",
        "--slurm-extra 'Two words'",
        "time=5: give --slurm-time instead",
        "nodes=2: give --slurm-nodes instead",
    ):
        assert part in str(caught.value)
    assert "cpus" not in str(caught.value)
    good = Options.of({"gpus": 2, "extra": ["account=physics", "overcommit"]})
    assert good == Options(gpus=2, extra={"account": "physics", "overcommit": ""})


@pytest.fixture
def specs(tmp_path, easy_rules):
    """A trial that works, and one whose file has changed since."""
    source = tmp_path / "mine.py"
    source.write_text(textwrap.dedent(GOOD))
    plan = study.plan(
        [str(source)], ["digits_autoencoder"], rulesets.load(easy_rules), tmp_path / "results"
    )
    good, other = plan.todo
    return [good, dataclasses.replace(other, sha256="0" * 64)]


KNOWN = {
    "short": Partition(up=True, limit_min=60, default=True),
    "long": Partition(up=True, limit_min=math.inf, default=False),
    "closed": Partition(up=False, limit_min=math.inf, default=False),
}


@pytest.mark.parametrize(
    ("options", "budget_s", "expected"),
    [
        (Options(), 600.0, "50"),  # 2 x 10 min + 30 min
        (Options(), 3600.0, "60"),  # 150 min, but the partition grants 60
        (Options(partition="long"), 3600.0, "150"),
        (Options(partition="long", time="3-0"), 3600.0, "4320"),
        (Options(time="61"), 600.0, "--slurm-time 61 is above the limit of the partition 'short'"),
        (Options(partition="shrt"), 600.0, "'shrt'. This cluster has: closed, long, short"),
        (Options(partition="closed"), 600.0, "'closed' takes no jobs now"),
        (Options(partition="long"), math.inf, "give --slurm-time"),
    ],
)
def test_the_time_limit_of_a_job(specs, options, budget_s, expected):
    fixed = dataclasses.replace(specs[0].fixed, budget_s=budget_s)
    todo = [dataclasses.replace(specs[0], fixed=fixed)]
    if expected.isdigit():
        assert slurm._time(options, todo, KNOWN) == expected
    else:
        with pytest.raises(UserError, match=expected):
            slurm._time(options, todo, KNOWN)


def test_without_a_default_partition_one_is_to_be_named(specs):
    with pytest.raises(UserError, match="no default partition; --slurm-partition: long"):
        slurm._time(Options(), specs, {"long": KNOWN["long"]})


def test_where_there_is_no_slurm_nothing_is_submitted(tmp_path, specs, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch, .* not found: is this a login node"):
        slurm.checked(Options(), specs, tmp_path / "results")
    assert not (tmp_path / "results").exists()


class Told(list):
    """What a watcher hears."""

    def began(self, spec):
        self.append(("began", spec.label))

    def beat(self, spec, beat):
        self.append(("beat", spec.label))

    def told(self, text):
        self.append(("told", text))

    def elsewhere(self, spec):
        self.append(("elsewhere", spec.label))

    def standing(self, text):
        self.append(("standing", text))

    def ended(self, spec, ending):
        self.append(("ended", spec.label, ending.status))


def of_processes(jobs):
    """The queue of jobs that are processes of this machine."""
    return lambda: {job.job_id: queue.Queued(running=True) for job in jobs if not job.done()}


@pytest.mark.slow
def test_jobs_record_their_trials_and_those_that_do_not_are_lost(tmp_path, specs, monkeypatch):
    """The whole way but for Slurm: submitit's jobs as processes of this machine."""
    monkeypatch.setattr(queue, "ASK_EVERY_S", 0.5)
    monkeypatch.setattr(queue, "GONE_S", 1.0)
    results = tmp_path / "results"
    good, changed = specs
    (lost,) = slurm.submit([changed], results, Options(time="10"), cluster="local")
    assert queue.jobs_of(results, specs, of_processes([lost])) == {changed.label: lost.job_id}
    lost.wait()
    (job,) = slurm.submit([good], results, Options(time="10"), cluster="local")
    alive = of_processes([lost, job])
    of_trial = {good.label: job.job_id, changed.label: lost.job_id}
    told = Told()
    with pytest.raises(UserError) as caught:
        queue.follow(specs, of_trial, results, alive, told)
    assert ("began", good.label) in told
    assert ("standing", "1 running, 0 waiting") in told
    assert ("ended", good.label, Status.TARGET_REACHED) in told
    assert f"{changed.label}: job {lost.job_id} said at last: " in str(caught.value)
    assert "was changed while its trials were run" in str(caught.value)
    assert good.label not in str(caught.value)
    job.wait()
    # Nothing is in the queue any more, so the same command would submit the lost one again.
    assert queue.jobs_of(results, specs, alive) == {}


@pytest.mark.slow
def test_the_job_of_a_trial_is_not_that_of_its_repeat(tmp_path, specs):
    spec = specs[1]
    repeat = dataclasses.replace(spec, repeat=1)
    jobs = slurm.submit([spec], tmp_path, Options(time="10"), cluster="local")

    def alive():
        return {job.job_id: queue.Queued(running=True) for job in jobs}

    assert queue.jobs_of(tmp_path, [spec, repeat], alive) == {spec.label: jobs[0].job_id}
    jobs += slurm.submit([repeat], tmp_path, Options(time="10"), cluster="local")
    found = queue.jobs_of(tmp_path, [spec, repeat], alive)
    assert found == {spec.label: jobs[0].job_id, repeat.label: jobs[1].job_id}
    for job in jobs:
        job.wait()


def test_a_controller_that_is_away_is_asked_again(tmp_path, specs, monkeypatch):
    monkeypatch.setattr(queue, "ASK_EVERY_S", 0.0)
    monkeypatch.setattr(queue, "FOLDER_POLL_S", 0.0)
    monkeypatch.setattr(queue, "GONE_S", 0.0)
    answers = iter(
        [
            UserError("squeue does not answer."),
            {"7": queue.Queued(running=False, reason="Priority", restarts=1)},
            {"7": queue.Queued(running=True, restarts=1)},
            {"7": queue.Queued(running=False, reason="BeginTime", restarts=2)},
            {"7": queue.Queued(running=True, restarts=3)},
            {},
        ]
    )

    def ask():
        answer = next(answers)
        if isinstance(answer, UserError):
            raise answer
        return answer

    told = Told()
    spec = specs[0]
    with pytest.raises(UserError, match="job 7 said nothing; it never began"):
        queue.follow([spec], {spec.label: "7"}, tmp_path, ask, told)
    assert told == [
        ("told", "squeue does not answer. Asking again."),
        ("standing", "0 running, 1 waiting (Priority)"),
        ("began", spec.label),
        ("standing", "1 running, 0 waiting"),
        ("told", f"{spec.label}: job 7 was put back into the queue."),
        ("standing", "0 running, 1 waiting (BeginTime)"),
        ("told", f"{spec.label}: job 7 was put back into the queue."),
        ("began", spec.label),
        ("standing", "1 running, 0 waiting"),
        ("standing", "0 running, 0 waiting"),
    ]
