"""What every model of the full suite has to obey, at small sizes.

One compilation of the training step and one of the outputs serve all checks of a model.
"""

import dataclasses
from functools import cache, partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algoperf.metric import Loss
from algoperf.workload import WorkloadView, init_model
from tests import batches, tiny
from workloads import losses
from workloads.models.conformer import Conformer
from workloads.models.deepspeech import DeepSpeech
from workloads.models.dlrm import DLRM
from workloads.models.gnn import GNN
from workloads.models.language import LanguageModel
from workloads.models.mlp import MLP
from workloads.models.resnet import ResNet
from workloads.models.transformer import Transformer
from workloads.models.unet import UNet
from workloads.models.vit import ViT


class Case(NamedTuple):
    model: nn.Module
    make: batches.Make
    loss: Loss


_IMAGES = partial(batches.images, side=16, channels=3, classes=3)
_CLICKS = partial(batches.clicks, rows=50)
_SPEECH = partial(batches.speech, samples=6400, length=4, tokens=6)
_SENTENCES = partial(batches.sentences, length=8, tokens=11)
_VIT = ViT(
    patch=8,
    width=8,
    depth=1,
    heads=2,
    classes=3,
    dropout_rate=0.3,
    inner_dropout=True,
    fixed_positions=True,
    representation=True,
    zero_head=True,
)
_DLRM = DLRM(table_rows=50, table_width=4, bottom=(5, 4), top=(6, 6), dropout_rate=0.3)
_TRANSFORMER = Transformer(
    vocabulary=11, width=8, heads=2, layers=1, mlp_width=6, max_length=8, dropout_rate=0.3
)
_CONFORMER = Conformer(vocabulary=6, width=8, heads=2, blocks=1, dropout_rate=0.3)
_DEEPSPEECH = DeepSpeech(vocabulary=6, width=8, recurrent=1, dense_layers=1, dropout_rate=0.3)

CASES = {
    "mlp": Case(MLP((5,), 3, dropout_rate=0.3), _IMAGES, losses.softmax_cross_entropy),
    "resnet": Case(
        ResNet(blocks=(1, 1), width=4, classes=3, bottleneck=True, large_images=True),
        _IMAGES,
        losses.softmax_cross_entropy,
    ),
    "vit": Case(_VIT, partial(_IMAGES, mixed=True), losses.softmax_cross_entropy),
    "vit_glu_post": Case(
        dataclasses.replace(_VIT, glu=True, post_norm=True), _IMAGES, losses.softmax_cross_entropy
    ),
    "vit_map": Case(
        dataclasses.replace(_VIT, attention_pooling=True), _IMAGES, losses.softmax_cross_entropy
    ),
    "dlrm": Case(dataclasses.replace(_DLRM, normalise=True), _CLICKS, losses.sigmoid_cross_entropy),
    "dlrm_residual": Case(
        dataclasses.replace(_DLRM, residual=True, interactions=False),
        _CLICKS,
        losses.sigmoid_cross_entropy,
    ),
    "unet": Case(
        UNet(channels=2, pools=2, dropout_rate=0.3),
        partial(batches.scans, side=10),
        losses.absolute_error,
    ),
    "unet_layer_norm": Case(
        UNet(channels=2, pools=1, layer_norm=True, dropout_rate=0.3),
        partial(batches.scans, side=10),
        losses.absolute_error,
    ),
    "gnn": Case(
        GNN(outputs=5, latent=6, hidden=(7, 6), steps=2, dropout_rate=0.3),
        partial(batches.molecules, labels=5, nodes=8, edges=16),
        losses.known_label_cross_entropy,
    ),
    "transformer": Case(_TRANSFORMER, partial(_SENTENCES, packed=True), losses.token_cross_entropy),
    "transformer_glu_post": Case(
        dataclasses.replace(_TRANSFORMER, glu=True, post_norm=True, temperature=2.0),
        _SENTENCES,
        losses.token_cross_entropy,
    ),
    "language": Case(
        LanguageModel(vocabulary=11, width=8, heads=2, layers=1, mlp_width=6, dropout_rate=0.3),
        partial(batches.text, length=8, tokens=11),
        partial(losses.token_cross_entropy, padded=False),
    ),
    "conformer": Case(_CONFORMER, _SPEECH, losses.ctc),
    "conformer_no_post_norm": Case(
        dataclasses.replace(_CONFORMER, post_block_norm=False, temperature=1.6),
        _SPEECH,
        losses.ctc,
    ),
    "deepspeech": Case(_DEEPSPEECH, _SPEECH, losses.ctc),
    "deepspeech_layer_norm": Case(
        dataclasses.replace(_DEEPSPEECH, batch_norm=False, output_norm=False, residual=False),
        _SPEECH,
        losses.ctc,
    ),
}

_SLOW = {"vit_glu_post", "transformer_glu_post", "conformer_no_post_norm", "deepspeech_layer_norm"}
every_model = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in CASES]
)


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
        shapes, state = jax.eval_shape(partial(init_model, workload), jax.random.key(0))
        self.params = jax.tree.map(
            lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes
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


@every_model
def test_the_loss_is_finite_and_gradients_flow_to_every_parameter(name):
    (loss, _), gradients = ready(name).trained(0)
    assert np.isfinite(loss)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), jax.tree_util.keystr(path)
        assert (gradient != 0).any(), jax.tree_util.keystr(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_initial_values_give_a_finite_loss(name):
    params, state = init_model(ready(name).workload, jax.random.key(0))
    found, _ = ready(name).losses(params, state, ready(name).batch)
    assert np.isfinite(found.total).all()


@every_model
def test_training_is_random_where_there_is_dropout_and_evaluation_is_not(name):
    (one, _), _ = ready(name).trained(0)
    (again, _), _ = ready(name).trained(0)
    (other, _), _ = ready(name).trained(1)
    assert float(one) == float(again)
    assert (float(one) == float(other)) is (name == "resnet")
    assert ready(name).evaluated()[0].tolist() == ready(name).evaluated()[0].tolist()


@every_model
def test_every_dropout_has_the_rate_that_was_asked_for(name):
    """Traced only: the rates of all dropout layers and of all attention."""
    found = []

    def watch(call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout) and not context.module.deterministic:
            found.append(context.module.rate)
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        jax.eval_shape(
            partial(ready(name).view.loss, dropout_rate=0.125),
            ready(name).params,
            ready(name).state,
            ready(name).batch,
            jax.random.key(0),
        )
    assert set(found) <= {0.125}
    assert bool(found) is (name != "resnet")


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


SPEECH = [name for name in CASES if name.startswith(("conformer", "deepspeech"))]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in SPEECH]
)
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


@pytest.mark.parametrize("name", ["conformer", "deepspeech"])
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
    batch = ready("gnn").batch
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
        ready("gnn").evaluated(**changed).total, ready("gnn").evaluated().total
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


@pytest.mark.parametrize(("name", "first"), [("transformer", 5), ("language", 4)])
def test_a_decoder_does_not_see_what_comes_later(name, first):
    """Changed from place 4 on: a word is read one place later by the one, at once by the other."""
    key = "targets" if name == "transformer" else "inputs"
    plain = outputs(name)
    changed = outputs(name, **{key: replaced(ready(name).batch[key], 4, 8)})
    np.testing.assert_array_equal(changed[:, :first], plain[:, :first])
    assert (changed[:, first:] != plain[:, first:]).any(axis=(0, 2)).all()


def test_packed_sentences_do_not_see_each_other():
    """The first sentence's words, also the last of them, have no influence on the second's."""
    batch = ready("transformer").batch
    plain = outputs("transformer")
    for key in ("inputs", "targets"):
        changed = outputs("transformer", **{key: replaced(batch[key], 0, 4)})
        np.testing.assert_array_equal(changed[:, 4:], plain[:, 4:])
        assert (changed[:, 1:4] != plain[:, 1:4]).any()
    # And the second is what it would be alone.
    alone = {key: np.roll(array, 4, axis=1) for key, array in batch.items()}
    alone |= {key: 1 + (alone[key] != 2) for key in alone if key.endswith("segments")}
    np.testing.assert_allclose(outputs("transformer", **alone)[:, :4], plain[:, 4:], atol=1e-5)


def test_decoding_step_by_step_is_decoding_at_once():
    """Given the same tokens, each step's logits are those of the whole."""
    model, batch = _TRANSFORMER, batches.sentences(3, length=8, tokens=11)
    batch = {**batch, "targets": np.maximum(batch["targets"], 1)}  # no padding among targets
    params = ready("transformer").params
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
