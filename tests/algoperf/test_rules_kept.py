"""Submissions that break a rule: what their source gives away, and what they do as they run."""

import importlib
import os
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import pytest

from algoperf import inspection, registry, rulesets, workload
from algoperf.check import check, to_read
from algoperf.guard import Guard, RuleBroken

NAMES = {"wmt", "clicks"}


def found_in(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(text))
    return inspection.inspect_source(path, NAMES)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import workloads.clicks", "imports workloads.clicks"),
        ("from workloads import clicks", "imports workloads"),
        ("from algoperf import clock", "imports algoperf.clock"),
        ("from algoperf.inputs.dataset import RecordDataset", "imports algoperf.inputs.dataset"),
        ("import threading", "no threads"),
        ("from concurrent.futures import ThreadPoolExecutor", "no threads"),
        ("import multiprocessing as mp", "no threads"),
        ("import os; os.fork()", "os.fork"),
        ("import os as o; o.system('true')", "os.system"),
        ("import time; time.sleep(1)", "sleeps"),
        ("from time import sleep; sleep(1)", "sleeps"),
        ("import os; SIZE = os.environ['SIZE']", "os.environ"),
        ("import sys; FAST = 'x' in sys.argv", "sys.argv"),
        ("import jax; jax.jit = lambda f: f", "changes jax"),
        ("import jax.numpy as jnp; jnp.mean = sum", "changes jax.numpy"),
        ("import jax; setattr(jax.numpy, 'mean', sum)", "changes jax.numpy"),
        ("import time; del time.perf_counter", "changes time"),
        ("from algoperf import spec; S = spec.Split.TEST", "test split"),
        ("def f(view): return 1 if view.kind == 'wmt' else 2", "names the workload 'wmt'"),
        ("RATES = {'wmt': 0.1}", "names the workload 'wmt'"),
        ("T = {'wmt': 1}\ndef get_batch_size(n): return T[n]\nX = T['wmt']", "names the workload"),
        ("T = {'wmt': 0.1}", "names the workload"),
        ("def f():\n    global search_space\n    search_space = {}", "search space"),
        ("search_space = {}\nif True:\n    search_space = {'a': 1}", "search space"),
    ],
)
def test_what_is_written_plainly_is_found(tmp_path, line, what):
    found = found_in(tmp_path, line)
    assert any(what in finding.what and finding.breaks for finding in found), found


@pytest.mark.parametrize(
    "text",
    [
        '"""Fast on wmt."""\n"clicks"',
        "from algoperf import TrainState, from_optax, spec, warmup_cosine",
        "from algoperf.spec import Params",
        "def get_batch_size(workload_name):\n    return {'wmt': 128}[workload_name]",
        "T = {'wmt': 128}\nD: int = 8\ndef get_batch_size(n): return T.get(n, D)",
        "T = {'wmt': 128}\ndef get_eval_batch_size(n): return T[n]",
        "def f():\n    search_space = {}\n    return search_space",
        "class A:\n    def f(self, search_space=None):\n        search_space = {}",
        "from itertools import count\ndef f():\n    count = {}\n    count['x'] = 1",
        "import jax\ndef f(jax):\n    jax.x = 1",
        "import time\nSTARTED = time.monotonic()",
        "class A: pass\na = A()\na.x = 1",
        "import jax\nstate = {}\nstate['x'] = jax.numpy.zeros(3)",
        "search_space = {'a': {'feasible_points': [1, 2]}}",
    ],
)
def test_what_is_allowed_is_not_found(tmp_path, text):
    assert not found_in(tmp_path, text)


def test_what_only_a_reader_can_judge_is_shown_and_breaks_nothing(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import pickle\nimport jax\njax.config.update('jax_enable_x64', False)\n"
        "jax.debug.callback(print)\nfrom jax import debug, pure_callback\ndebug.callback(print)\n"
        "from jax.experimental import io_callback as call\nprint(call, pure_callback)\n"
        "from jax import monitoring\nmonitoring.record_event('x')\n"
        "from jax._src.dispatch import log_elapsed_time\ntable = {'translation': 1}\n"
    )
    assert [line.partition(": ")[0] for line in to_read(str(path))] == [
        f"mine.py, line {number}" for number in (1, 3, 4, 6, 8, 8, 10, 11, 12)
    ]
    assert not any(finding.breaks for finding in inspection.inspect_source(path, NAMES))


@pytest.mark.parametrize("name", registry.submission_names())
def test_the_submissions_that_come_with_the_package_break_nothing(name):
    path = registry.submission_path(name)
    assert not inspection.inspect_source(path, rulesets.workload_names())


def test_a_hyperparameter_that_nobody_reads(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("search_space = {'a': 1, 'b': 2, 'c': 3}\ndef f(hp): return hp.a, hp['b']\n")
    assert inspection.unread(path, ["a", "b", "c"]) == ["c"]
    path.write_text("search_space = {'a': 1}\ndef f(hp): return g(**hp._asdict())\n")
    assert inspection.unread(path, ["a"]) == []


OWN = """
import os, subprocess, threading
from concurrent.futures import ThreadPoolExecutor
import jax
import algoperf.workload

def thread(): threading.Thread(target=print).start()
def pool(): ThreadPoolExecutor().submit(print)
def fork(): os.fork()
def low(): threading._start_new_thread(int, ())
def lent_thread(): jax.tree.map(threading.Thread.start, threading.Thread(target=int))
def lent_process(): jax.tree.map(os.system, "true")
def command(): subprocess.run(["true"])
def system(): os.system("true")
def quietly():
    try: subprocess.run(["true"])
    except Exception: pass
def evaluation(): algoperf.workload.Evaluator.__call__ = lambda *_: {}
def framework(): algoperf.workload.jnp.mean = sum
"""


@pytest.fixture
def own(tmp_path):
    """A submission's functions, and its file."""
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    functions: dict = {}
    exec(compile(OWN, str(path), "exec"), functions)  # noqa: S102 - as an import of it would do
    return path, functions


@pytest.mark.parametrize(
    "name",
    ["thread", "pool", "fork", "command", "system", "low", "lent_thread", "lent_process"],
)
def test_what_a_submission_starts_is_stopped_and_remembered(own, name):
    path, functions = own
    with Guard(path) as guard:
        with pytest.raises(RuleBroken, match="starts a"):
            functions[name]()
        with pytest.raises(RuleBroken, match="broke a rule"):
            guard.check()


def test_who_swallows_the_error_is_found_all_the_same(own):
    path, functions = own
    with Guard(path) as guard:
        functions["quietly"]()
        with pytest.raises(RuleBroken, match="starts a process"):
            guard.check()


def test_others_may_start_threads(own):
    path, _ = own
    with Guard(path) as guard:
        threading.Thread(target=int).start()
        with ThreadPoolExecutor() as pool:
            pool.submit(int)
        guard.check(whole=True)


def test_nobody_starts_a_process_though_none_of_the_submissions_code_is_there(own):
    path, _ = own
    handed_over = partial(os.system, "true")  # as a function of C that others call
    with Guard(path), pytest.raises(RuleBroken, match="starts a process"):
        handed_over()


def test_an_installed_package_may_look_for_its_libraries_when_it_is_imported(
    own, tmp_path, monkeypatch
):
    path, _ = own
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("installed_by_all", "brought_along"):
        (packages / f"{name}.py").write_text("import os; os.system('true')")
    monkeypatch.syspath_prepend(packages)
    with Guard(path) as guard:
        with pytest.raises(RuleBroken, match="starts a process"):
            importlib.import_module("brought_along")
        monkeypatch.setattr("algoperf.guard._PACKAGES", str(packages))
        importlib.import_module("installed_by_all")
        with pytest.raises(RuleBroken, match=r"starts a process\."):
            guard.check()


def test_a_replaced_function_is_found(own, monkeypatch):
    path, functions = own
    monkeypatch.setattr(workload.Evaluator, "__call__", workload.Evaluator.__call__)  # puts it back
    with Guard(path) as guard:
        guard.check(whole=True)
        functions["evaluation"]()
        with pytest.raises(RuleBroken, match=r"Evaluator\.__call__ was replaced"):
            guard.check()


def test_a_replaced_function_of_jax_is_found(own, monkeypatch):
    path, functions = own
    monkeypatch.setattr(jax.numpy, "mean", jax.numpy.mean)  # puts it back
    with Guard(path) as guard:
        functions["framework"]()
        guard.check()  # only at the end is everything looked at
        with pytest.raises(RuleBroken, match=r"jax\.numpy\.mean was replaced"):
            guard.check(whole=True)


def checked(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(text))
    return check(str(path), rulesets.load("quick"), ["digits_autoencoder"])


@pytest.mark.slow
def test_memory_that_grows_with_every_step_is_found(tmp_path):
    found = checked(
        tmp_path,
        """
        import jax
        kept = []
        def init(workload, params, hyperparameters, key): return ()
        def update(workload, train, batch, key, progress):
            params = jax.tree.map(lambda leaf: leaf + 0.0, train.params)
            kept.append(params)
            return train._replace(params=params)
        """,
    )
    assert len(found) == 1
    assert "bytes more after every step" in found[0]


def test_a_rule_that_is_broken_while_it_runs_is_a_fault(tmp_path):
    found = checked(
        tmp_path,
        """
        import importlib
        def init(workload, params, hyperparameters, key):
            importlib.import_module("subprocess").run(["true"])
            return ()
        def update(workload, train, batch, key, progress): return train
        """,
    )
    assert any("starts a process" in fault for fault in found)
