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


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of a workload in a file come one after the other, in one process.

    They share what was compiled, of which no more than one workload's is then kept.
    """
    first: dict[tuple[str, str], int] = {}
    place: dict[pytest.Item, int] = {}
    for number, item in enumerate(items):
        callspec = getattr(item, "callspec", None)
        name = callspec and callspec.params.get("name")
        place[item] = number
        if isinstance(name, str):
            group = item.path.stem, name
            place[item] = first.setdefault(group, number)
            item.add_marker(pytest.mark.xdist_group(" ".join(group)))
    items.sort(key=place.__getitem__)


@pytest.fixture
def easy_rules(tmp_path) -> Path:
    """The quick rules with targets that a first evaluation meets: a trial takes a moment."""
    raw = json.loads(registry.rules_files()["quick"].read_text())
    for numbers in raw["workloads"].values():
        numbers |= {"validation_target": 1e9, "test_target": 1e9, "budget_s": 20.0}
    path = tmp_path / "easy.json"
    path.write_text(json.dumps({**raw, "name": "easy"}))
    return path
