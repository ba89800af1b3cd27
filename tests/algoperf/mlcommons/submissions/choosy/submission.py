"""Plain descent that looks at two batches a step, and trains on the one it does worse on."""

import functools

import jax

from algoperf import spec


def get_batch_size(workload_name):
    del workload_name
    return 16


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    return ()


@functools.partial(jax.jit, static_argnums=0)
def mean_loss(workload, params, model_state, batch):
    logits, _ = workload.model_fn(
        params, batch, model_state, spec.ForwardPassMode.EVAL, None, update_batch_norm=False
    )
    losses = workload.loss_fn(batch["targets"], logits, batch.get("weights"))
    return losses["summed"] / losses["n_valid_examples"]


@functools.partial(jax.jit, static_argnums=0)
def train_step(workload, params, model_state, batch, rng, rate):
    def loss_fn(params):
        logits, new_state = workload.model_fn(
            params, batch, model_state, spec.ForwardPassMode.TRAIN, rng, update_batch_norm=True
        )
        losses = workload.loss_fn(batch["targets"], logits, batch.get("weights"))
        return losses["summed"] / losses["n_valid_examples"], new_state

    gradient, new_state = jax.grad(loss_fn, has_aux=True)(params)
    return jax.tree.map(lambda p, g: p - rate * g, params, gradient), new_state


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
    params, model_state = train_step(
        workload,
        current_param_container,
        model_state,
        batch,
        rng,
        hyperparameters.learning_rate,
    )
    return optimizer_state, params, model_state


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
    candidates = next(input_queue), next(input_queue)
    scored = functools.partial(mean_loss, workload, current_param_container, model_state)
    return max(candidates, key=scored)
