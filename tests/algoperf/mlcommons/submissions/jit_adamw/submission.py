"""AdamW with a warm-up and a cosine, in the form of MLCommons' rules v0.6: jit and shardings."""

import jax
import jax.numpy as jnp
import optax

from algoperf import jax_sharding_utils, spec


def get_batch_size(workload_name):
    sizes = {"criteo1tb": 262_144, "imagenet_vit": 1024, "ogbg": 1024, "wmt": 128}
    if workload_name not in sizes:
        raise ValueError(f"Unsupported workload name: {workload_name}.")
    return sizes[workload_name]


def init_optimizer_state(
    workload: spec.Workload,
    model_params: spec.ParameterContainer,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    rng: spec.RandomState,
) -> spec.OptimizerState:
    del model_params, model_state, rng

    def schedule(count):
        done = (count + 1.0) / workload.step_hint
        rise = done / max(hyperparameters.warmup, 1.0 / workload.step_hint)
        fallen = (done - hyperparameters.warmup) / (1.0 - hyperparameters.warmup)
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(fallen, 0.0, 1.0)))
        return hyperparameters.learning_rate * jnp.minimum(rise, cosine)

    init, update = optax.adamw(
        schedule,
        b1=1.0 - hyperparameters.one_minus_beta1,
        b2=0.99,
        weight_decay=hyperparameters.weight_decay,
    )
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape_tuple), workload.param_shapes)
    return init(zeros), update


def train_step(workload, opt_update, model_state, optimizer_state, params, batch, rng):
    def loss_fn(params):
        logits, new_state = workload.model_fn(
            params,
            batch,
            model_state,
            spec.ForwardPassMode.TRAIN,
            rng,
            update_batch_norm=True,
        )
        losses = workload.loss_fn(
            label_batch=batch["targets"],
            logits_batch=logits,
            mask_batch=batch.get("weights"),
        )
        return losses["summed"], (losses["n_valid_examples"], new_state)

    (summed, (count, new_state)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
    gradient = jax.tree.map(lambda g: g / count, gradient)
    change, optimizer_state = opt_update(gradient, optimizer_state, params)
    return optimizer_state, optax.apply_updates(params, change), new_state, summed / count


def update_params(
    workload: spec.Workload,
    current_param_container: spec.ParameterContainer,
    current_params_types: spec.ParameterTypeTree,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    batch: dict[str, spec.Tensor],
    loss_type: spec.LossType,
    optimizer_state: spec.OptimizerState,
    eval_results: list[tuple[int, float]],
    global_step: int,
    rng: spec.RandomState,
    train_state: dict | None = None,
) -> spec.UpdateReturn:
    del current_params_types, hyperparameters, loss_type, eval_results, train_state
    optimizer_state, opt_update = optimizer_state
    whole = jax_sharding_utils.get_replicate_sharding()
    shared = jax_sharding_utils.get_batch_dim_sharding()
    step = jax.jit(
        train_step,
        static_argnums=(0, 1),
        donate_argnums=(2, 3, 4),
        in_shardings=(whole, whole, whole, shared, whole),
        out_shardings=(whole, whole, whole, whole),
    )
    optimizer_state, params, model_state, loss = step(
        workload, opt_update, model_state, optimizer_state, current_param_container, batch, rng
    )
    if global_step % 100 == 0 and workload.metrics_logger is not None:
        workload.metrics_logger.append_scalar_metrics({"loss": loss.item()}, global_step)
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
