"""Hostile by configuration: several devices, strict promotion, warnings are errors."""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

import json
from pathlib import Path

import hypothesis
import pytest

from algoperf import registry

# What else the machine does must not decide a test.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process has all tests of a workload in a file: they share what was compiled."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        name = callspec and callspec.params.get("name")
        if isinstance(name, str):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {name}"))


@pytest.fixture
def easy_rules(tmp_path) -> Path:
    """The quick rules with targets that a first evaluation meets: a trial takes a moment."""
    raw = json.loads(registry.rules_files()["quick"].read_text())
    for numbers in raw["workloads"].values():
        numbers |= {"validation_target": 1e9, "test_target": 1e9, "budget_s": 20.0}
    path = tmp_path / "easy.json"
    path.write_text(json.dumps({**raw, "name": "easy"}))
    return path
