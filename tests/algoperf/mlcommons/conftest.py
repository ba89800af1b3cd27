"""Submissions in MLCommons' form, written for these tests, and files that go wrong."""

import json
import textwrap
from pathlib import Path

import pytest

SUBMISSIONS = Path(__file__).parent / "submissions"

WORKING = """
def get_batch_size(workload_name):
    return 4

def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    return None

def update_params(
    workload, current_param_container, current_params_types, model_state, hyperparameters,
    batch, loss_type, optimizer_state, eval_results, global_step, rng,
):
    return optimizer_state, current_param_container, model_state
"""


@pytest.fixture
def folder(tmp_path):
    """A submission's folder: (name to text, search space as text or as what JSON is made of)."""

    def write(files=None, space=None, name="mine"):
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        for file, text in ({"submission.py": WORKING} | (files or {})).items():
            (path / file).parent.mkdir(exist_ok=True)
            (path / file).write_text(textwrap.dedent(text))
        if space is not None:
            text = space if isinstance(space, str) else json.dumps(space)
            (path / "tuning_search_space.json").write_text(text)
        return path

    return write
