"""A small proxy's loss as filter. After Fang et al. 2023, arXiv:2309.17425.

The paper's data filtering networks learn from data known to be good and say which of the rest to
keep. Here no data are known to be good: the proxy, a multilayer perceptron beside the model, learns
on the fly from all candidates, wrong labels among the right ones, and a wrong label stands out as
long as the proxy has not learned it by heart. Of each pool the rows with the proxy's lowest losses
are the batch.

AdamW underneath. The proxy takes rows of floats with one class each; elsewhere (graphs, text,
audio, regression, mixed classes) it is AdamW alone.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from algoperf import TrainState, from_optax, selection, warmup_cosine

POOL = 2
"""Batches of candidates for each batch."""
HIDDEN = 64
"""Features of the proxy."""

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    return optax.adamw(rate, b1=1 - hp.one_minus_beta1, b2=0.99, weight_decay=hp.weight_decay)


model = from_optax(transformation, steps=lambda workload: workload.step_hint)
proxy_optimizer = optax.adam(2e-3)


class State(flax.struct.PyTreeNode):
    """State of the model's optimizer, and the proxy with its own; None where there is none."""

    model: Any
    proxy: Any
    proxy_state: Any


class Chosen(NamedTuple):
    """The rows that the model learns from, and those that the proxy does."""

    batch: Any
    pool: Any


def applies(workload):
    """Whether examples are rows of floats with one class each."""
    rows = workload.row_shapes or {}
    return (
        {"inputs", "targets"} <= rows.keys()
        and jnp.issubdtype(rows["inputs"].dtype, jnp.floating)
        and jnp.issubdtype(rows["targets"].dtype, jnp.integer)
        and rows["targets"].shape == ()
    )


def init(workload, params, hyperparameters, key):
    state = model.init(workload, params, hyperparameters, key)
    if not applies(workload):
        return State(state, None, None)
    proxy = new_proxy(workload, key)
    return State(state, proxy, proxy_optimizer.init(proxy))


def new_proxy(workload, key):
    width = workload.row_shapes["inputs"].size
    classes = workload.output_shapes.shape[-1]
    into, out = jax.random.split(key)
    return {
        "into": jax.random.normal(into, (width, HIDDEN)) / width**0.5,
        "bias": jnp.zeros((1, HIDDEN)),
        "out": jax.random.normal(out, (HIDDEN, classes)) / HIDDEN**0.5,
    }


def proxy_losses(proxy, batch):
    """Cross-entropy of each row, (rows,)."""
    inputs = batch["inputs"].reshape(len(batch["targets"]), -1)
    hidden = jax.nn.relu(inputs @ proxy["into"] + proxy["bias"])
    logits = hidden @ proxy["out"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])


def select_batch(workload, batches, train, key, progress):
    if not applies(workload):
        return next(batches)
    return choose(train.optimizer_state.proxy, [next(batches) for _ in range(POOL)])


@jax.jit
def choose(proxy, batches):
    """The rows that the proxy finds most plausible."""
    pool = selection.joined(batches)
    losses = proxy_losses(proxy, pool)
    kept = jnp.argsort(losses)[: len(losses) // POOL]
    return Chosen(selection.taken(pool, kept), pool)


def update(workload, train, batch, key, progress):
    chosen = batch if isinstance(batch, Chosen) else Chosen(batch, batch)
    state = train.optimizer_state
    inner = train._replace(optimizer_state=state.model)
    params, model_state, of_model = model.update(workload, inner, chosen.batch, key, progress)
    if state.proxy is None:
        return TrainState(params, model_state, state.replace(model=of_model))
    proxy, proxy_state = learn(state.proxy, state.proxy_state, chosen.pool)
    return TrainState(params, model_state, State(of_model, proxy, proxy_state))


@partial(jax.jit, donate_argnums=(0, 1))
def learn(proxy, state, pool):
    """One step of the proxy on the mean loss of all candidates."""
    gradient = jax.grad(lambda proxy: proxy_losses(proxy, pool).mean())(proxy)
    with jax.numpy_dtype_promotion("standard"):
        change, state = proxy_optimizer.update(gradient, state)
    return optax.apply_updates(proxy, change), state
