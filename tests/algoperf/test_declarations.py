"""What a submission says of itself is read where its code can do no harm."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from algoperf import declarations, loading, sandbox
from algoperf.errors import UserError

shut_in = pytest.mark.skipif(not sandbox.version(), reason="there is no Landlock here")

SOUND = """'''Sound.

More.'''
search_space = {"rate": {"min": 0.1, "max": 1.0, "scaling": "log"}}
def init(workload, params, hyperparameters, key): ...
def update(workload, train, batch, key, progress): ...
"""


def write(folder, name, text):
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def read(path, folder):
    (found,) = declarations.read([path], folder / "results")
    return found


def test_what_is_read_is_what_loading_gives(tmp_path):
    names = ["adamw", "infinite_compute", "self_tuning_nadamw"]
    for name, read in zip(names, declarations.read(names, tmp_path), strict=True):
        loaded = loading.load(name)
        assert isinstance(read, declarations.Declared)
        assert (read.name, read.path, read.doc) == (loaded.name, loaded.path, loaded.doc)
        assert (read.search_space, read.ruleset) == (loaded.search_space, loaded.ruleset)


@pytest.mark.parametrize(
    "text",
    [
        "def init(:",
        "import no_such_package",
        "1 / 0",
        "raise SystemExit(3)",
        "search_space = 7\n" + SOUND.partition("\n")[2].replace("search_space", "_"),
        "def init(workload): ...",
    ],
)
def test_errors_reach_the_user_as_they_would_from_loading(text, tmp_path):
    path = write(tmp_path, "mine", text)
    with pytest.raises(UserError) as raised:
        loading.load(path)
    found = read(path, tmp_path)
    assert isinstance(found, UserError)
    assert str(found) == str(raised.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import os; os._exit(3)", "ended with exit status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by Killed"),
        ("import time; time.sleep(60)", "took more than 3 s"),
        ("import os; os.system('true')", "starts a process"),
        ("import threading; threading.Thread(target=print).start()", "starts a thread"),
    ],
)
def test_a_file_that_does_not_come_back_is_an_error_and_no_other_is(
    text, why, tmp_path, monkeypatch
):
    if "sleep" in text:
        monkeypatch.setattr(declarations, "LIMIT_S", 3.0)
    paths = [write(tmp_path, "bad", text), write(tmp_path, "sound", SOUND)]
    bad, sound = declarations.read(paths, tmp_path / "results")
    assert why in str(bad)
    assert isinstance(sound, declarations.Declared)
    assert sound.doc == "Sound."


@pytest.mark.parametrize(
    "answer",
    [
        "7",
        "[" * 100_000,
        json.dumps({"doc": "", "search_space": {"rate": 10**400}, "notes": {}}),
        json.dumps({"doc": "", "search_space": {}, "notes": {}}),
        json.dumps({"doc": "", "search_space": None, "notes": ["x"]}),
    ],
)
def test_a_false_answer_is_an_error(answer, tmp_path):
    forged = "import os, tempfile\nopen(tempfile.gettempdir() + '/answer.json', 'w').write({!r})\n"
    path = write(tmp_path, "bad", forged.format(answer) + "os._exit(0)")
    assert isinstance(read(path, tmp_path), UserError)


@shut_in
def test_a_file_that_is_read_writes_nothing_and_sees_no_results(tmp_path):
    record = tmp_path / "results" / "other" / "manifest.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    for act in (f"open({str(tmp_path / 'left')!r}, 'w')", f"open({str(record)!r})"):
        assert "PermissionError" in str(read(write(tmp_path, "mine", act), tmp_path))
    assert not (tmp_path / "left").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_what_was_left_running_is_ended(tmp_path):
    """What C starts, the guard does not hear of."""
    text = (
        "import ctypes, time\nnumber = ctypes.CDLL(None).fork()\nif not number:\n"
        f"    time.sleep(60)\n{SOUND}\n__doc__ = str(number)\n"
    )
    found = read(write(tmp_path, "mine", text), tmp_path)
    assert isinstance(found, declarations.Declared)
    assert int(found.doc) > 0
    command = Path(f"/proc/{found.doc}/cmdline")
    assert not command.exists() or not command.read_bytes()  # gone, or dead and not yet fetched


def test_planning_imports_neither_jax_nor_the_submission(tmp_path):
    path = write(tmp_path, "mine", f"import sys\nsys.modules['marker'] = sys\n{SOUND}")
    script = f"""
import sys
from pathlib import Path
from algoperf import rulesets, study
rules, results = rulesets.load("quick"), Path({str(tmp_path / "results")!r})
assert len(study.plan([{str(path)!r}], ["digits_vit"], rules, results).todo) == 4
assert not sys.modules.keys() & {{"jax", "marker"}}
"""
    subprocess.run([sys.executable, "-c", script], check=True)
