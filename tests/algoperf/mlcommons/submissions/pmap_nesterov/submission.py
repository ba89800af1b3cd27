"""Nesterov's momentum in the form of MLCommons' rules v0.5: pmap, and everything replicated."""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import jax_utils
from jax import lax

from algoperf import spec


def get_batch_size(workload_name):
    raise ValueError(f"Unsupported workload name: {workload_name}.")


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape_tuple), workload.param_shapes)
    init, update = optax.sgd(hyperparameters.learning_rate, momentum=0.9, nesterov=True)
    return jax_utils.replicate(init(zeros)), update


@functools.partial(
    jax.pmap,
    axis_name="batch",
    in_axes=(None, None, 0, 0, 0, 0, 0, None),
    static_broadcasted_argnums=(0, 1),
    donate_argnums=(2, 3, 4),
)
def pmapped_train_step(
    workload, opt_update, model_state, optimizer_state, params, batch, rng, label_smoothing
):
    def loss_fn(params):
        logits, new_state = workload.model_fn(
            params, batch, model_state, spec.ForwardPassMode.TRAIN, rng, update_batch_norm=True
        )
        losses = workload.loss_fn(
            label_batch=batch["targets"],
            logits_batch=logits,
            mask_batch=batch.get("weights"),
            label_smoothing=label_smoothing,
        )
        return losses["summed"], (losses["n_valid_examples"], new_state)

    (summed, (count, new_state)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
    summed, count, gradient = lax.psum((summed, count, gradient), axis_name="batch")
    gradient = jax.tree.map(lambda g: g / count, gradient)
    change, optimizer_state = opt_update(gradient, optimizer_state, params)
    return optimizer_state, optax.apply_updates(params, change), new_state, summed / count


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
    optimizer_state, opt_update = optimizer_state
    rngs = jax.random.split(rng, jax.local_device_count())
    optimizer_state, params, model_state, loss = pmapped_train_step(
        workload,
        opt_update,
        model_state,
        optimizer_state,
        current_param_container,
        batch,
        rngs,
        0.0,
    )
    if global_step % 100 == 0 and workload.metrics_logger is not None:
        workload.metrics_logger.append_scalar_metrics({"loss": loss[0]}, global_step)
    return (optimizer_state, opt_update), params, model_state


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
