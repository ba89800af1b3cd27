"""Real trials in real processes: what a submission does wrong stays in its own trial."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from algoperf import disk, machine, records, rulesets, study
from algoperf.disk import CannotRecord
from algoperf.executors import filling, local, patience
from algoperf.executors.local import LocalExecutor
from algoperf.publishing import KEPT
from algoperf.spec import Status

GOOD = """
    import optax
    from algoperf import from_optax
    submission = from_optax(lambda hp, workload: optax.sgd(0.1))
"""

LONG = """
    import os, signal, subprocess, sys, time, jax
    def init(workload, params, hyperparameters, key): return ()
    def update(workload, train, batch, key, progress):
        if progress.step == 3:
            {fault}
        return train
"""


def spec_of(text: str, rules: Path, folder: Path, name: str = "mine"):
    source = folder / f"{name}.py"
    source.write_text(textwrap.dedent(text))
    plan = study.plan(
        [str(source)], ["digits_autoencoder"], rulesets.load(rules), folder / "results", studies=1
    )
    return plan.todo[0]


@pytest.fixture
def run(tmp_path, easy_rules):
    executor = LocalExecutor(tmp_path / "results", ["workloads.digits_autoencoder"])

    def run_(text: str):
        spec = spec_of(text, easy_rules, tmp_path)
        beats = []
        ending = executor.run(spec, beats.append)
        folder = spec.folder(tmp_path / "results")
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["ending"]["status"] == ending.status
        return ending, folder, manifest, beats

    return run_


def test_a_good_trial_is_recorded_with_all_that_it_rests_on(run):
    ending, folder, manifest, beats = run(GOOD)
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
        ("os._exit(7)", "ended with exit status 7"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL, perhaps for lack of memory"),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV", marks=pytest.mark.slow
        ),
        ("return train.params", "`update` returned a dict; it must return a TrainState"),
        pytest.param(
            "return train._replace(params={'w': train.params})",
            "returned other parameters than the model's",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_bad_submission_fails_alone_and_says_why(run, fault, reason):
    ending, folder, _, _ = run(LONG.format(fault=fault))
    assert ending.status == Status.FAILED
    assert reason in ending.reason
    assert (folder / "submission.py").exists()
    if reason.startswith("ValueError"):
        assert "no gradient today" in (folder / "traceback.txt").read_text()


def test_a_submission_that_fails_in_init_or_at_import(run):
    ending, folder, _, _ = run(
        """
        def init(workload, params, hyperparameters, key): raise KeyError("missing")
        def update(workload, train, batch, key, progress): return train
        """
    )
    assert ending.status == Status.FAILED
    assert "KeyError" in ending.reason
    assert "line 2" in (folder / "traceback.txt").read_text()


def test_nan_parameters_are_recorded_as_diverged(run, easy_rules):
    raw = json.loads(easy_rules.read_text())
    raw["workloads"]["digits_autoencoder"]["validation_target"] = 0.0
    easy_rules.write_text(json.dumps(raw))
    nan = "jax.tree.map(lambda x: x * float('nan'), train.params)"
    ending, folder, _, _ = run(LONG.format(fault=f"return train._replace(params={nan})"))
    assert ending.status == Status.DIVERGED
    assert records.read_measurements(folder)["validation/mse"].isna().all()


def test_a_submission_that_never_returns_is_ended(run, monkeypatch):
    monkeypatch.setattr(patience, "SILENCE_LIMIT_S", -27.0)  # with the budget of 30 s: 3 s
    started = time.monotonic()
    ending, _, _, _ = run(LONG.format(fault="time.sleep(10_000)"))
    assert ending.status == Status.FAILED
    assert "no step returned within 3 s" in ending.reason
    assert time.monotonic() - started < 60


SAYS = """
    import json, os, stat, struct, time
    def say(said):
        for number in map(int, os.listdir("/proc/self/fd")):
            try:
                if number > 2 and stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, said)
            except OSError:
                pass
    def beat(step):
        return message(beat={{"step": step, "time_s": 0.0, "value": 0.0}})
    def message(**told):
        said = {{"beat": None, "timed_s": None, "news": "", "obstacle": "", "lost": "",
            "compiled": None, "ended": False}}
        text = json.dumps({{**said, **told}}).encode()
        return struct.pack("!i", len(text)) + text
    def init(workload, params, hyperparameters, key): return ()
    def update(workload, train, batch, key, progress):
        if progress.step == 3:
            {fault}
        return train
"""
"""Says something to the one that follows the trial."""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (7, "the process ended with exit status 7 before the trial did"),
        (-signal.SIGSEGV, "the process was ended by SIGSEGV"),
        (-40, "the process was ended by signal 40"),
        (None, "its process stopped listening before the trial ended, and was ended"),
    ],
)
def test_why_a_process_ended_can_always_be_told(code, reason):
    assert local.why_ended(code) == reason


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the pipe in /proc")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("say(struct.pack('!i', 100)); time.sleep(10_000)", "no step returned within 5 s"),
        ("while True: say(beat(3))", "it was not over within 20 s"),
        ("say(beat(float('inf')))", "said what no trial says"),
        ("say(struct.pack('!i', 10**9))", "said what no trial says"),
        ("say(message(lost='no host'))", "said what no trial says"),
        ("say(message(obstacle='a disk'))", "it could not write, where others can: a disk"),
    ],
    ids=["half a message", "without end", "infinite", "too long", "lost", "obstacle"],
)
def test_what_a_submission_says_in_the_trials_place_ends_the_trial(run, monkeypatch, fault, reason):
    # With the budget of 30 s: 5 s for a step, 20 s in all.
    monkeypatch.setattr(patience, "SILENCE_LIMIT_S", 5.0 - 30.0)
    monkeypatch.setattr(patience, "WHOLE_LIMIT_S", 20.0 - 10 * 30.0)
    monkeypatch.setattr(disk, "ROOM", 0)
    ending, *_ = run(SAYS.format(fault=fault))
    assert ending.status == Status.FAILED
    assert reason in ending.reason


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
    run, monkeypatch, tmp_path, fault, reason
):
    monkeypatch.setattr(disk, "ROOM", 0)
    own = "os.path.dirname(os.readlink('/proc/self/fd/1'))"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    place = "import tempfile; os.chdir(tempfile.gettempdir()); "
    ending, folder, *_ = run(LONG.format(fault=f"{place}own = {own}\n            {fault}"))
    assert ending.status == Status.FAILED
    assert reason in ending.reason
    assert not (folder / "submission.py").stat().st_size > 10_000
    assert [path.name for path in folder.parent.iterdir()] == ["trial_1"]
    assert list((tmp_path / "temporary").glob("algoperf-*")) == []


@pytest.mark.slow
def test_a_disk_that_is_full_in_truth_ends_the_run(tmp_path, easy_rules, monkeypatch):
    monkeypatch.setattr(disk, "ROOM", 1 << 62)
    spec = spec_of(SAYS.format(fault="say(message(obstacle='a disk'))"), easy_rules, tmp_path)
    executor = LocalExecutor(tmp_path / "results", ["workloads.digits_autoencoder"])
    with pytest.raises(CannotRecord, match="a disk"):
        executor.run(spec, lambda _: None)
    assert not spec.folder(tmp_path / "results").exists()


def test_what_a_submission_prints_goes_into_its_folder(run, capfd):
    text = LONG.format(fault="print('hello'); os.write(1, b'past Python\\n')")
    ending, folder, _, _ = run(text)
    assert ending.status == Status.TARGET_REACHED
    assert set((folder / "output.txt").read_text().split("\n")) >= {"past Python", "hello"}
    assert "hello" not in capfd.readouterr().out


@pytest.mark.slow
def test_a_submission_that_prints_without_end_is_ended(run, monkeypatch):
    monkeypatch.setattr(filling, "OUTPUT_LIMIT", 10_000_000)
    forever = "[os.write(1, b'x' * 2**20) for _ in iter(lambda: time.sleep(0.01), 1)]"
    ending, *_ = run(LONG.format(fault=forever))
    assert ending.status == Status.FAILED
    assert "printed more than 10,000,000 bytes" in ending.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["tempfile.gettempdir()", "os.path.dirname(os.readlink('/proc/self/fd/1'))"]
)
def test_a_submission_that_fills_the_disk_is_ended_and_nothing_of_it_stays(run, monkeypatch, place):
    monkeypatch.setattr(filling, "WRITTEN_LIMIT", 50_000_000)
    monkeypatch.setattr(filling, "LOOK_EVERY_S", 1.0)
    fault = f"""import tempfile; junk = open({place} + '/junk', 'wb')
            while True: junk.write(os.urandom(2**20)); junk.flush(); time.sleep(0.02)"""
    ending, folder, *_ = run(LONG.format(fault=fault))
    assert ending.status == Status.FAILED
    assert "wrote more than 50,000,000 bytes besides its checkpoints" in ending.reason
    assert {path.name for path in folder.iterdir()} <= KEPT


def test_a_submission_that_starts_a_process_fails_and_says_why(run):
    ending, *_ = run(LONG.format(fault="subprocess.Popen(['sleep', '1000'])"))
    assert ending.status == Status.FAILED
    assert "starts a process, which the rules forbid" in ending.reason


@pytest.mark.slow
def test_children_that_a_submission_leaves_behind_are_ended(run):
    # Past Python, which would refuse it; a daemon, which has left the trial's group, too.
    left = "(sleep 1000 & echo $!; setsid sleep 1000 & echo $!)"
    ending, folder, *_ = run(
        LONG.format(fault=f"import ctypes; ctypes.CDLL(None).system(b'{left}')")
    )
    assert ending.status == Status.TARGET_REACHED
    pids = [int(line) for line in (folder / "output.txt").read_text().splitlines()]
    assert len(pids) == 2
    stats = [Path(f"/proc/{pid}/stat") for pid in pids]
    assert all(not stat.exists() or stat.read_text().split()[2] == "Z" for stat in stats)


HANGING = """
    import os, time
    def hang(when):
        if when:
            os.write(1, b"hanging")
            while True: pass
    def init(workload, params, hyperparameters, key):
        hang({init})
        return ()
    def select_batch(workload, batches, train, key, progress):
        hang({select})
        return next(batches)
    def update(workload, train, batch, key, progress): return train
    def params_for_evaluation(workload, train, progress):
        hang({evaluated})
        return train.params, train.model_state
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["init", "select", "evaluated"])
def test_a_loop_without_end_is_ended_wherever_it_is(run, monkeypatch, where):
    # With the budget of 30 s: 20 s before the first step, 5 s after it, when all is compiled.
    if where == "init":
        monkeypatch.setattr(patience, "START_LIMIT_S", 20.0 - 10 * 30.0)
    monkeypatch.setattr(patience, "SILENCE_LIMIT_S", 5.0 - 30.0)
    places = {"init": "False", "select": "False", "evaluated": "False"}
    places[where] = "True" if where == "init" else "progress.step >= 3"
    ending, folder, *_ = run(HANGING.format(**places))
    assert ending.status == Status.FAILED
    assert "no step returned within" in ending.reason
    assert (folder / "output.txt").read_text() == "hanging"


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
def test_after_a_trial_that_failed_the_next_is_healthy(run, tmp_path, fault, reason):
    ending, *_ = run(LONG.format(fault=fault))
    assert ending.status == Status.FAILED
    assert reason in ending.reason
    (tmp_path / "results" / "mine").rename(tmp_path / "before")
    ending, folder, manifest, _ = run(LONG.format(fault="pass"))
    assert ending.status == Status.TARGET_REACHED
    assert manifest["sandbox"]["writable"][0] == str(folder.with_name(".trial_1.1.partial"))


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


@pytest.mark.slow
def test_two_runs_at_once_share_the_trials(tmp_path, easy_rules):
    raw = json.loads(easy_rules.read_text())
    raw["tuning"]["self_tuning"]["studies"] = 4
    easy_rules.write_text(json.dumps(raw))
    source, script, results = tmp_path / "mine.py", tmp_path / "script.py", tmp_path / "results"
    meet = tmp_path / "meet"
    meet.mkdir()
    source.write_text(textwrap.dedent(GOOD))
    script.write_text(SCRIPT.replace("cli.run", MEET))
    command = [sys.executable, script, source, easy_rules, results, meet]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    told = [run.communicate(timeout=900)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert len(list(results.glob("*/study_*/*/trial_*"))) == 4
    assert list(results.glob("*/study_*/*/.*")) == []
    # Each trial was run by one of the two, and each of the two ran some.
    ran = [text.count("target reached") for text in told]
    assert sum(ran) == 4, told
    assert all(ran), told


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
