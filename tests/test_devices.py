"""What a workload measures does not depend on how many devices share it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh

from algoperf import contract, registry, sharding
from algoperf.errors import UserError
from algoperf.spec import Progress, Split
from algoperf.submission import from_optax
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator
from tests import tiny

WORKLOADS = registry.workloads()
GROUPS = [
    [n for n, variant in WORKLOADS.items() if name in (n, variant.base)]
    for name, workload in WORKLOADS.items()
    if workload.suite != "full" and workload.base is None
] + [[name] for name, workload in WORKLOADS.items() if workload.suite == "full"]
"""What one process measures: a base with its variants; of the full suite's models, one."""
assert sorted(name for group in GROUPS for name in group) == sorted(WORKLOADS)

TOLERANCE = 1e-5
GRADIENT = 1e-4
"""Of its norm, to that of the largest. Recurrent nets make rounding grow; what a device left out or
counted twice would be a hundred times as much."""
NEAR_ZERO = 5e-7
"""Of an untrained model's similarity of images, which cancels to as little as -4e-4."""


def run_on(devices: int, names: list[str], folder: Path) -> dict[str, Any]:
    file = folder / f"{devices}.json"
    flags = [f"--xla_force_host_platform_device_count={devices}"]
    if WORKLOADS[names[0]].suite != "full":  # compiling is most of it
        flags.append("--xla_backend_optimization_level=0")
    environment = {**os.environ, "XLA_FLAGS": " ".join(flags)}
    command = [sys.executable, "-m", "tests.on_devices", str(file), *names]
    subprocess.run(command, check=True, env=environment, timeout=500)
    return json.loads(file.read_text())


def close(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    """Relative to the largest: a mean of a batch may be as good as zero."""
    one, other = np.asarray(one), np.asarray(other)
    return bool(np.all(np.abs(one - other) <= tolerance * np.abs(one).max(initial=0) + NEAR_ZERO))


@pytest.mark.table
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_eight_devices_measure_what_one_does(names, tmp_path):
    """Losses and batch statistics of a few steps, gradients, and every metric, on every workload.

    It is rounding that differs, since sums are taken in another order: single precision has an
    epsilon of 6e-8.
    """
    one, eight = (run_on(devices, names, tmp_path) for devices in (1, 8))
    assert one.keys() == eight.keys() == set(names)
    unlike = []
    for name, alone in one.items():
        shared = eight[name]
        losses = alone["losses"]
        assert len(set(losses)) == len(losses), name  # no step is another once more
        unlike += [
            f"{name}: loss {loss} on one device, {other} on eight"
            for loss, other in zip(losses, shared["losses"], strict=True)
            if not close(loss, other)
        ]
        norms, others = alone["gradient_norms"], shared["gradient_norms"]
        assert max(norms) > 0, name
        if not close(norms, others, GRADIENT):
            unlike.append(f"{name}: norms of gradients {norms} on one device, {others} on eight")
        unlike += [
            f"{name}: batch statistics of {np.shape(leaf)}"
            for leaf, other in zip(alone["statistics"], shared["statistics"], strict=True)
            if not close(leaf, other)
        ]
        unlike += [
            f"{name}: {split} {metric} {value} on one device, {other} on eight"
            for split, metrics in alone["evaluations"].items()
            for metric, value in metrics.items()
            if not close(value, other := shared["evaluations"][split][metric])
        ]
    assert not unlike, "\n".join(unlike)


def trained(devices: int, monkeypatch) -> tuple[list[np.ndarray], dict[str, float]]:
    """The tiny workload's parameters from the start on, and the last ones' evaluation."""

    def mesh() -> Mesh:
        return jax.make_mesh(
            (devices,), ("batch",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
        )

    monkeypatch.setattr(sharding, "mesh", mesh)
    jax.clear_caches()  # what was traced has another mesh in it
    algorithm = from_optax(lambda hp, workload: optax.sgd(0.3))
    view = WorkloadView(tiny.workload, 1.0)
    keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
    train = initial_state(algorithm, view, tiny.workload, None, **keys)
    batches = tiny.dataset.training(4, seed=0)
    found = []
    for step in range(4):
        found += [np.asarray(leaf) for leaf in jax.tree.leaves(train.params)]
        assert all(len(leaf.devices()) == devices for leaf in jax.tree.leaves(train))
        progress = Progress(step, 0.0, 1.0, ())
        train = algorithm.update(view, train, next(batches), jax.random.key(step), progress)
    metrics = Evaluator(tiny.workload)(train.params, train.model_state, Split.VALIDATION)
    jax.clear_caches()
    return found, metrics


def test_two_devices_start_train_and_measure_as_one(monkeypatch):
    """With dropout, and a last evaluation batch that is padded."""
    assert tiny.dataset.sizes[Split.VALIDATION] % tiny.workload.eval_batch_size
    (one, measured), (two, measured_too) = (trained(n, monkeypatch) for n in (1, 2))
    assert np.array_equal(one[0], two[0])
    for alone, shared in zip(one, two, strict=True):
        np.testing.assert_allclose(shared, alone, rtol=TOLERANCE, atol=1e-7)
    assert measured_too == pytest.approx(measured, rel=TOLERANCE)


def test_a_batch_that_devices_cannot_share_is_refused():
    assert jax.device_count() == 2
    with pytest.raises(UserError, match="which 2 devices cannot share evenly; 16 would do"):
        contract.check_batch_size(15)
