"""Momentum with label smoothing, clipped gradients and a dropout rate of its own; rules v0.6."""

import functools

import jax
import jax.numpy as jnp
import optax

from algoperf import spec

EPSILON = 1e-6


def get_batch_size(workload_name):
    return {"digits_vit": 32, "tiny": 4}[workload_name]


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    optimizer = optax.sgd(hyperparameters.learning_rate, momentum=0.9)
    return {"inner": optimizer.init(model_params), "largest_norm": 0.0, "steps": 0}


@functools.partial(jax.jit, static_argnums=0)
def train_step(workload, inner, params, model_state, batch, rng, hyperparameters):
    def loss_fn(params):
        logits, new_state = workload.model_fn(
            params,
            batch,
            model_state,
            spec.ForwardPassMode.TRAIN,
            rng,
            update_batch_norm=True,
            dropout_rate=hyperparameters.dropout_rate,
        )
        losses = workload.loss_fn(
            batch["targets"], logits, batch.get("weights"), hyperparameters.label_smoothing
        )
        return losses["summed"] / losses["n_valid_examples"], new_state

    gradient, new_state = jax.grad(loss_fn, has_aux=True)(params)
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
    scale = jnp.clip(hyperparameters.grad_clip / (norm + EPSILON), 0.0, 1.0)
    gradient = jax.tree.map(lambda g: g * scale, gradient)
    optimizer = optax.sgd(hyperparameters.learning_rate, momentum=0.9)
    change, inner = optimizer.update(gradient, inner, params)
    return inner, optax.apply_updates(params, change), new_state, norm


def update_params(
    workload,
    current_param_container,
    current_params_types,
    model_state,
    hyperparameters,
    batch,
    loss_type,
    optimizer_state,
    eval_results,
    global_step,
    rng,
):
    # Python's own numbers in the state: what was put in has to come out.
    assert type(optimizer_state["steps"]) is int
    assert optimizer_state["steps"] == global_step
    inner, params, model_state, norm = train_step(
        workload,
        optimizer_state["inner"],
        current_param_container,
        model_state,
        batch,
        rng,
        hyperparameters,
    )
    state = {
        "inner": inner,
        "largest_norm": max(optimizer_state["largest_norm"], float(norm)),
        "steps": optimizer_state["steps"] + 1,
    }
    return state, params, model_state


def data_selection(
    workload,
    input_queue,
    optimizer_state,
    current_param_container,
    model_state,
    hyperparameters,
    global_step,
    rng,
):
    return next(input_queue)
