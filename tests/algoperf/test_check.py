"""`algoperf check` on submissions that are each wrong in one way."""

import textwrap

import pytest

from algoperf import rulesets
from algoperf.check import check

STEP = """
    import jax, jax.numpy as jnp
    def init(workload, params, hyperparameters, key): return ()
    def update(workload, train, batch, key, progress):
        {body}
"""


def faults_of(tmp_path, text: str, studies: int | None = None) -> list[str]:
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(text))
    rules = rulesets.load("quick")
    return check(str(path), rules, ["digits_autoencoder"], studies=studies)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("return train.params", "`update` returned a dict; it must return a TrainState"),
        (
            "return train._replace(params={**train.params, 'more': jnp.ones(3)})",
            "`update` returned other parameters than the model's:",
        ),
        (
            "return train._replace(params=jax.tree.map(lambda x: x[..., None], train.params))",
            "Dense_0/bias is float32[512, 1]; it was float32[512]",
        ),
        (
            "return train._replace(params=jax.tree.map(jnp.float16, train.params))",
            "Dense_0/bias is float16[512]; it was float32[512]",
        ),
        (
            "return train._replace(params=jax.tree.map(lambda x: x * jnp.inf, train.params))",
            "NaN or infinite at step 1: Dense_0/bias",
        ),
        ("return undefined", "`update` raises (line 5) NameError"),
        ("import sys; sys.exit(1)", "`update` raises (line 5) SystemExit: 1"),
    ],
)
def test_a_faulty_update_is_found(tmp_path, body, fault):
    found = faults_of(tmp_path, STEP.format(body=body))
    assert any(fault in line for line in found), found
    assert all(line.startswith("digits_autoencoder: ") for line in found)


def test_a_fault_at_a_later_step_is_found(tmp_path):
    body = "return train if progress.step < 2 else 1 / 0"
    assert "ZeroDivisionError" in faults_of(tmp_path, STEP.format(body=body))[0]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("def batch_size(workload): return 7", "2 devices cannot share evenly; 8 would do"),
        ("def batch_size(workload): return -1", "`batch_size` returned -1"),
        (
            "def params_for_evaluation(workload, train, progress): return train.params",
            "`params_for_evaluation` must return a tuple (params, model_state)",
        ),
        (
            "def select_batch(workload, batches, train, key, progress): raise KeyError('x')",
            "`select_batch` raises (line 7) KeyError",
        ),
        ("def batch_size(): return 8", "`batch_size` must take (workload), it is ()"),
        ("search_space = {'lr': {'min': 0, 'max': 1, 'scaling': 'log'}}", "cannot start at 0"),
        ("search_space = [{'lr': 0.1}]", "gives 1. `--studies N` asks for fewer studies"),
    ],
)
def test_a_fault_elsewhere_is_found(tmp_path, more, fault):
    found = faults_of(tmp_path, STEP.format(body="return train") + "\n    " + more)
    assert any(fault in line for line in found), found


def test_a_good_submission_has_no_fault(tmp_path):
    assert faults_of(tmp_path, STEP.format(body="return train")) == []


@pytest.mark.slow
def test_faults_of_every_workload_are_told(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(STEP.format(body="return None")))
    names = ["digits_autoencoder", "digits_resnet", "digits_vit"]
    found = check(str(path), rulesets.load("quick"), names)
    assert [line.partition(":")[0] for line in found] == names


def test_one_fault_does_not_hide_another(tmp_path):
    text = STEP.format(body="return train._replace(params={})") + (
        "\n    def batch_size(workload): return 7"
        "\n    def select_batch(workload, batches, train, key, progress): return 1 / 0"
        "\n    search_space = [{'lr': 0.1}]"
    )
    found = "\n".join(faults_of(tmp_path, text))
    for fault in ("need 4 hyper", "8 would do", "ZeroDivisionError", "returned other parameters"):
        assert fault in found


def test_points_for_fewer_studies_do(tmp_path):
    """The quick suite grants two trials a study."""
    text = (
        STEP.format(body="return train")
        + """
    search_space = [{'lr': 0.1}, {'lr': 0.2}]
    """
    )
    read = text.replace("return ()", "return hyperparameters.lr")
    assert "need 4 hyperparameter points" in " ".join(faults_of(tmp_path, read))
    assert faults_of(tmp_path, read, studies=1) == []


def test_what_it_makes_once_and_keeps_is_no_fault(tmp_path):
    """Operations are counted as in a trial, and leave nothing behind."""
    text = """
    import jax, jax.numpy as jnp
    RATES = None
    def init(workload, params, hyperparameters, key): return ()
    def update(workload, train, batch, key, progress):
        global RATES
        if RATES is None:
            RATES = jnp.linspace(0.1, 0.0, 9)
        rate = RATES[progress.step]
        return train._replace(params=jax.tree.map(lambda p: p - rate * p, train.params))
    """
    assert faults_of(tmp_path, text) == []
