"""What every model of the full suite has to obey, base and variant, made narrow.

One compilation of the training step and one of the outputs serve all checks of a model.
"""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algoperf import registry
from algoperf.metric import Loss
from algoperf.view import WorkloadView
from algoperf.workload import init_model
from tests import batches, tiny


class Narrow(NamedTuple):
    """How a family's models are made small: changed fields, and a batch that goes with them."""

    changes: Callable[[Any], dict[str, Any]]
    make: batches.Make


_IMAGES = partial(batches.images, side=16, channels=3, classes=3)
_SPEECH = partial(batches.speech, samples=6400, length=4, tokens=6)

NARROW = {
    "criteo1tb": Narrow(
        lambda model: {
            "table_rows": 50,
            "table_width": 4,
            "bottom": (6, 6) if model.residual else (5, 4),
            "top": (7, 7),
        },
        partial(batches.clicks, rows=50),
    ),
    "fastmri": Narrow(
        lambda model: {"channels": 2, "pools": model.pools - 1}, partial(batches.scans, side=18)
    ),
    "imagenet_resnet": Narrow(lambda model: {"blocks": (1, 1), "width": 4, "classes": 3}, _IMAGES),
    "imagenet_vit": Narrow(
        lambda model: {"patch": 8, "width": 8, "depth": 1, "heads": 2, "classes": 3},
        partial(_IMAGES, mixed=True),
    ),
    "librispeech_conformer": Narrow(
        lambda model: {"vocabulary": 6, "width": 8, "heads": 2, "blocks": 1}, _SPEECH
    ),
    "librispeech_deepspeech": Narrow(
        lambda model: {"vocabulary": 6, "width": 8, "recurrent": 1, "dense_layers": 1}, _SPEECH
    ),
    "ogbg": Narrow(
        lambda model: {"outputs": 5, "latent": 6, "hidden": (7,) * len(model.hidden), "steps": 2},
        partial(batches.molecules, labels=5, nodes=8, edges=16),
    ),
    "wmt": Narrow(
        lambda model: {
            "vocabulary": 11,
            "width": 8,
            "heads": 2,
            "layers": 1,
            "mlp_width": 6,
            "max_length": 8,
        },
        partial(batches.sentences, length=8, tokens=11, packed=True),
    ),
    "finewebedu_lm": Narrow(
        lambda model: {"vocabulary": 11, "width": 8, "heads": 2, "layers": 1, "mlp_width": 6},
        partial(batches.text, length=8, tokens=11),
    ),
    "mnist": Narrow(lambda model: {"widths": (5,), "classes": 3}, _IMAGES),
    "cifar": Narrow(lambda model: {"blocks": (1, 1), "width": 4, "classes": 3}, _IMAGES),
}


class Case(NamedTuple):
    model: nn.Module
    make: batches.Make
    loss: Loss


def _case(workload: Any) -> Case:
    narrow = NARROW[workload.base_name]
    model = dataclasses.replace(workload.model, **narrow.changes(workload.model))
    if hasattr(model, "dropout_rate"):
        model = dataclasses.replace(model, dropout_rate=0.3)
    return Case(model, narrow.make, workload.loss)


FULL = {n: w for n, w in registry.workloads().items() if w.suite == "full"}
CASES = {name: _case(workload) for name, workload in FULL.items()}
WITHOUT_DROPOUT = {n for n, case in CASES.items() if not hasattr(case.model, "dropout_rate")}


def models(*families: str) -> pytest.MarkDecorator:
    """Bases and, in the tables, variants of these families, or of all."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=[] if workload.base is None else pytest.mark.table)
            for name, workload in FULL.items()
            if not families or name.startswith(families)
        ],
    )


every_model = models()


QUICKLY = {"xla_backend_optimization_level": 0}
"""Compiled in half of the time, which is most of it."""


class Ready:
    """A model with its parameters, a batch of four, and what is compiled of it."""

    def __init__(self, case: Case) -> None:
        self.batch = case.make(4)
        workload = dataclasses.replace(
            tiny.workload, model=case.model, dataset=batches.Given(case.make), loss=case.loss
        )
        self.workload = workload
        self.view = WorkloadView(workload, 1.0)
        # Not the initial values: their programs take long to compile, and what starts at zero on
        # purpose would hide what is behind it.
        rng = np.random.default_rng(1)
        batch = self.batch
        variables = jax.eval_shape(
            lambda key: case.model.init(key, batch, False), jax.random.key(0)
        )
        state = {key: tree for key, tree in variables.items() if key != "params"}
        self.params = jax.tree.map(
            lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32),
            self.view.parameter_shapes,
        )
        self.state = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), state)
        self.step = jax.jit(
            jax.value_and_grad(self.view.loss, has_aux=True), compiler_options=QUICKLY
        )
        self.losses = jax.jit(
            partial(self.view.per_example_loss, train=False), compiler_options=QUICKLY
        )

    def evaluated(self, **changed: np.ndarray) -> tuple[jax.Array, jax.Array]:
        found, state = self.losses(self.params, self.state, {**self.batch, **changed})
        assert jax.tree.all(jax.tree.map(np.array_equal, state, self.state))
        return found

    def trained(self, seed: int) -> tuple:
        return self.step(self.params, self.state, self.batch, jax.random.key(seed))


@cache
def ready(name: str) -> Ready:
    return Ready(CASES[name])


@pytest.mark.slow
@every_model
def test_the_loss_is_finite_and_gradients_flow_to_every_parameter(name):
    (loss, _), gradients = ready(name).trained(0)
    assert np.isfinite(loss)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), jax.tree_util.keystr(path)
        assert (gradient != 0).any(), jax.tree_util.keystr(path)


@pytest.mark.slow
@every_model
def test_steps_against_the_gradient_lower_the_loss(name):
    params = ready(name).params
    losses = []
    for _ in range(4):
        (loss, _), gradients = ready(name).step(
            params, ready(name).state, ready(name).batch, jax.random.key(0)
        )
        losses.append(float(loss))
        size = float(np.sqrt(sum(np.square(g).sum() for g in jax.tree.leaves(gradients))))
        params = jax.tree.map(lambda p, g, s=size: p - 0.01 * g / s, params, gradients)
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 4


@pytest.mark.table
@pytest.mark.parametrize("name", CASES)
def test_compiled_and_not_compiled_agree(name):
    with jax.disable_jit():
        plain, _ = ready(name).view.per_example_loss(
            ready(name).params, ready(name).state, ready(name).batch, train=False
        )
    np.testing.assert_allclose(plain.total, ready(name).evaluated().total, rtol=1e-4)


@pytest.mark.table
@pytest.mark.parametrize("name", CASES)
def test_initial_values_give_a_finite_loss(name):
    params, state = init_model(ready(name).workload, jax.random.key(0))
    found, _ = ready(name).losses(params, state, ready(name).batch)
    assert np.isfinite(found.total).all()


@pytest.mark.slow
@every_model
def test_training_is_random_where_there_is_dropout_and_evaluation_is_not(name):
    (one, _), _ = ready(name).trained(0)
    (again, _), _ = ready(name).trained(0)
    (other, _), _ = ready(name).trained(1)
    assert float(one) == float(again)
    assert (float(one) == float(other)) is (name in WITHOUT_DROPOUT)
    assert ready(name).evaluated()[0].tolist() == ready(name).evaluated()[0].tolist()


@every_model
def test_every_dropout_has_the_rate_that_was_asked_for(name):
    """Traced only: the rates of all dropout layers and of all attention."""
    case, found = ready(name), []  # made before the watch: initialisation traces a model too

    def watch(call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout) and not context.module.deterministic:
            found.append(context.module.rate)
        return call(*args, **kwargs)

    loss = partial(case.view.loss, dropout_rate=0.125)
    with nn.intercept_methods(watch):
        jax.eval_shape(loss, case.params, case.state, case.batch, jax.random.key(0))
    assert set(found) <= {0.125}
    assert bool(found) is (name not in WITHOUT_DROPOUT)


@pytest.mark.slow
@every_model
def test_a_masked_example_has_no_influence(name):
    """The last two of four examples are hidden: with what they are, and with something else."""
    batch = ready(name).batch
    weights = np.array([1, 1, 0, 0], np.float32)
    plain = ready(name).evaluated(weights=weights)
    spoilt = {}
    for key, array in batch.items():
        if len(array) == 4:
            spoilt[key] = array.copy()
            spoilt[key][2:] = array[:2]
        elif key == "nodes":  # a graph batch: every node of the last two graphs
            spoilt[key] = np.where(batch["node_graph"][:, None] >= 2, 9, array).astype(np.float32)
    assert spoilt
    found = ready(name).evaluated(**spoilt, weights=weights)
    np.testing.assert_array_equal(found.total, plain.total)
    assert found.weight[2:].tolist() == [0, 0]
    whole = ready(name).evaluated()
    np.testing.assert_array_equal(whole.total[:2], plain.total[:2])
    assert (whole.weight > 0).all()


@models("librispeech")
def test_what_lies_in_the_padding_of_audio_has_no_influence(name):
    batch = ready(name).batch
    noise = np.random.default_rng(5).normal(size=batch["inputs"].shape).astype(np.float32)
    spoilt = np.where(batch["input_paddings"] > 0, noise, batch["inputs"])
    assert (spoilt != batch["inputs"]).any()
    np.testing.assert_array_equal(
        ready(name).evaluated(inputs=spoilt).total, ready(name).evaluated().total
    )
    (_, plain), _ = ready(name).trained(0)
    noisy = {**batch, "inputs": spoilt}
    (_, state), _ = ready(name).step(
        ready(name).params, ready(name).state, noisy, jax.random.key(0)
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, plain, state))


@pytest.mark.parametrize("name", ["librispeech_conformer", "librispeech_deepspeech"])
def test_a_longer_array_with_more_padding_changes_nothing_but_its_length(name):
    """640 samples are 4 frames, one after subsampling. All of the first example is audio, so that
    only of the others the frames are the same."""
    case, batch = CASES[name], ready(name).batch
    longer = {
        **batch,
        "inputs": np.pad(batch["inputs"], ((0, 0), (0, 1280))),
        "input_paddings": np.pad(batch["input_paddings"], ((0, 0), (0, 1280)), constant_values=1.0),
    }
    variables = {"params": ready(name).params, **ready(name).state}
    apply = jax.jit(partial(case.model.apply, train=False), compiler_options=QUICKLY)
    shorter, paddings = jax.device_get(apply(variables, batch))
    more, _ = jax.device_get(apply(variables, longer))
    assert more.shape[1] == shorter.shape[1] + 2
    real = (paddings == 0) & (np.arange(4) > 0)[:, None]
    assert real[1].sum() > real[3].sum() > 1
    np.testing.assert_allclose(more[:, : shorter.shape[1]][real], shorter[real], atol=1e-4)


def test_graph_padding_has_no_influence():
    batch = ready("ogbg").batch
    padded_node, padded_edge = batch["node_graph"] == 4, batch["edge_graph"] == 4
    assert padded_node.any()
    assert padded_edge.any()
    changed = {
        "nodes": np.where(padded_node[:, None], 7, batch["nodes"]).astype(np.float32),
        "edges": np.where(padded_edge[:, None], 7, batch["edges"]).astype(np.float32),
        # Also if padding edges lead to real nodes.
        "receivers": np.where(padded_edge, 0, batch["receivers"]).astype(np.int32),
        "senders": np.where(padded_edge, 1, batch["senders"]).astype(np.int32),
    }
    np.testing.assert_array_equal(
        ready("ogbg").evaluated(**changed).total, ready("ogbg").evaluated().total
    )


def outputs(name: str, **changed: np.ndarray) -> np.ndarray:
    case = ready(name)
    apply = jax.jit(partial(CASES[name].model.apply, train=False))
    return np.asarray(apply({"params": case.params}, {**case.batch, **changed}))


def replaced(array: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Other words in some places of every row."""
    other = array.copy()
    other[:, start:stop] = 3 + (other[:, start:stop] + 1) % 8
    return other


@pytest.mark.parametrize(("name", "first"), [("wmt", 5), ("finewebedu_lm", 4)])
def test_a_decoder_does_not_see_what_comes_later(name, first):
    """Changed from place 4 on: a word is read one place later by the one, at once by the other."""
    key = "targets" if name == "wmt" else "inputs"
    plain = outputs(name)
    changed = outputs(name, **{key: replaced(ready(name).batch[key], 4, 8)})
    np.testing.assert_array_equal(changed[:, :first], plain[:, :first])
    assert (changed[:, first:] != plain[:, first:]).any(axis=(0, 2)).all()


def test_packed_sentences_do_not_see_each_other():
    """The first sentence's words, also the last of them, have no influence on the second's."""
    batch = ready("wmt").batch
    plain = outputs("wmt")
    for key in ("inputs", "targets"):
        changed = outputs("wmt", **{key: replaced(batch[key], 0, 4)})
        np.testing.assert_array_equal(changed[:, 4:], plain[:, 4:])
        assert (changed[:, 1:4] != plain[:, 1:4]).any()
    # And the second is what it would be alone.
    alone = {key: np.roll(array, 4, axis=1) for key, array in batch.items()}
    alone |= {key: 1 + (alone[key] != 2) for key in alone if key.endswith("segments")}
    np.testing.assert_allclose(outputs("wmt", **alone)[:, :4], plain[:, 4:], atol=1e-5)


def test_decoding_step_by_step_is_decoding_at_once():
    """Given the same tokens, each step's logits are those of the whole."""
    model, batch = CASES["wmt"].model, batches.sentences(3, length=8, tokens=11)
    batch = {**batch, "targets": np.maximum(batch["targets"], 1)}  # no padding among targets
    params = ready("wmt").params
    whole = model.apply({"params": params}, batch, train=False)
    encoded = model.apply({"params": params}, batch, train=False, method="encode")

    @jax.jit
    def step(tokens, position, cache):
        variables = {"params": params, **cache}
        return model.apply(
            variables,
            encoded,
            batch["inputs"] > 0,
            tokens,
            position,
            method="decode",
            mutable=["cache"],
        )

    shapes = jax.eval_shape(step, jnp.zeros(3, jnp.int32), jnp.int32(0), {})[1]
    cache = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    tokens = jnp.zeros(3, jnp.int32)
    for position in range(8):
        logits, cache = step(tokens, jnp.int32(position), cache)
        np.testing.assert_allclose(logits, whole[:, position], atol=1e-5)
        tokens = batch["targets"][:, position]
