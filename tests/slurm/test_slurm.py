"""A campaign on a real Slurm of two nodes: a node dies, jobs are put back, nothing is lost."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from algoperf import records
from tests.slurm import cluster as slurm

TOOL = Path(sys.executable).parent / "algoperf"
PATIENCE_S = 240.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(slurm.obstacle() is not None, reason=str(slurm.obstacle())),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    one = slurm.Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        one.__enter__()
    except (RuntimeError, TimeoutError) as error:
        pytest.skip(f"Slurm does not start here: {error}")
    yield one
    one.__exit__()
    assert one.leftovers() == []


PATIENT = """
import os, pathlib, time
from algoperf import TrainingComplete

here, node = pathlib.Path({here!r}), os.environ.get("SLURMD_NODENAME")
resumed = []

def say(file, text):
    with (here / file).open("a") as opened:
        opened.write(text + "\\n")

def init(workload, params, hyperparameters, key):
    return ()

def update(workload, train, batch, key, progress):
    if progress.step and not resumed:  # at step 0 operations are counted
        resumed.append(progress.step)
        say("began", f"{{node}}:{{progress.step}}")
    if progress.step == 3:
        time.sleep(6)  # so that the first evaluation, at step 50, is followed by a checkpoint
    if progress.step == 60:
        say("waits", node)
        while not (here / "go").exists():
            time.sleep(0.1)
    if progress.step == 80:
        raise TrainingComplete
    return train
"""


@pytest.fixture
def campaign(tmp_path, easy_rules, cluster, monkeypatch):
    """A command that runs a submission whose two trials wait at step 60 until `go` is there."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    (told := tmp_path / "told").mkdir()
    monkeypatch.setenv("ALGOPERF_WRITABLE", str(told))  # beyond what the sandbox leaves a trial
    (tmp_path / "patient.py").write_text(PATIENT.format(here=str(told)))
    rules = json.loads(easy_rules.read_text())
    rules["workloads"]["digits_autoencoder"] |= {"validation_target": 1e-9, "budget_s": 2000.0}
    easy_rules.write_text(json.dumps(rules))
    return [
        TOOL, "run", str(tmp_path / "patient.py"), "--rules", str(easy_rules),
        "--workload", "digits_autoencoder", "--results", str(tmp_path / "results"),
        "--executor", "slurm", "--slurm-time", "10",
    ]  # fmt: skip


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(met: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end, f"no {what} within {PATIENCE_S:.0f} s"
        time.sleep(0.3)


def test_a_study_survives_a_dead_node_preemption_and_time_limits(campaign, cluster, tmp_path):
    def said(file: str) -> list[str]:
        path = tmp_path / "told" / file
        return path.read_text().split() if path.exists() else []

    def jobs(state: str) -> set[str]:
        chosen = ("--partition=normal", f"--states={state}")
        return set(cluster.ask("squeue", "--noheader", "--array", "--format=%i", *chosen).split())

    with running(campaign) as watching:
        until(lambda: len(said("waits")) == 2 or watching.poll(), "trials at step 60")
        assert sorted(said("began")) == ["n1:1", "n2:1"]
        again = subprocess.run(
            [*campaign, "--detach"], capture_output=True, text=True, check=True, timeout=60
        )
        assert "2 of the trials are in the queue already" in again.stdout
        assert "0 trials were submitted" in again.stdout

        # One node loses power; the other is wanted by somebody who comes first.
        cluster.kill("n1")
        urgent = ("--partition=urgent", "--nodelist=n2", "--output=/dev/null", "--wrap=sleep 1")
        cluster.ask("sbatch", *urgent)
        until(lambda: len(jobs("PENDING")) == 2, "both jobs put back")
        cluster.wait_for("n1", "down")
        cluster.boot("n1")
        cluster.settle()
        for job in jobs("PENDING"):
            cluster.release(job)
        until(lambda: len(said("waits")) == 4 or watching.poll(), "trials at step 60 again")

        # What a cluster sends when a job's time will soon be up.
        for job in jobs("RUNNING"):
            cluster.ask("scancel", "--signal=USR2", job)
        until(lambda: len(jobs("PENDING")) == 2, "both jobs put back")
        assert not list(tmp_path.glob("results/patient/study_*/*/trial_*"))
        # Slurm itself would wait for two minutes: what ends an old step could end the new one.
        cluster.settle()
        (tmp_path / "told" / "go").touch()
        for job in jobs("PENDING"):
            cluster.release(job)
        out, _ = watching.communicate(timeout=PATIENCE_S)
    assert watching.returncode == 0, out
    assert "2/2 patient on digits_autoencoder, study" in out
    assert "was put back into the queue" in out
    # They went on from the evaluation at step 50.
    assert [line.partition(":")[2] for line in said("began")] == ["1"] * 2 + ["50"] * 4
    for study in (1, 2):
        trial = tmp_path / f"results/patient/study_{study}/digits_autoencoder_jax/trial_1"
        ending = json.loads((trial / "manifest.json").read_text())["ending"]
        assert (ending["status"], ending["steps"]) == ("finished_early", 80)
        rows = records.read_measurements(trial)
        assert rows["global_step"].tolist() == [50, 80]
        assert rows["preemption_count"].tolist() == [0, 2]
    # A job outlives its trial's record by a moment.
    until(lambda: not jobs("PENDING,RUNNING"), "an empty queue")


def test_two_nodes_train_a_trial_and_one_of_them_dies(campaign, cluster, tmp_path, monkeypatch):
    # Here a node's name is no machine's, so that the nodes are told where to meet.
    port = slurm.free_ports(1)[0]
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", f"127.0.0.1:{port}")

    def said(file: str) -> list[str]:
        path = tmp_path / "told" / file
        return sorted(path.read_text().split()) if path.exists() else []

    def pending() -> str:
        return cluster.ask("squeue", "--noheader", "--array", "--format=%i", "--states=PENDING")

    with running([*campaign, "--studies", "1", "--slurm-nodes", "2"]) as watching:
        until(lambda: len(said("waits")) == 2 or watching.poll(), "both nodes at step 60")
        assert said("began") == ["n1:1", "n2:1"]
        cluster.kill("n2")
        (tmp_path / "told" / "go").touch()  # the first node goes on, and finds itself alone
        until(pending, "job put back")
        cluster.wait_for("n2", "down")
        assert not list(tmp_path.glob("results/patient/study_*/*/trial_*"))
        cluster.boot("n2")
        cluster.wait_for("n2", "idle")
        cluster.release(pending())
        out, _ = watching.communicate(timeout=2 * PATIENCE_S)
    assert watching.returncode == 0, out
    assert said("began") == ["n1:1", "n1:50", "n2:1", "n2:50"]
    trial = tmp_path / "results/patient/study_1/digits_autoencoder_jax/trial_1"
    manifest = json.loads((trial / "manifest.json").read_text())
    assert manifest["ending"]["status"] == "finished_early"
    assert [attempt["step"] for attempt in manifest["interruptions"]] == [50]
    assert records.read_measurements(trial)["global_step"].tolist() == [50, 80]


def test_two_nodes_repeat_a_trial_that_was_slowed(campaign, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", f"127.0.0.1:{slurm.free_ports(1)[0]}")
    (tmp_path / "told" / "go").touch()
    command = [*campaign, "--studies", "1", "--slurm-nodes", "2"]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    trial = tmp_path / "results/patient/study_1/digits_autoencoder_jax/trial_1"
    manifest = json.loads((trial / "manifest.json").read_text())
    after = manifest["calibration"]["after"]
    manifest["calibration"]["after"] = {piece: 20 * seconds for piece, seconds in after.items()}
    (trial / "manifest.json").write_text(json.dumps(manifest))

    # At once: the job of the first record need not have left the queue yet.
    again = subprocess.run(
        [*command, "--rerun-slowed"], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert "1 recorded trials ran while the machine was slowed" in again.stdout
    assert "1 trials were submitted" in again.stdout
    before = records.read_manifest(records.aside(trial, 1))
    assert before == manifest
    repeat = records.read_manifest(trial)
    assert repeat is not None
    assert (repeat["repeat"], repeat["ending"]["steps"]) == (1, 80)
    assert repeat["seed"] == before["seed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slurm-partition", "nrmal"], "Unknown partition 'nrmal'. This cluster has: normal, "),
        (["--slurm-time", "2:00:00"], "is above the limit of the partition 'normal', 60 min"),
        (["--slurm-gpus", "8"], "sbatch refused the trials: "),
    ],
)
def test_what_the_cluster_does_not_grant_is_said(campaign, options, message, tmp_path):
    result = subprocess.run([*campaign, *options], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "results").glob(".slurm/*"))
