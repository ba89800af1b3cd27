"""Every workload and every submission there is: an addition is tested by existing.

One compilation of the training step serves all checks of a workload.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algoperf import registry, rulesets, tuning
from algoperf.check import check
from algoperf.data import hash_of
from algoperf.loading import load
from algoperf.spec import ParameterType, Progress, Split, TrainState
from algoperf.submission import from_optax
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, Workload, init_model

WORKLOADS = {
    name: workload
    for name, workload in registry.workloads().items()
    if workload.suite != "full"  # its data are not here; see tests/workloads
}
BASES = [name for name, workload in WORKLOADS.items() if workload.base is None]
VARIANTS = [name for name in WORKLOADS if name not in BASES]
NOW = Progress(0, 0.0, 1.0, ())
SGD = from_optax(lambda hp, workload: optax.sgd(0.05))

# Of the larger suite one goes with the slow tests; the tables have the others.
FAST = set(rulesets.of_suite("quick").base_workloads)
SLOW = "facts_lm"

every_workload = pytest.mark.parametrize(
    "name",
    [
        name
        if name in FAST
        else pytest.param(name, marks=pytest.mark.slow if name == SLOW else pytest.mark.table)
        for name in (*BASES, *VARIANTS)
    ],
)


class Case:
    """A workload with its parameters, a batch, and one compiled step."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.view = WorkloadView(workload, 10.0)
        self.batch = next(workload.dataset.training(workload.batch_size, seed=0))
        self.evaluate = Evaluator(workload)

    def start(self, seed: int) -> TrainState:
        params, model_state = init_model(self.workload, jax.random.key(seed))
        state = SGD.init(self.view, params, None, jax.random.key(0))
        return TrainState(params, model_state, state)

    def step(self, train: TrainState, seed: int = 0) -> TrainState:
        after = SGD.update(self.view, train, self.batch, jax.random.key(seed), NOW)
        return jax.block_until_ready(after)


@lru_cache(maxsize=1)
def case(name: str) -> Case:
    # Hundreds of compiled programs at once are more than a process may map into its memory.
    jax.clear_caches()
    return Case(WORKLOADS[name])


def evaluated(name: str, count: int) -> dict[str, np.ndarray]:
    """The first batch of validation examples; a batch need not be rows that one could cut."""
    batch = next(WORKLOADS[name].dataset.evaluation(Split.VALIDATION, count))
    return {key: np.asarray(value) for key, value in batch.items()}


def equal(left, right) -> bool:
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@every_workload
def test_every_parameter_has_a_type_and_some_are_weights(name):
    view = case(name).view
    types = set(jax.tree.leaves(view.parameter_types))
    assert types <= set(ParameterType)
    assert types & {ParameterType.WEIGHT, ParameterType.CONV_WEIGHT}
    assert jax.tree.structure(view.parameter_types) == jax.tree.structure(view.parameter_shapes)


@every_workload
def test_an_output_layer_is_declared_or_embeddings_are_it(name):
    view = case(name).view
    is_output = jax.tree.leaves(view.output_parameters)
    if any(is_output):
        assert 1 <= sum(is_output) <= 2  # a matrix, and perhaps a bias
    else:
        assert ParameterType.EMBEDDING in jax.tree.leaves(view.parameter_types)


@every_workload
def test_evaluation_is_finite_on_every_split_and_measures_the_target(name):
    train = case(name).start(0)
    for split in (Split.EVAL_TRAIN, Split.VALIDATION, Split.TEST):
        metrics = case(name).evaluate(train.params, train.model_state, split)
        assert metrics.keys() == WORKLOADS[name].metrics.keys()
        assert all(np.isfinite(value) for value in metrics.values())
    assert WORKLOADS[name].validation.metric in metrics


@every_workload
def test_a_masked_example_has_no_influence(name):
    """The second half of the batch is hidden, and then also filled with NaN, or with zeros."""
    workload = WORKLOADS[name]
    train = case(name).start(0)
    kept, poisoned = (evaluated(name, count) for count in (32, 64))
    poisoned["weights"] = (np.arange(64) < 32).astype(np.float32)
    for key in {"inputs", "nodes", "edges"} & poisoned.keys():
        values = poisoned[key].copy()
        values[len(values) // 2 :] = np.nan if np.issubdtype(values.dtype, np.floating) else 0
        poisoned[key] = values

    def measure(part):
        variables = {"params": train.params, **train.model_state}
        found = {}
        for key, metric in workload.metrics.items():
            outputs = metric.predict(workload.model, variables, part)
            left = jax.device_get(metric.reduce(metric.per_example(outputs, part)))
            found[key] = metric.finish(metric.combine([left]))
        return found

    whole, alone = measure(poisoned), measure(kept)
    for key in whole:
        assert whole[key] == pytest.approx(alone[key], rel=1e-5)


@every_workload
def test_gradients_flow_to_every_parameter(name):
    """After a few steps: what starts at zero on purpose has moved by then."""
    train = case(name).start(0)
    moved = train
    for seed in range(3):
        moved = case(name).step(moved, seed)
    start = case(name).start(0)
    for (path, before), after in zip(
        jax.tree_util.tree_leaves_with_path(start.params),
        jax.tree.leaves(moved.params),
        strict=True,
    ):
        assert (before != after).any(), jax.tree_util.keystr(path)


@every_workload
def test_steps_on_one_batch_lower_its_loss(name):
    """Or a part of the way does, for models on which so large a rate steps too far."""
    view, batch = case(name).view, case(name).batch
    start = case(name).start(0)

    def loss(params):
        return float(view.loss(params, start.model_state, batch, jax.random.key(9))[0])

    train = case(name).start(0)
    for seed in range(5):
        train = case(name).step(train, seed)

    def on_the_way(part):
        return jax.tree.map(lambda a, b: a + part * (b - a), start.params, train.params)

    before = loss(start.params)
    assert any(loss(on_the_way(part)) < before for part in (1.0, 0.2, 0.04))


@every_workload
def test_the_seed_decides(name):
    assert equal(case(name).start(1).params, case(name).start(1).params)
    assert not equal(case(name).start(1).params, case(name).start(2).params)
    one, again = (case(name).step(case(name).start(1), seed=3) for _ in range(2))
    assert equal(one, again)


@every_workload
def test_dropout_is_random_exactly_where_the_model_has_it(name):
    one, other = (case(name).step(case(name).start(1), seed=s) for s in (3, 4))
    has_dropout = getattr(WORKLOADS[name].model, "dropout_rate", 0.0) > 0
    assert equal(one.params, other.params) is not has_dropout


@every_workload
def test_training_moves_the_model_state_and_evaluation_does_not(name):
    start = case(name).start(0)
    moved = case(name).step(case(name).start(0))
    if jax.tree.leaves(start.model_state):
        assert not equal(start.model_state, moved.model_state)
    _, after = case(name).view.apply(start.params, start.model_state, case(name).batch, train=False)
    assert equal(start.model_state, after)


@pytest.mark.table
@every_workload
def test_compiled_and_not_compiled_agree(name):
    train = case(name).start(0)
    small = evaluated(name, 8)
    view = case(name).view

    def loss(params):
        return view.loss(params, train.model_state, small, jax.random.key(5))[0]

    with jax.disable_jit():
        plain = loss(train.params)
    assert float(jax.jit(loss)(train.params)) == pytest.approx(float(plain), rel=1e-4)


@every_workload
def test_the_data_are_the_recorded_ones(name):
    dataset = WORKLOADS[name].dataset
    assert dataset.missing() is None
    assert all(count > 0 for count in dataset.sizes.values())


def test_a_variant_differs_from_its_base_and_shares_its_data():
    for name in VARIANTS:
        variant, base = WORKLOADS[name], WORKLOADS[WORKLOADS[name].base or ""]
        assert variant.model != base.model
        assert variant.dataset is base.dataset
        same = {"suite", "loss_type", "loss", "metrics", "batch_size", "eval_every_steps"}
        for field in dataclasses.fields(Workload):
            if field.name in same:
                assert getattr(variant, field.name) == getattr(base, field.name)


def trained() -> Iterator[Any]:
    """Every submission on every workload, in four parts.

    On the smallest workload one submission is fast, and the others are slow. In the table are two
    submissions for each of the other bases, in turn, so that each submission meets one of them. The
    rest takes hours.
    """
    submissions = registry.submission_names()
    turns = itertools.cycle(submissions)
    for name in WORKLOADS:
        in_turn = {next(turns), next(turns)} if name in BASES else ()
        for submission in submissions:
            mark = pytest.mark.table if submission in in_turn else pytest.mark.exhaustive
            if name == "digits_autoencoder":
                mark = pytest.mark.slow
            marks = () if (submission, name) == ("adamw", "digits_autoencoder") else mark
            yield pytest.param(submission, name, marks=marks, id=f"{name}-{submission}")


@pytest.mark.parametrize(("submission", "name"), list(trained()))
def test_every_submission_trains_every_workload(submission, name):
    assert check(submission, rulesets.of_suite(WORKLOADS[name].suite), [name]) == []


@pytest.mark.parametrize("submission", registry.submission_names())
def test_every_submission_says_where_it_is_from(submission):
    loaded = load(submission)
    assert any(char.isdigit() for char in loaded.doc), "name paper and year"
    if loaded.search_space is not None:
        rules = rulesets.of_suite("quick").tuning[loaded.ruleset]
        assert tuning.draw(loaded.search_space, rules.studies * rules.trials, seed=0)


def test_the_digits_are_split_without_overlap():
    splits = WORKLOADS["digits_vit"].dataset.load()
    rows = {split: {row.tobytes() for row in splits[split]["inputs"]} for split in splits}
    assert hash_of(splits) == WORKLOADS["digits_vit"].dataset.sha256
    assert rows[Split.EVAL_TRAIN] <= rows[Split.TRAIN]
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not rows[Split(one)] & rows[Split(other)]
    for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
        classes = np.bincount(splits[split]["targets"])
        assert classes.max() - classes.min() <= 0.06 * classes.sum()


def test_training_images_are_shifted_by_at_most_a_pixel():
    dataset = WORKLOADS["digits_vit"].dataset
    plain = dataclasses.replace(dataset, augment=None)
    moved, still = (np.asarray(next(d.training(64, seed=1))["inputs"]) for d in (dataset, plain))
    padded = np.pad(still, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [
        [(padded[:, y : y + 8, x : x + 8] == moved).all(axis=(1, 2, 3)) for x in range(3)]
        for y in range(3)
    ]
    assert np.array(shifts).any(axis=(0, 1)).all()
    assert not np.array(shifts)[1, 1].all()
    assert jnp.array_equal(next(dataset.training(64, seed=1))["inputs"], moved)
