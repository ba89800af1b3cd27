"""The full suite's records against what AlgoPerf publishes: counts, targets, what varies in what.

Shapes only, so that no model has to fit into memory.
"""

import dataclasses
import math
from collections import Counter
from functools import cache, partial
from typing import Any

import jax
import numpy as np
import pytest

from algoperf import parameters, registry, rulesets
from algoperf.spec import LossType, ParameterType, Split
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, Workload, init_model
from tests import batches

FULL = {n: w for n, w in registry.workloads().items() if w.suite == "full"}
VARIANTS = [name for name, workload in FULL.items() if workload.base is not None]

PARAMETERS = {
    "criteo1tb": 539_267_457,
    "criteo1tb_layernorm": 539_275_137,
    "criteo1tb_embed_init": 539_267_457,
    "criteo1tb_resnet": 538_121_473,
    "fastmri": 7_756_097,
    "fastmri_model_size": 7_692_929,
    "fastmri_tanh": 7_756_097,
    "fastmri_layernorm": 7_761_985,
    "imagenet_resnet": 25_557_032,
    "imagenet_resnet_silu": 25_557_032,
    "imagenet_resnet_gelu": 25_557_032,
    "imagenet_resnet_large_bn_init": 25_557_032,
    "imagenet_vit": 22_122_472,
    "imagenet_vit_glu": 50_452_456,
    # None is published: the base without its last normalisation, 2 x 384.
    "imagenet_vit_post_ln": 22_121_704,
    "imagenet_vit_map": 23_896_552,
    "librispeech_conformer": 32_321_792,
    "librispeech_conformer_attention_temperature": 32_321_792,
    "librispeech_conformer_layernorm": 32_317_696,
    "librispeech_conformer_gelu": 32_321_792,
    "librispeech_deepspeech": 18_381_312,
    "librispeech_deepspeech_tanh": 18_381_312,
    "librispeech_deepspeech_no_resnet": 18_381_312,
    "librispeech_deepspeech_norm_and_spec_aug": 18_380_288,
    "ogbg": 3_554_176,
    "ogbg_gelu": 3_554_176,
    "ogbg_silu": 3_554_176,
    "ogbg_model_size": 2_571_648,
    "wmt": 133_521_408,
    "wmt_post_ln": 133_517_312,
    "wmt_attention_temp": 133_521_408,
    "wmt_glu_tanh": 146_116_608,
    # None is published. Table 50,257 x 768; 12 x (4 x 768^2 + 3 x 768 x 2,048 + 2 x 768 + 1); 768.
    "finewebedu_lm": 123_551_244,
    "mnist": 101_770,
    "cifar": 11_173_962,
}

STATE = {
    "imagenet_resnet": 53_120,
    "cifar": 9_600,
    "librispeech_conformer": 4_096,
    "librispeech_deepspeech": 9_216,
}
"""Batch statistics; none elsewhere, except in variants of these."""

_NORM = (ParameterType.LAYER_NORM_SCALE, ParameterType.LAYER_NORM_BIAS)
_BATCH_NORM = (ParameterType.BATCH_NORM_SCALE, ParameterType.BATCH_NORM_BIAS)
_ATTENTION = (
    ParameterType.ATTENTION_Q,
    ParameterType.ATTENTION_K,
    ParameterType.ATTENTION_V,
    ParameterType.ATTENTION_OUT,
)

LEAVES: dict[str, dict[ParameterType, int]] = {
    "criteo1tb": {
        ParameterType.BIAS: 8,
        ParameterType.WEIGHT: 8,
        ParameterType.EMBEDDING: 1,
    },
    "fastmri": {ParameterType.CONV_WEIGHT: 23, ParameterType.BIAS: 1},
    "imagenet_resnet": {
        ParameterType.CONV_WEIGHT: 53,
        **dict.fromkeys(_BATCH_NORM, 53),
        ParameterType.WEIGHT: 1,
        ParameterType.BIAS: 1,
    },
    "imagenet_vit": {
        **dict.fromkeys(_NORM, 25),
        ParameterType.BIAS: 27,
        ParameterType.WEIGHT: 26,
        **dict.fromkeys(_ATTENTION, 12),
        ParameterType.ATTENTION_BIAS: 48,
        ParameterType.CONV_WEIGHT: 1,
    },
    "librispeech_conformer": {
        **dict.fromkeys(_BATCH_NORM, 4),
        ParameterType.CONV_WEIGHT: 18,
        ParameterType.BIAS: 32,
        **dict.fromkeys(_NORM, 21),
        ParameterType.WEIGHT: 22,
        **dict.fromkeys(_ATTENTION, 4),
        ParameterType.ATTENTION_BIAS: 16,
    },
    "librispeech_deepspeech": {
        **dict.fromkeys(_BATCH_NORM, 9),
        ParameterType.WEIGHT: 101,
        ParameterType.BIAS: 55,
        **dict.fromkeys(_NORM, 1),
        ParameterType.CONV_WEIGHT: 2,
    },
    "ogbg": {
        ParameterType.WEIGHT: 16,
        ParameterType.BIAS: 18,
        **dict.fromkeys(_NORM, 15),
        ParameterType.EMBEDDING: 2,
    },
    "wmt": {
        **dict.fromkeys(_NORM, 32),
        ParameterType.BIAS: 24,
        ParameterType.WEIGHT: 24,
        **dict.fromkeys(_ATTENTION, 18),
        ParameterType.EMBEDDING: 1,
    },
}
"""How many parameters of each type AlgoPerf counts."""

TOO_LARGE = {"criteo1tb", "wmt", "finewebedu_lm"}
"""Gigabytes, or minutes on two cores: at these a step is taken at a smaller width only."""

every_workload = pytest.mark.parametrize("name", FULL)


@cache
def shapes(name: str) -> dict[str, Any]:
    """What the model's `init` makes of the batch that the data set announces."""
    signature = FULL[name].dataset.signature(1)

    def init() -> Any:
        batch = {k: jax.numpy.zeros(spec.shape, spec.dtype) for k, spec in signature.items()}
        return FULL[name].model.init(jax.random.key(0), batch, train=False)

    return jax.eval_shape(init)


def size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_these_are_all_bases_and_variants():
    assert set(FULL) == set(PARAMETERS)
    assert len(VARIANTS) == 24


@pytest.mark.slow
@every_workload
def test_parameters_are_counted_to_the_last_digit(name):
    found = shapes(name)
    assert size(found["params"]) == PARAMETERS[name]
    state = size({key: tree for key, tree in found.items() if key != "params"})
    if FULL[name].base is None:
        assert state == STATE.get(name, 0)


@pytest.mark.parametrize("name", LEAVES)
def test_parameters_of_each_type_are_counted(name):
    types = parameters.types_of(shapes(name)["params"])
    assert Counter(jax.tree.leaves(types)) == LEAVES[name]


def test_the_map_of_queries_keys_and_values_is_one_where_it_is_fused():
    types = Counter(jax.tree.leaves(parameters.types_of(shapes("finewebedu_lm")["params"])))
    assert types[ParameterType.ATTENTION_QKV] == 12
    # Each layer's two of the MLP, and the scale of its attention.
    assert types[ParameterType.WEIGHT] == 36
    assert types[ParameterType.LAYER_NORM_SCALE] == 25


@every_workload
def test_targets_and_budgets_are_the_rules(name):
    workload, rules = FULL[name], rulesets.load("v0.6").workloads[name]
    # As text, in which a target that is not published (NaN) is equal to itself.
    assert repr({key: getattr(workload, key) for key in vars(rules)}) == repr(vars(rules))
    assert workload.validation.metric in workload.metrics
    assert workload.compile_counts
    assert workload.eval_every_steps is None
    assert workload.eval_every_s is not None
    assert workload.eval_batch_size % 8 == 0
    assert workload.batch_size % 8 == 0


def test_what_is_not_published_is_no_number():
    language = FULL["finewebedu_lm"]
    assert math.isinf(language.budget_s)
    assert math.isnan(language.test.value)
    assert {n for n, w in FULL.items() if math.isinf(w.budget_s)} == {"finewebedu_lm"}


def test_the_loss_of_molecules_is_what_it_is():
    assert FULL["ogbg"].loss_type is LossType.SIGMOID_CROSS_ENTROPY
    assert {w.loss_type for w in FULL.values()} == {
        LossType.SIGMOID_CROSS_ENTROPY,
        LossType.SOFTMAX_CROSS_ENTROPY,
        LossType.MEAN_ABSOLUTE_ERROR,
        LossType.CTC_LOSS,
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_shares_all_but_its_model_and_numbers(name):
    variant = FULL[name]
    base = FULL[variant.base or ""]
    assert name.startswith(f"{base.name}_")
    assert variant.model != base.model
    assert (variant.budget_s, variant.step_hint) == (base.budget_s, base.step_hint)
    may_differ = {"name", "base", "model", "validation", "test", "batch_size", "eval_batch_size"}
    for field in dataclasses.fields(Workload):
        if field.name not in may_differ:
            assert getattr(variant, field.name) == getattr(base, field.name), field.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.table) if n in VARIANTS else n for n in FULL]
)
def test_a_loss_and_its_gradient_can_be_traced_at_full_size(name):
    """Everything but the arithmetic: shapes and types under strict promotion."""
    workload = dataclasses.replace(FULL[name], dataset=GIVEN[name])
    view = WorkloadView(workload, 1.0)
    found = shapes(name)
    state = {key: tree for key, tree in found.items() if key != "params"}
    batch = dict(GIVEN[name].signature(2))
    (loss, after), gradients = jax.eval_shape(
        jax.value_and_grad(view.loss, has_aux=True),
        view.parameter_shapes,
        state,
        batch,
        jax.eval_shape(partial(jax.random.key, 0)),
    )
    assert loss.shape == ()
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.structure(gradients) == jax.tree.structure(view.parameter_shapes)


GIVEN = {
    name: batches.Given(batches.of(batches.FULL, workload.dataset.name))
    for name, workload in FULL.items()
}


@pytest.mark.table
@pytest.mark.parametrize("name", [n for n in FULL if n not in {*VARIANTS, *TOO_LARGE}])
def test_gradients_reach_every_parameter_at_full_size(name):
    """Of two examples; parameters are random, since making initial ones takes longer than this."""
    workload = dataclasses.replace(FULL[name], dataset=GIVEN[name])
    view = WorkloadView(workload, 1.0)
    rng = np.random.default_rng(0)

    def values(leaf: Any) -> np.ndarray:
        rows = leaf.shape[0] if leaf.shape else 1
        return rng.normal(0, 1 / math.sqrt(rows), leaf.shape).astype(np.float32)

    params = jax.tree.map(values, view.parameter_shapes)
    state = jax.tree.map(
        lambda leaf: np.ones(leaf.shape, np.float32),
        {key: tree for key, tree in shapes(name).items() if key != "params"},
    )
    step = jax.jit(
        jax.value_and_grad(view.loss, has_aux=True),
        compiler_options={"xla_backend_optimization_level": 1},
    )
    (loss, _), gradients = step(params, state, GIVEN[name].make(2), jax.random.key(0))
    assert math.isfinite(loss)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), jax.tree_util.keystr(path)
        assert np.any(gradient), jax.tree_util.keystr(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "cifar", "ogbg", "ogbg_model_size"])
def test_a_step_at_full_size_moves_every_parameter(name):
    """Where memory and patience allow; the batch is small."""
    workload = dataclasses.replace(FULL[name], dataset=GIVEN[name])
    view = WorkloadView(workload, 1.0)
    params, state = init_model(workload, jax.random.key(0))
    batch = GIVEN[name].make(4)
    step = jax.jit(jax.value_and_grad(view.loss, has_aux=True))
    (before, after), gradients = step(params, state, batch, jax.random.key(1))
    moved = jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradients)
    # The second, since what starts at zero on purpose lets no gradient through in the first.
    (loss, _), gradients = step(moved, state, batch, jax.random.key(1))
    assert loss < before
    assert all((gradient != 0).any() for gradient in jax.tree.leaves(gradients))
    evaluate = Evaluator(dataclasses.replace(workload, eval_batch_size=4))
    found = evaluate(params, after, Split.TEST)
    assert set(found) == set(workload.metrics)
    assert all(math.isfinite(value) for value in found.values())
