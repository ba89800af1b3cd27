"""A trial of several processes, as a cluster would start them on several nodes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from algoperf import hosts, records
from algoperf.accounts import Account
from algoperf.clock import Clock
from tests.slurm.cluster import free_ports

PATIENCE_S = 300.0

SUBMISSION = """
import time, optax
from algoperf import TrainingComplete, from_optax

short = from_optax(lambda hp, workload: optax.adam(0.003), steps=lambda workload: {steps})
init = short.init

def update(workload, train, batch, key, progress):
    if progress.step:  # at 0 operations are counted
        time.sleep({pause_s})
    if progress.time_s > {until_s}:
        raise TrainingComplete
    return short.update(workload, train, batch, key, progress)
"""


class Trial:
    """One trial of a submission on `digits_resnet`, which has batch statistics."""

    def __init__(self, folder: Path, rules: Path, **numbers: float) -> None:
        raw = json.loads(rules.read_text())
        fixed = {"validation_target": 1e-9, "budget_s": numbers.pop("budget_s", 300.0)}
        raw["workloads"]["digits_resnet"] |= fixed
        rules.write_text(json.dumps(raw))
        self.folder, self._rules = folder, rules
        self._source = folder / "mine.py"
        every = {"steps": 10**6, "pause_s": 0.0, "until_s": 1e6}
        self._source.write_text(SUBMISSION.format(**every | numbers))

    @contextmanager
    def on(self, count: int, results: str) -> Iterator[list[subprocess.Popen[str]]]:
        """Processes that train it together, two devices in all."""
        environment = {
            **os.environ,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={2 // count}",
            "SLURM_JOB_ID": "1",
            "SLURM_STEP_NODELIST": "127.0.0.1",
            "SLURM_NTASKS": str(count),
            "SLURM_LOCALID": "0",
            "JAX_COORDINATOR_PORT": str(free_ports(1)[0]),
        }
        command = [
            sys.executable, "-m", "tests.on_hosts", str(self._source), str(self._rules),
            "digits_resnet", str(self.folder / results), str(count),
        ]  # fmt: skip
        processes = [
            subprocess.Popen(
                command,
                env={**environment, "SLURM_PROCID": str(number)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number in range(count)
        ]
        try:
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.communicate()

    def trained(self, count: int, results: str) -> list[str]:
        """What the processes said."""
        with self.on(count, results) as processes:
            said = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
            assert [process.returncode for process in processes] == [0] * count, said
        return said

    def place(self, results: str) -> Path:
        return self.folder / results / "mine" / "study_1" / "digits_resnet_jax"

    def ending(self, results: str) -> str:
        manifest = records.read_manifest(self.place(results) / "trial_1")
        assert manifest is not None
        return manifest["ending"]["status"]

    def measured(self, results: str) -> np.ndarray:
        """Every metric of every evaluation."""
        rows = records.read_measurements(self.place(results) / "trial_1")
        return rows[[c for c in rows.columns if "/" in c or c == "global_step"]].to_numpy()


def heard(process: subprocess.Popen[str], what: str) -> None:
    """Reads on until a line has it."""
    assert process.stdout is not None
    assert any(what in line for line in process.stdout), what


@pytest.mark.slow
def test_two_hosts_train_as_one_and_go_on_after_one_was_lost(tmp_path, easy_rules):
    trial = Trial(tmp_path, easy_rules, steps=120, pause_s=0.1)
    trial.trained(1, "alone")
    with trial.on(2, "together") as (first, second):
        end = time.monotonic() + PATIENCE_S
        while not list(trial.place("together").glob(".trial_1.1.partial/checkpoint_*.npz")):
            assert time.monotonic() < end
            time.sleep(0.1)
        second.kill()
        heard(first, "waits to be put back")
    assert not (trial.place("together") / "trial_1").exists()
    first, second = trial.trained(2, "together")
    assert "goes on from step" in first
    assert "ended here with status 0" in second
    alone, together = trial.measured("alone"), trial.measured("together")
    assert len(alone) == 6  # every 20 steps
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "status"),
    [({"budget_s": 3.0}, "budget_exhausted"), ({"until_s": 3.0}, "finished_early")],
)
def test_one_clock_decides_for_all(numbers, status, tmp_path, easy_rules):
    """Each would stop at a step of its own, and wait for the other for ever."""
    trial = Trial(tmp_path, easy_rules, **numbers)
    trial.trained(2, "results")
    assert trial.ending("results") == status


@pytest.mark.slow
def test_an_error_that_all_hosts_make_is_the_trials(tmp_path, easy_rules):
    trial = Trial(tmp_path, easy_rules, steps=0, until_s=-1.0)
    source = tmp_path / "mine.py"
    source.write_text(source.read_text().replace("raise TrainingComplete", "1 / 0"))
    with trial.on(2, "results") as (first, _):
        heard(first, "failed: ZeroDivisionError")
        assert first.wait(PATIENCE_S) == 0
    assert trial.ending("results") == "failed"


def test_a_clock_follows_the_one_that_leads():
    times = iter([0.0, 1.0, 3.0])
    accounts = dict.fromkeys(Account, 0.0) | {Account.DATA: 7.0, Account.UPDATE: 2.0}
    clock = Clock(now=lambda: next(times), agreed=lambda own: (accounts, 4.0))
    clock.enter(Account.DATA)
    assert clock.submission_s == 0
    clock.agree()
    assert (clock.submission_s, clock.compile_s) == (9, 4)
    clock.enter(Account.UPDATE)
    assert clock.submission_s == 9 + 2  # from 1 to 3


def test_alone_everybody_agrees():
    value = {"anything": object()}
    assert hosts.agreed(value) is value
    assert not hosts.joined()
    assert hosts.leads()
    assert not hosts.lost(RuntimeError("connection closed by peer"))
