"""A campaign on a real Slurm of two nodes: a node dies, a job is put back, nothing is lost."""

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture
def campaign(tmp_path, easy_rules, cluster, monkeypatch):
    """A command that runs a submission whose trials wait at step 3 until `go` is there."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    (tmp_path / "patient.py").write_text(
        textwrap.dedent(
            f"""
            import os, pathlib, time
            here = pathlib.Path({str(tmp_path)!r})
            def init(workload, params, hyperparameters, key): return ()
            def update(workload, train, batch, key, progress):
                if progress.step == 3:
                    with (here / "seen").open("a") as seen:
                        seen.write(os.environ["SLURMD_NODENAME"] + "\\n")
                    while not (here / "go").exists():
                        time.sleep(0.1)
                return train
            """
        )
    )
    return [
        TOOL, "run", str(tmp_path / "patient.py"), "--rules", str(easy_rules),
        "--workload", "digits_autoencoder", "--results", str(tmp_path / "results"),
        "--executor", "slurm", "--slurm-time", "10", "--slurm-parallel", "1",
    ]  # fmt: skip


def until(met: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end, f"no {what} within {PATIENCE_S:.0f} s"
        time.sleep(0.3)


def test_a_study_survives_a_dead_node_and_a_job_put_back(campaign, cluster, tmp_path):
    def seen() -> list[str]:
        """The nodes of the trials that got to step 3, in order."""
        file = tmp_path / "seen"
        return file.read_text().split() if file.exists() else []

    def jobs(state: str) -> set[str]:
        asked = ("squeue", "--noheader", "--array", f"--states={state}", "--format=%i")
        return set(cluster.ask(*asked).split())

    with subprocess.Popen(campaign, stdout=subprocess.PIPE, text=True) as watching:
        until(lambda: len(seen()) == 1, "first trial")
        again = subprocess.run(
            [*campaign, "--detach"], capture_output=True, text=True, check=True, timeout=60
        )
        assert "2 of the trials are in the queue already" in again.stdout
        assert "0 trials were submitted" in again.stdout

        # Its node loses power. The next one's job is put back, as a cluster does when its time is
        # up, or when somebody else needs its node.
        dead = seen()[0]
        cluster.kill(dead)
        cluster.wait_for(dead, "down")
        until(lambda: len(seen()) == 2, "second trial")
        assert seen()[1] != dead
        (running,) = jobs("RUNNING")
        cluster.ask("scancel", "--signal=USR2", running)
        until(lambda: len(jobs("PENDING")) == 2, "both jobs put back")
        assert not list(tmp_path.glob("results/patient/study_*/*/trial_*"))

        (tmp_path / "go").touch()
        cluster.boot(dead)
        for job in jobs("PENDING"):
            cluster.release(job)
        out, _ = watching.communicate(timeout=PATIENCE_S)
    assert watching.returncode == 0, out
    assert "2/2 patient on digits_autoencoder, study" in out
    assert "is in the queue again" in out
    assert len(seen()) == 4
    for study in (1, 2):
        trial = tmp_path / f"results/patient/study_{study}/digits_autoencoder_jax/trial_1"
        ending = json.loads((trial / "manifest.json").read_text())["ending"]
        assert (ending["status"], ending["steps"]) == ("target_reached", 50)
    assert jobs("PENDING") == jobs("RUNNING") == set()


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
