import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algoperf import dropout
from algoperf.view import WorkloadView
from algoperf.workload import init_model
from tests import tiny
from workloads.models.layers import Attention

X = jnp.ones((64, 32))


class Channels(nn.Module):
    rate: float | jax.Array

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dropout(self.rate, broadcast_dims=(-1,))(x, deterministic=False)


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_a_traced_rate_drops_what_the_number_drops(rate):
    @jax.jit
    def traced(rate):
        with dropout.traceable(rate):
            return Channels(rate).apply({}, X, rngs={"dropout": jax.random.key(3)})

    number = Channels(rate).apply({}, X, rngs={"dropout": jax.random.key(3)})
    np.testing.assert_allclose(traced(rate), number, rtol=1e-6)


def test_where_everything_is_dropped_the_gradient_is_zero():
    def total(x, rate):
        return dropout.keeping(x, rate, jax.random.key(0), x.shape).sum()

    assert not jax.grad(total)(X, jnp.float32(1.0)).any()


def test_the_view_takes_a_traced_rate():
    view = WorkloadView(tiny.workload, 1.0)
    params, state = init_model(tiny.workload, jax.random.key(0))
    batch = next(tiny.dataset.training(4, seed=0))

    def loss(rate):
        return view.loss(params, state, batch, jax.random.key(1), dropout_rate=rate)[0]

    assert float(jax.jit(loss)(0.3)) == pytest.approx(float(loss(0.3)), rel=1e-6)
    assert float(jax.jit(loss)(0.3)) != pytest.approx(float(loss(0.0)), rel=1e-3)


@pytest.mark.slow
def test_attention_takes_a_traced_rate():
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    boxed = Attention(heads=2).init(jax.random.key(1), x)
    params = nn.meta.unbox(boxed)

    def mixed(rate):
        model = Attention(heads=2, dropout_rate=rate)
        return model.apply(params, x, train=True, rngs={"dropout": jax.random.key(2)})

    np.testing.assert_allclose(jax.jit(mixed)(0.4), mixed(0.4), rtol=1e-5, atol=1e-6)
