"""The tool as a person meets it: messages and exit status."""

import io
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

import algoperf
from algoperf import listing, sandbox
from algoperf.cli import output

TOOL = Path(sys.executable).parent / "algoperf"


def tool(*arguments, cwd=None, env=None):
    return subprocess.run(
        [TOOL, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=env, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "adamx"], "Unknown submission 'adamx'. Did you mean 'adamw'"),
        (["run", "adamw", "--suite", "quik"], "Unknown suite 'quik'. Did you mean 'quick'"),
        (["run", "adamw", "--rules", "quck"], "Unknown rules 'quck'. Did you mean 'quick'"),
        (["run", "adamw", "--workload", "digits"], "Unknown workload 'digits'. Did you mean"),
        pytest.param(
            ["run", "adamw", "--plan", "--results", str(Path(algoperf.__file__).parents[1])],
            "this program: ",
            marks=pytest.mark.skipif(not sandbox.version(), reason="nothing is hidden"),
        ),
        (["run", "adamw", "--studies", "0"], "--studies is 0; it must be at least 1"),
        (["run", "./nothing.py"], "There is no submission file './nothing.py'"),
        (["run", "broken.py"], "search_space: lr: min 2 is above max 1"),
        (["check", "broken.py", "--workload", "digits_vit"], "lr: min 2 is above max 1"),
        (
            ["check", "adamw", "--workload", "molecules"],
            "of the suite 'pocket'. Add --suite pocket",
        ),
        (["check", "adamw", "--studies", "0"], "--studies is 0; it must be at least 1"),
        (["score", "nowhere"], "There is no results folder 'nowhere'"),
        (["score", "."], "There is no trial in"),
        (["score", "nowhere", "--rules", "quck"], "Unknown rules 'quck'"),  # before any walk
        (["run", "unclosed.py"], 'unclosed.py", line 2\n    x = (1,\n'),
        (["run", "divides.py"], 'divides.py", line 1, in <module>\n    x = 1 / 0\n'),
        (["run", "adamw", "--rules", "broken.json"], "is not JSON: line 1, column 2"),
        (["run", "adamw", "--rules", "absent.json"], "There is no rules file 'absent.json'"),
        (["run", "adamw", "--rules", "empty.json"], "lacks the key 'suite'"),
        (["targets", "quik"], "Unknown suite 'quik'"),
    ],
)
def test_a_mistake_gets_one_message_and_status_2(tmp_path, arguments, message):
    (tmp_path / "broken.py").write_text(
        "search_space = {'lr': {'min': 2, 'max': 1}}\n"
        "def init(a, b, c, d): ...\ndef update(a, b, c, d, e): ...\n"
    )
    (tmp_path / "unclosed.py").write_text('"""Text."""\nx = (1,\ndef init(): ...\n')
    (tmp_path / "divides.py").write_text("x = 1 / 0\n")
    (tmp_path / "broken.json").write_text("{,}")
    (tmp_path / "empty.json").write_text("{}")
    result = tool(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback (most recent call last)" not in result.stderr
    assert not (tmp_path / "results").exists()


def test_a_package_whose_workload_the_rules_lack_is_such_a_mistake(tmp_path):
    code = "from algoperf.workload import numbers\nunruled = numbers('quick', 'unruled')\n"
    files = {
        "mine/__init__.py": "",
        "mine/unruled.py": code,
        "mine-1.dist-info/METADATA": "Name: mine\nVersion: 1\n",
        "mine-1.dist-info/entry_points.txt": "[algoperf.workloads]\nmine = mine\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    result = tool("list", cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert result.returncode == 2, result.stderr
    assert result.stderr == (
        "The rules 'quick' have no entry 'unruled' under `workloads`: add one (docs/workloads.md "
        "shows how), or correct the name.\n"
    )


@pytest.mark.parametrize("arguments", [[], ["fly"], ["score", "x", "--time", "hours"]])
def test_a_wrong_command_line_has_status_2(arguments):
    result = tool(*arguments)
    assert result.returncode == 2
    assert "usage: algoperf" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "verb", "end"),
    [
        ("run adamw --stdies=2", "run", "--stdies=2. Did you mean --studies?"),
        ("run adamw --plam --pln", "run", "--plam --pln. Did you mean --plan?"),
        ("run adamw --qqq", "run", "--qqq"),
        ("data prepare wmt --dta=5", "data prepare", "--dta=5. Did you mean --data?"),
        ("data --hashes check wmt", "data check", "Options come after `algoperf data check`."),
        ("--plan run adamw", "run", "--plan. Options come after `algoperf run`."),
    ],
)
def test_an_unknown_option_gets_the_usage_of_its_verb_and_the_nearest(arguments, verb, end):
    result = tool(*arguments.split())
    assert result.returncode == 2
    assert result.stderr.startswith(f"usage: algoperf {verb}")
    assert "unrecognized arguments" in result.stderr
    assert result.stderr.rstrip().endswith(end)


def test_the_lists_for_programs():
    workloads = json.loads(tool("list", "workloads", "--json").stdout)
    wanted = {
        "name", "suite", "base", "mirrors", "dataset", "loss_type", "parameters", "metric",
        "target", "higher_is_better", "test_target", "budget_s", "step_hint", "data_ready",
    }  # fmt: skip
    assert all(set(row) == wanted for row in workloads)
    # Two sizes of the language model are there for diagnosis alone.
    free = {"facts_lm_narrow", "facts_lm_wide"}
    assert {row["name"] for row in workloads if row["target"] is None} == free
    quick = [row for row in workloads if row["suite"] == "quick"]
    assert {row["name"] for row in quick if row["base"] is None} == {
        "digits_autoencoder", "digits_resnet", "digits_vit", "digits_continued",
    }  # fmt: skip
    assert all(row["data_ready"] for row in quick)
    for what in ("submissions", "suites", "rules"):
        assert json.loads(tool("list", what, "--json").stdout)


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "rules"], ["targets", "quick"], ["doctor"], ["data"]]
)
def test_verbs_that_only_show(arguments):
    result = tool(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) > 5


def test_a_plan_runs_nothing(tmp_path):
    result = tool("run", "adamw", "nesterov", "--plan", cwd=tmp_path)
    assert "24 trials under the rules 'quick': 0 recorded" in result.stdout
    assert not (tmp_path / "results").exists()


def test_a_plan_has_units(tmp_path):
    result = tool("run", "adamw", "--plan", cwd=tmp_path)
    assert "[s]" in result.stdout
    assert "[h]" in result.stdout


@pytest.mark.parametrize("width", [80, 200])
def test_a_list_fits_the_terminal(width):
    rows = json.loads(tool("list", "workloads", "--json").stdout)
    console = Console(width=width, file=io.StringIO())
    console.print(listing.table(rows))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for heading in ("name", "suite", "parameters", "target", "budget [s]", "data"):
        assert heading in text.splitlines()[1]
    # Nothing is cut off: what is folded is still there, sign by sign.
    longest = max((row["name"] for row in rows), key=len)
    assert (longest in text) == (width == 200)
    names = "".join(line[: text.splitlines()[1].index("suite")] for line in text.splitlines()[3:])
    assert "".join(names.split()) == "".join(row["name"] for row in rows)


def test_what_is_being_done_is_shown_on_a_terminal_only(monkeypatch, capfd):
    with output.telling() as tell:
        tell("reading")
    assert capfd.readouterr() == ("", "")
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", terminal)
        with suppress(KeyError), output.telling() as tell:
            tell("reading [red]a:x:\x1b]0;b")
            raise KeyError
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "reading [red]a:x:?]0;b" in shown
    assert "\x1b[?25h" in shown  # the cursor is back


@pytest.mark.slow
def test_a_run_of_which_every_trial_fails_is_a_mistake(tmp_path):
    (tmp_path / "fails.py").write_text(
        "def init(workload, params, hyperparameters, key): raise ValueError('no')\n"
        "def update(workload, train, batch, key, progress): ...\n"
    )
    result = tool("run", "fails.py", "--workload", "digits_vit", "--studies", "1", cwd=tmp_path)
    assert result.returncode == 2
    assert f"All trials failed (1). `algoperf check {tmp_path / 'fails.py'}`" in result.stderr
    assert "Failed: fails on digits_vit, study 1, trial 1" in result.stdout


@pytest.mark.slow
def test_check_says_that_a_submission_is_valid():
    result = tool("check", "adamw", "--workload", "digits_autoencoder")
    assert result.returncode == 0
    assert "adamw is valid" in result.stdout
