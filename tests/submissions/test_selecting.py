"""Submissions that select their data choose the rows that they say."""

from itertools import combinations
from math import e
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from algoperf import registry, tuning
from algoperf.loading import load
from algoperf.spec import Progress, TrainState
from algoperf.trial import initial_state
from algoperf.view import WorkloadView
from algoperf.workload import model_shapes
from submissions import facility_location, proxy_filter
from tests import tiny

POINT = {"learning_rate": 1e-2, "one_minus_beta1": 0.1, "weight_decay": 0.0, "warmup": 0.05}
NOW = Progress(0, 0.0, 1.0, ())
BATCH = 4
SELECTING = ("loss_selection", "facility_location", "proxy_filter")


def begun(name: str, **more: float):
    """The submission's functions, a view and its state on the tiny workload."""
    algorithm = load(name).algorithm
    view = WorkloadView(tiny.workload, 10.0)
    keys = {"model_key": jax.random.key(0), "init_key": jax.random.key(1)}
    return algorithm, view, initial_state(algorithm, view, tiny.workload, POINT | more, **keys)


def pool_of_two() -> dict[str, np.ndarray]:
    batches = tiny.dataset.training(BATCH, seed=0)
    one, other = next(batches), next(batches)
    return {name: np.concatenate([one[name], other[name]]) for name in one}


def rows(batch, pool) -> list[int]:
    """Which rows of the pool the batch is; inputs are all different."""
    return [
        int(np.flatnonzero((pool["inputs"] == row).all(axis=1))[0])
        for row in np.asarray(batch["inputs"])
    ]


@pytest.mark.parametrize(("part", "first"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_loss_selection_takes_the_window_that_part_says(part, first):
    """Of 8 losses in order, 4 from place 0, 2 or 4 on."""
    algorithm, view, train = begun("loss_selection", part=part)
    pool = pool_of_two()
    losses = view.example_losses(train.params, train.model_state, pool)
    batches = tiny.dataset.training(BATCH, seed=0)
    batch = algorithm.select_batch(view, batches, train, jax.random.key(0), NOW)
    assert rows(batch, pool) == np.argsort(losses)[first : first + BATCH].tolist()
    assert batches.position() == 2


def greedy(similarity: np.ndarray, count: int) -> list[int]:
    """Greedy search as it is defined: every gain anew, the first of the best."""
    chosen: list[int] = []
    covered = np.zeros(len(similarity), np.float32)
    for _ in range(count):
        gains = np.maximum(similarity - covered[:, None], 0).sum(axis=0)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, similarity[:, chosen[-1]])
    return chosen


def worth(similarity: np.ndarray, chosen) -> float:
    return float(similarity[:, list(chosen)].max(axis=1).sum())


lazy = jax.jit(facility_location.lazy_greedy, static_argnames="count")

# Eighths are added without rounding in any order, and often equal.
similarities = arrays(np.float32, (7, 7), elements=st.integers(0, 8).map(lambda n: n / 8))


def test_facility_location_by_hand():
    """First 1, with 0.9 + 1 + 0.8 + 0 = 2.7; then 3 adds 1, whereas 0 adds 0.1 and 2 adds 0.2."""
    similarity = np.array(
        [[1, 0.9, 0.5, 0], [0.9, 1, 0.8, 0], [0.5, 0.8, 1, 0], [0, 0, 0, 1]], np.float32
    )
    assert lazy(similarity, count=2).tolist() == [1, 3]


@given(similarities)
def test_lazy_greedy_is_greedy_and_keeps_its_guarantee(similarity):
    chosen = lazy(similarity, count=3).tolist()
    assert chosen == greedy(similarity, 3)
    best = max(worth(similarity, some) for some in combinations(range(7), 3))
    assert worth(similarity, chosen) >= (1 - 1 / e) * best


def test_all_candidates_are_chosen_where_all_are_asked_for():
    assert sorted(lazy(np.ones((5, 5), np.float32), count=5).tolist()) == [0, 1, 2, 3, 4]


def test_similarities_are_moved_cosines():
    """Same direction 1, at right angles 1/2, opposite 0; what has no length is at 1/2 to all."""
    features = jnp.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.0, 0.0]])
    found = facility_location.similarities(features)[0]
    assert found.tolist() == [1.0, 1.0, 0.5, 0.0, 0.5]


def test_facility_location_chooses_on_features():
    """The features of the tiny model are its inputs."""
    algorithm, view, train = begun("facility_location")
    pool = pool_of_two()
    similarity = np.asarray(facility_location.similarities(pool["inputs"]))
    batch = algorithm.select_batch(
        view, tiny.dataset.training(BATCH, seed=0), train, jax.random.key(0), NOW
    )
    # In another order: two that are like each other only help equally, to within rounding.
    assert sorted(rows(batch, pool)) == sorted(greedy(similarity, BATCH))


def test_the_proxy_filters_by_its_own_loss_and_learns_from_all_candidates():
    algorithm, view, train = begun("proxy_filter")
    pool = pool_of_two()
    losses = proxy_filter.proxy_losses(train.optimizer_state.proxy, pool)
    chosen = algorithm.select_batch(
        view, tiny.dataset.training(BATCH, seed=0), train, jax.random.key(0), NOW
    )
    assert rows(chosen.batch, pool) == np.argsort(losses)[:BATCH].tolist()
    assert rows(chosen.pool, pool) == list(range(2 * BATCH))
    before = float(losses.mean())
    for step in range(20):
        train = algorithm.update(view, train, chosen, jax.random.key(step), NOW)
    after = proxy_filter.proxy_losses(train.optimizer_state.proxy, pool)
    assert float(after.mean()) < before


def test_a_wrong_label_stands_out_to_a_proxy_that_has_learned_the_right_ones():
    """Class 1 wherever the first input is positive, but for one row in 32."""
    inputs = np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32)
    inputs[:, 0] = np.where(np.arange(32) % 2, 2, -2)
    targets = (inputs[:, 0] > 0).astype(np.int32)
    targets[5] = 1 - targets[5]
    pool = {"inputs": inputs, "targets": targets}
    proxy = proxy_filter.new_proxy(WorkloadView(tiny.workload, 10.0), jax.random.key(0))
    state = proxy_filter.proxy_optimizer.init(proxy)
    for _ in range(30):
        proxy, state = proxy_filter.learn(proxy, state, pool)
    assert int(proxy_filter.proxy_losses(proxy, pool).argmax()) == 5


@pytest.mark.parametrize(
    "name", ["proxy_filter", *(pytest.param(n, marks=pytest.mark.slow) for n in SELECTING[:2])]
)
def test_a_run_that_is_taken_up_again_goes_on_the_same(name):
    """All state is in `TrainState` and the stream's position: nothing is kept elsewhere."""
    more = {"part": 0.5} if name == "loss_selection" else {}
    algorithm, view, train = begun(name, **more)

    def go(algorithm, train: TrainState, batches, steps: range) -> TrainState:
        for step in steps:
            now = Progress(step, 0.0, 1.0, ())
            batch = algorithm.select_batch(view, batches, train, jax.random.key(step), now)
            train = algorithm.update(view, train, batch, jax.random.key(step), now)
        return train

    batches = tiny.dataset.training(BATCH, seed=0)
    half = go(algorithm, train, batches, range(2))
    kept, position = jax.device_get(half), batches.position()
    whole = go(algorithm, half, batches, range(2, 4))
    again = tiny.dataset.training(BATCH, seed=0, position=position)
    resumed = go(load(name).algorithm, kept, again, range(2, 4))
    pairs = zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def traced():
    """Every submission here on every base workload whose data are here; few are fast enough."""
    for name, workload in registry.workloads().items():
        if workload.base is None and workload.suite != "full":
            marks = () if name == "digits_resnet" else pytest.mark.table
            yield from (pytest.param(each, name, marks=marks) for each in SELECTING)


@pytest.mark.parametrize(("name", "workload"), list(traced()))
def test_a_batch_is_as_large_as_any_and_a_step_can_be_taken_on_it(name, workload):
    point = POINT | ({"part": 0.5} if name == "loss_selection" else {})
    trace(load(name).algorithm, tuning.hyperparameters(point), workload)


def test_the_documents_example_selects_the_hardest_half(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "submissions.md").read_text()
    (tmp_path / "mine.py").write_text(
        text.partition("## Selecting data")[2].partition("```python")[2].partition("```")[0]
    )
    algorithm, view, train = begun(str(tmp_path / "mine.py"))
    pool = pool_of_two()
    losses = view.example_losses(train.params, train.model_state, pool)
    batches = tiny.dataset.training(BATCH, seed=0)
    batch = algorithm.select_batch(view, batches, train, jax.random.key(0), NOW)
    assert rows(batch, pool) == np.argsort(losses)[BATCH:].tolist()
    trace(algorithm, None, "digits_resnet")


def trace(algorithm, point, workload: str) -> None:
    """Only what the shapes are, not what the numbers are."""
    view = WorkloadView(registry.workload(workload), 10.0)
    signature = dict(registry.workload(workload).dataset.signature(view.batch_size))

    params, model_state = model_shapes(registry.workload(workload))

    def start(params, key):
        return algorithm.init(view, params, point, key)

    def step(train, one, other, key):
        batch = algorithm.select_batch(view, iter([one, other]), train, key, NOW)
        return getattr(batch, "batch", batch), algorithm.update(view, train, batch, key, NOW)

    state = jax.eval_shape(start, params, jax.random.key(0))
    train = TrainState(params, model_state, state)
    batch, after = jax.eval_shape(step, train, signature, signature, jax.random.key(0))
    assert shapes(batch) == shapes(signature)
    assert shapes(after) == shapes(train)


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize("name", SELECTING)
def test_graphs_are_taken_as_they_come(name):
    view = WorkloadView(registry.workload("molecules"), 10.0)
    graphs = {"nodes": np.zeros(9), "targets": np.zeros(3)}
    select = load(name).algorithm.select_batch
    assert select(view, iter([graphs]), None, jax.random.key(0), NOW) is graphs


def test_the_proxy_takes_only_floats_with_one_class_each():
    def applies(name: str) -> bool:
        return proxy_filter.applies(WorkloadView(registry.workload(name), 10.0))

    assert applies("glyphs_resnet")
    assert not applies("facts_lm")  # words, and a target for each
    assert not applies("phantoms")  # images for images
    assert not applies("clicks")  # one output of which no class can be read
