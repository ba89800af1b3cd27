import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algoperf import registry
from algoperf.preconditioning import blocked, cut, input_axes, inverse_root, joined
from algoperf.view import WorkloadView


def test_a_matrix_is_cut_into_equal_blocks():
    """3 x 4 in blocks of at most 2 x 3: two of 2 rows downwards, two of 2 columns across."""
    matrix = jnp.arange(12.0).reshape(3, 4)
    assert cut(matrix, axes=1, size=3).tolist() == [
        [[0, 1], [4, 5], [8, 9]],
        [[2, 3], [6, 7], [10, 11]],
    ]
    assert cut(matrix, axes=1, size=2).tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [0, 0]],
        [[10, 11], [0, 0]],
    ]


@pytest.mark.slow
@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple),
    axes=st.integers(1, 3),
    size=st.integers(1, 6),
)
def test_joining_undoes_cutting(shape, axes, size):
    axes = min(axes, len(shape) - 1)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    blocks = cut(jnp.asarray(x), axes, size)
    assert max(blocks.shape[1:]) <= size
    assert np.array_equal(joined(blocks, shape, axes, size), x)


def test_blocks_are_treated_alone():
    """Each block is divided by its largest element, and the steps are counted."""

    def update(blocks, state, count):
        largest = jnp.abs(blocks).max(axis=(1, 2), keepdims=True)
        return blocks / largest, state + count.astype(jnp.float32)

    rule = blocked(lambda blocks: jnp.zeros(len(blocks)), update, axes=1, size=1)
    gradient = {"w": jnp.array([[2.0, -3.0]])}
    state = rule.init(gradient)
    for _ in range(3):
        change, state = rule.update(gradient, state)
    assert change["w"].tolist() == [[1.0, -1.0]]
    assert state.blocks["w"].tolist() == [3.0, 3.0]  # 0 + 1 + 2


def test_an_inverse_root_worked_by_hand():
    """[[2, 1], [1, 2]] has eigenvalue 3 along (1, 1) and 1 along (1, -1)."""
    (root,) = inverse_root(jnp.array([[[2.0, 1.0], [1.0, 2.0]]]), 4, ridge=0.0)
    high = 3**-0.25
    by_hand = np.array([[high + 1, high - 1], [high - 1, high + 1]]) / 2
    np.testing.assert_allclose(root, by_hand, atol=1e-6)


def test_a_root_of_nothing_is_nothing_and_a_singular_matrix_has_one():
    matrices = jnp.stack([jnp.zeros((2, 2)), jnp.diag(jnp.array([16.0, 0.0]))])
    zero, singular = inverse_root(matrices, 4, ridge=1e-4)
    assert not zero.any()
    # (16 + 16e-4) ** -0.25, and (16e-4) ** -0.25 = 1 / 0.2
    np.testing.assert_allclose(singular, np.diag([0.49999, 5.0]), rtol=1e-4)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), power=st.integers(1, 6))
def test_the_power_of_an_inverse_root_is_the_inverse(seed, power):
    factor = np.random.default_rng(seed).normal(size=(4, 4))
    matrix = (factor @ factor.T + np.eye(4)).astype(np.float32)
    (root,) = np.asarray(inverse_root(jnp.asarray(matrix)[None], power, ridge=0.0), np.float64)
    np.testing.assert_allclose(np.linalg.matrix_power(root, power) @ matrix, np.eye(4), atol=2e-3)


def test_input_axes_of_dense_layers():
    """Four layers down to the code and four up again, each a matrix and a bias."""
    found = jax.tree.leaves(input_axes(WorkloadView(registry.workload("digits_autoencoder"), 1.0)))
    assert found == [0, 1] * 8


def test_input_axes_of_attention_and_convolution():
    """Queries map width to (heads, features), outputs back, and a patch is three axes of input."""
    view = WorkloadView(registry.workload("digits_vit"), 1.0)
    found = {
        (kind, len(shape.shape), axes)
        for kind, shape, axes in zip(
            jax.tree.leaves(view.parameter_types),
            jax.tree.leaves(view.parameter_shapes),
            jax.tree.leaves(input_axes(view)),
            strict=True,
        )
        if len(shape.shape) > 2
    }
    expected = {("attention_q", 3, 1), ("attention_k", 3, 1), ("attention_v", 3, 1)}
    expected |= {("attention_out", 3, 2), ("conv_weight", 4, 3)}
    assert {entry for entry in found if entry[0] != "embedding"} == expected
    assert all(axes == 0 for kind, _, axes in found if kind == "embedding")
