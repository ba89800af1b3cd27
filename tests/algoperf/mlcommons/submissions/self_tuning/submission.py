"""Self-tuning: Adam by the types of parameters, evaluated and carried on from an average."""

import functools

import jax
import jax.numpy as jnp
import optax
from averaging import averaged

from algoperf import spec

RATE = 0.5


def get_batch_size(workload_name):
    if workload_name == "digits_vit":
        return 64
    return None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    assert hyperparameters is None
    return {"inner": optimizer(workload).init(model_params), "average": None}


def optimizer(workload):
    kinds = workload.model_params_types
    matrices = (spec.ParameterType.WEIGHT, spec.ParameterType.CONV_WEIGHT)
    decayed = jax.tree.map(lambda kind: kind in matrices, kinds)
    return optax.adamw(3e-3, weight_decay=0.1, mask=decayed)


@functools.partial(jax.jit, static_argnums=0)
def train_step(workload, inner, params, model_state, batch, rng):
    def loss_fn(params):
        logits, new_state = workload.model_fn(
            params, batch, model_state, spec.ForwardPassMode.TRAIN, rng, True
        )
        losses = workload.loss_fn(batch["targets"], logits, batch.get("weights"))
        return losses["summed"] / losses["n_valid_examples"], new_state

    gradient, new_state = jax.grad(loss_fn, has_aux=True)(params)
    change, inner = optimizer(workload).update(gradient, inner, params)
    return inner, optax.apply_updates(params, change), new_state


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
    train_state,
):
    if global_step >= workload.step_hint or not train_state["is_time_remaining"]:
        raise spec.TrainingCompleteError
    inner, params, model_state = train_step(
        workload, optimizer_state["inner"], current_param_container, model_state, batch, rng
    )
    return {"inner": inner, "average": optimizer_state["average"]}, params, model_state


def prepare_for_eval(
    workload,
    current_param_container,
    current_params_types,
    model_state,
    hyperparameters,
    loss_type,
    optimizer_state,
    eval_results,
    global_step,
    rng,
):
    average = optimizer_state["average"]
    if average is None:
        average = jax.tree.map(jnp.zeros_like, current_param_container)
    average = averaged(average, current_param_container, RATE)
    return {"inner": optimizer_state["inner"], "average": average}, average, model_state
