import math

import jax
import jax.numpy as jnp
import pytest

from algoperf import flops

MATRIX = jnp.ones((8, 8))


def test_a_matrix_product_is_two_operations_for_each_term():
    # (3, 5) @ (5, 7): 3 * 7 outputs of 5 multiplications and 5 additions.
    assert flops.count(jnp.matmul, jnp.ones((3, 5)), jnp.ones((5, 7))) == 2 * 3 * 5 * 7


def test_a_batched_product():
    einsum = lambda a, b: jnp.einsum("bij,bjk->bik", a, b)
    assert flops.count(einsum, jnp.ones((4, 3, 5)), jnp.ones((4, 5, 7))) == 4 * 2 * 3 * 5 * 7


def test_a_convolution():
    def conv(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    # Each of 2 * 8 * 8 * 6 outputs: 3 * 3 * 4 products.
    found = flops.count(conv, jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 6)))
    assert found == 2 * (2 * 8 * 8 * 6) * (3 * 3 * 4)


def test_a_loop_counts_its_length():
    one = 2 * 8**3

    def scanned(x):
        return jax.lax.scan(lambda y, _: (y @ y, None), x, length=10)[0]

    assert flops.count(scanned, MATRIX) == 10 * one


def test_of_two_branches_the_costliest_counts():
    def either(x):
        return jax.lax.cond(x[0, 0] > 0, lambda y: y @ y @ y, lambda y: y, x)

    found = flops.count(either, MATRIX)
    assert 2 * 2 * 8**3 <= found <= 2 * 2 * 8**3 + 8


def test_a_loop_without_a_length_is_not_guessed():
    def search(x):
        return jax.lax.while_loop(lambda y: y[0, 0] < 5, lambda y: y @ y, x)

    assert math.isnan(flops.count(search, MATRIX))


@pytest.mark.parametrize(
    ("decompose", "operations"),
    [
        (jnp.linalg.cholesky, 8**3 / 3),
        (jnp.linalg.eigh, 9 * 8**3),
        (jnp.linalg.svd, (4 + 8 + 9) * 8**3),
        (jnp.linalg.qr, 2 * (2 - 2 / 3) * 8**3),
    ],
)
def test_decompositions_are_counted(decompose, operations):
    found = flops.count(decompose, MATRIX)
    assert operations <= found <= operations + 40 * 8**2  # and some elementwise work


def test_jit_and_gradient_are_seen_through():
    def loss(w):
        return (w @ MATRIX).sum()

    forward = flops.count(loss, MATRIX)
    both = flops.count(jax.jit(jax.grad(loss)), MATRIX)
    assert 2 * 8**3 <= forward <= 2 * 8**3 + 64
    assert both >= 2 * 8**3


def test_nothing_is_executed():
    shape = jax.ShapeDtypeStruct((10**6, 10**6), jnp.float32)
    assert flops.count(jnp.matmul, shape, shape) == 2e18


def test_every_device_of_a_map_counts():
    # Two devices, (3, 4) @ (4, 5) on each.
    mapped = jax.pmap(jnp.matmul)
    found = flops.count(mapped, jnp.ones((2, 3, 4)), jnp.ones((2, 4, 5)))
    assert found == 2 * (2 * 3 * 4 * 5)
