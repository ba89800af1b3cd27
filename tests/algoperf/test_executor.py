"""Real trials in real processes: what a submission does wrong stays in its own trial."""

import json
import tempfile
from pathlib import Path

import pytest

from algoperf import disk, machine, records
from algoperf.spec import Status
from tests.algoperf.conftest import GOOD, LONG


def test_a_good_trial_is_recorded_with_all_that_it_rests_on(execute):
    ending, folder, manifest, beats = execute(GOOD)
    assert ending.status == Status.TARGET_REACHED
    assert beats[-1].step == 50
    rows = records.read_measurements(folder)
    assert rows["global_step"].tolist() == [50]
    assert manifest["machine"]["cores"] >= 1
    assert manifest["machine_id"]
    assert set(manifest["calibration"]) == {"before", "after"}
    known = machine.best_calibration(manifest["machine_id"])
    assert all(known[name] <= took for name, took in manifest["calibration"]["before"].items())
    assert manifest["workload"]["parameters"] == 402_782
    assert manifest["clock"]["compile_s"] > 0.05
    # Compilation takes seconds, fifty steps of this model do not.
    assert manifest["clock"]["submission_s"] < manifest["clock"]["total_s"]
    accounts = manifest["clock"]["accounts"]
    assert sum(accounts.values()) == pytest.approx(manifest["clock"]["total_s"], rel=0.01)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise ValueError('no gradient today')", "ValueError: no gradient today"),
        pytest.param(
            "os.chdir('/'); raise OSError('elsewhere')",
            "OSError: elsewhere",
            marks=pytest.mark.slow,
        ),
        pytest.param("sys.exit(0)", "the submission called sys.exit", marks=pytest.mark.slow),
        pytest.param("os._exit(7)", "ended with exit status 7", marks=pytest.mark.slow),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL, perhaps for lack of memory"),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV", marks=pytest.mark.slow
        ),
        pytest.param(
            "return train.params",
            "`update` returned a dict; it must return a TrainState",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "return train._replace(params={'w': train.params})",
            "returned other parameters than the model's",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_bad_submission_fails_alone_and_says_why(execute, fault, reason):
    ending, folder, _, _ = execute(LONG.format(fault=fault))
    assert ending.status == Status.FAILED
    assert reason in ending.reason
    assert (folder / "submission.py").exists()
    if reason.startswith("ValueError"):
        assert "no gradient today" in (folder / "traceback.txt").read_text()


def test_a_submission_that_fails_in_init_or_at_import(execute):
    ending, folder, _, _ = execute(
        """
        def init(workload, params, hyperparameters, key): raise KeyError("missing")
        def update(workload, train, batch, key, progress): return train
        """
    )
    assert ending.status == Status.FAILED
    assert "KeyError" in ending.reason
    assert "line 2" in (folder / "traceback.txt").read_text()


@pytest.mark.slow
def test_nan_parameters_are_recorded_as_diverged(execute, easy_rules):
    raw = json.loads(easy_rules.read_text())
    raw["workloads"]["digits_autoencoder"]["validation_target"] = 0.0
    easy_rules.write_text(json.dumps(raw))
    nan = "jax.tree.map(lambda x: x * float('nan'), train.params)"
    ending, folder, _, _ = execute(LONG.format(fault=f"return train._replace(params={nan})"))
    assert ending.status == Status.DIVERGED
    assert records.read_measurements(folder)["validation/mse"].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("for _ in iter(lambda: os.open('/dev/null', 0), -1): pass", "Too many open files"),
        ("os.mkdir(own + '/manifest.json'); return", "Is a directory"),
        ("os.truncate(own + '/submission.py', 1 << 42); return", "changed the trial's record"),
        ("[(os.mkdir('a'), os.chdir('a')) for _ in range(1500)]; return", "`update` returned a"),
        ("raise ValueError(chr(0xd800))", "ValueError: ?"),
    ],
    ids=["descriptors", "manifest", "source", "deep", "no text"],
)
def test_what_a_submission_leaves_behind_is_its_own_trials_failure(
    execute, monkeypatch, tmp_path, fault, reason
):
    monkeypatch.setattr(disk, "ROOM_BYTES", 0)
    own = "os.path.dirname(os.readlink('/proc/self/fd/1'))"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    place = "import tempfile; os.chdir(tempfile.gettempdir()); "
    ending, folder, *_ = execute(LONG.format(fault=f"{place}own = {own}\n            {fault}"))
    assert ending.status == Status.FAILED
    assert reason in ending.reason
    assert not (folder / "submission.py").stat().st_size > 10_000
    assert [path.name for path in folder.parent.iterdir()] == ["trial_1"]
    assert list((tmp_path / "temporary").glob("algoperf-*")) == []


@pytest.mark.slow
def test_what_a_submission_prints_goes_into_its_folder(execute, capfd):
    text = LONG.format(fault="print('hello'); os.write(1, b'past Python\\n')")
    ending, folder, _, _ = execute(text)
    assert ending.status == Status.TARGET_REACHED
    assert set((folder / "output.txt").read_text().split("\n")) >= {"past Python", "hello"}
    assert "hello" not in capfd.readouterr().out


@pytest.mark.slow
def test_a_submission_that_starts_a_process_fails_and_says_why(execute):
    ending, *_ = execute(LONG.format(fault="subprocess.Popen(['sleep', '1000'])"))
    assert ending.status == Status.FAILED
    assert "starts a process, which the rules forbid" in ending.reason


@pytest.mark.slow
def test_children_that_a_submission_leaves_behind_are_ended(execute):
    # Past Python, which would refuse it; a daemon, which has left the trial's group, too.
    left = "(sleep 1000 & echo $!; setsid sleep 1000 & echo $!)"
    ending, folder, *_ = execute(
        LONG.format(fault=f"import ctypes; ctypes.CDLL(None).system(b'{left}')")
    )
    assert ending.status == Status.TARGET_REACHED
    pids = [int(line) for line in (folder / "output.txt").read_text().splitlines()]
    assert len(pids) == 2
    stats = [Path(f"/proc/{pid}/stat") for pid in pids]
    assert all(not stat.exists() or stat.read_text().split()[2] == "Z" for stat in stats)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("import numpy; numpy.empty(10**15)", "MemoryError"),
        ("jax.numpy.zeros(10**14, 'int8')", "emory"),
        ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_after_a_trial_that_failed_the_next_is_healthy(execute, tmp_path, fault, reason):
    ending, *_ = execute(LONG.format(fault=fault))
    assert ending.status == Status.FAILED
    assert reason in ending.reason
    (tmp_path / "results" / "mine").rename(tmp_path / "before")
    ending, folder, manifest, _ = execute(LONG.format(fault="pass"))
    assert ending.status == Status.TARGET_REACHED
    assert manifest["sandbox"]["writable"][0] == str(folder.with_name(".trial_1.1.partial"))
