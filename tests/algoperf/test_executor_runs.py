"""Whole runs in processes of their own: killed, stopped, two at once, one after the other."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from algoperf import records
from tests.algoperf.conftest import GOOD, LONG

SCRIPT = """
import sys
from pathlib import Path
from algoperf import cli
if __name__ == "__main__":
    cli.run([sys.argv[1]], workloads=["digits_autoencoder"], rules=sys.argv[2],
            results=Path(sys.argv[3]))
"""


MEET = """
    import os, time
    meet = Path(sys.argv[4])
    (meet / str(os.getpid())).touch()
    while len(list(meet.iterdir())) < 2:
        time.sleep(0.01)
    cli.run"""
"""In place of `cli.run`: not before the other run has come as far."""


@pytest.mark.slow
def test_a_killed_run_loses_nothing_and_runs_nothing_twice(tmp_path, easy_rules):
    """SIGKILL in the second trial, before its first checkpoint: the first trial is left alone."""
    raw = json.loads(easy_rules.read_text())
    raw["tuning"]["self_tuning"]["studies"] = 3
    easy_rules.write_text(json.dumps(raw))
    source, results = tmp_path / "mine.py", tmp_path / "results"
    # Slow enough to be met in the middle of a trial.
    source.write_text(textwrap.dedent(LONG.format(fault="time.sleep(4)")))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(source), str(easy_rules), str(results)]

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    first = results / "mine" / "study_1" / "digits_autoencoder_jax" / "trial_1"
    second = results / "mine" / "study_2" / "digits_autoencoder_jax"
    deadline = time.monotonic() + 120
    while not (first.exists() and (second / ".trial_1.1.partial").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = (first / "manifest.json").read_bytes()
    time.sleep(1.0)
    assert not (second / "trial_1").exists(), "the trial outlived the run that started it"

    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert (first / "manifest.json").read_bytes() == before
    assert len(list(results.glob("*/study_*/*/trial_*"))) == 3
    assert list(results.glob("*/study_*/*/.*")) == []
    counts = [
        len(
            json.loads(
                (results / f"mine/study_{n}" / f"{second.name}/trial_1/manifest.json").read_text()
            )["interruptions"]
        )
        for n in (1, 2, 3)
    ]
    assert counts == [0, 1, 0]


def last_checkpoint(folder: Path) -> int:
    names = [path.stem for path in folder.glob(".trial_1.*.partial/checkpoint_*.npz")]
    return max((int(name.partition("_")[2]) for name in names), default=0)


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, easy_rules):
    """Two SIGKILLs; the evaluations are those of a run that was left alone, bit for bit."""
    raw = json.loads(easy_rules.read_text())
    raw["workloads"]["digits_autoencoder"] |= {"validation_target": 0.0, "budget_s": 100.0}
    raw["tuning"]["self_tuning"]["studies"] = 1
    easy_rules.write_text(json.dumps(raw))
    source, script = tmp_path / "mine.py", tmp_path / "script.py"
    source.write_text(
        "import time, optax\n"
        "from algoperf import from_optax\n"
        "short = from_optax(lambda hp, w: optax.adam(0.01), steps=lambda w: 500)\n"
        "init = short.init\n"
        "def update(*args):\n"
        "    time.sleep(0.02)\n"
        "    return short.update(*args)\n"
    )
    script.write_text(SCRIPT)

    def command(results: Path) -> list[str]:
        return [sys.executable, str(script), str(source), str(easy_rules), str(results)]

    subprocess.run(command(tmp_path / "whole"), check=True, stdout=subprocess.DEVNULL)
    cut = tmp_path / "cut"
    folder = cut / "mine" / "study_1" / "digits_autoencoder_jax"
    at = 0
    for _ in range(2):
        process = subprocess.Popen(command(cut), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while last_checkpoint(folder) <= at:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        at = last_checkpoint(folder)
        process.kill()
        process.wait()
    done = subprocess.run(command(cut), check=True, capture_output=True, text=True)
    assert f"goes on from step {at}" in done.stdout
    rows = []
    for results in (tmp_path / "whole", cut):
        trial = results / "mine" / "study_1" / "digits_autoencoder_jax" / "trial_1"
        measured = records.read_measurements(trial)
        rows.append(measured[[c for c in measured.columns if "/" in c or c == "global_step"]])
    assert len(rows[0]) == 10
    assert rows[0].equals(rows[1])
    manifest = json.loads((folder / "trial_1" / "manifest.json").read_text())
    steps = [attempt["step"] for attempt in manifest["interruptions"]]
    assert len(steps) == 2
    assert 0 < steps[0] < steps[1] == at
    assert manifest["clock"]["accounts"]["repeated"] > 0
    assert [path.name for path in folder.iterdir()] == ["trial_1"]


def two_runs(
    tmp_path: Path, rules: Path, source: str, results: Path, *, studies: int
) -> list[subprocess.Popen[str]]:
    """Two processes that begin to train a self-tuning submission's studies at the same time."""
    raw = json.loads(rules.read_text())
    raw["tuning"]["self_tuning"]["studies"] = studies
    rules.write_text(json.dumps(raw))
    submission, script, meet = (tmp_path / name for name in ("mine.py", "script.py", "meet"))
    meet.mkdir()
    submission.write_text(textwrap.dedent(source))
    script.write_text(SCRIPT.replace("cli.run", MEET))
    command = [sys.executable, script, submission, rules, results, meet]
    return [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]


@pytest.mark.slow
def test_two_runs_at_once_share_the_trials(tmp_path, easy_rules):
    results = tmp_path / "results"
    runs = two_runs(tmp_path, easy_rules, GOOD, results, studies=4)
    told = [run.communicate(timeout=900)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert len(list(results.glob("*/study_*/*/trial_*"))) == 4
    assert list(results.glob("*/study_*/*/.*")) == []
    # Each trial was run by one of the two, and each of the two ran some.
    ran = [text.count("target reached") for text in told]
    assert sum(ran) == 4, told
    assert all(ran), told


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 5])
def test_of_two_runs_one_is_killed_and_the_other_takes_over_at_once(tmp_path, easy_rules, seconds):
    """SIGKILL when it has claimed its first trial, whose process has still to import jax.

    The other has run a trial already, so that its next one starts at once, and ends before or
    after that process begins.
    """
    results = tmp_path / "results"
    source = LONG.format(fault=f"time.sleep({seconds})")
    runs = two_runs(tmp_path, easy_rules, source, results, studies=2)
    place = results / "mine" / "study_2" / "digits_autoencoder_jax"
    deadline = time.monotonic() + 120
    owner = None
    while owner is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
        with suppress(FileNotFoundError, json.JSONDecodeError):  # being made
            owner = int(json.loads((place / ".trial_1.1.claim").read_text())["pid"])
    time.sleep(0.5)  # by then it has asked for the process
    os.kill(owner, signal.SIGKILL)
    told = {run.pid: run.communicate(timeout=300)[0] for run in runs}
    ended = {run.pid: run.returncode for run in runs}
    assert ended.pop(owner) == -signal.SIGKILL
    assert list(ended.values()) == [0], told
    assert len(list(results.glob("*/study_*/*/trial_*"))) == 2
    assert list(results.glob("*/study_*/*/.*")) == []


@pytest.fixture
def heeding_ctrl_c():
    """In the background of a shell it is ignored, by all that is started from there too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_keeps_what_is_recorded(tmp_path, easy_rules):
    source, results = tmp_path / "mine.py", tmp_path / "results"
    source.write_text(textwrap.dedent(LONG.format(fault="time.sleep(60)")))
    process = subprocess.Popen(
        [
            Path(sys.executable).parent / "algoperf", "run", source, "--rules", easy_rules,
            "--results", results, "--workload", "digits_autoencoder",
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    partial = results / "mine" / "study_1" / "digits_autoencoder_jax" / ".trial_1.1.partial"
    deadline = time.monotonic() + 60
    while not partial.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("workload", ["digits_autoencoder", "digits_vit"])
def test_a_seed_gives_the_same_evaluations_with_an_empty_and_a_filled_cache(
    tmp_path, easy_rules, workload
):
    """Two whole runs, in processes that share nothing but the compilation cache."""
    raw = json.loads(easy_rules.read_text())
    raw["workloads"][workload]["validation_target"] = 0.0
    easy_rules.write_text(json.dumps(raw))
    source = tmp_path / "mine.py"
    source.write_text(
        textwrap.dedent(GOOD).replace("optax.sgd(0.1))", "optax.adam(0.01), steps=lambda w: 100)")
    )
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("digits_autoencoder", workload))
    rows, compiling = [], []
    for number in ("1", "2"):
        results = tmp_path / number
        subprocess.run(
            [sys.executable, script, source, easy_rules, results],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        trial = results / "mine" / "study_1" / f"{workload}_jax" / "trial_1"
        measured = records.read_measurements(trial)
        rows.append(measured[[c for c in measured.columns if "/" in c or c == "global_step"]])
        compiling.append(json.loads((trial / "manifest.json").read_text())["clock"]["compile_s"])
    assert len(rows[0]) >= 2
    assert rows[0].equals(rows[1])
    assert compiling[1] < compiling[0]
