"""AdamW, sparse first and dense at the end (SPDF). Thangarasa et al. 2023, arXiv:2303.10464.

A fixed random mask, drawn at the start, holds weights of hidden matrices at zero for the first part
of training; what it leaves starts larger, so that signals keep their size in deep models (Evci et
al. 2020, arXiv:2010.03533). Nothing here computes faster for it: zeros are multiplied like other
numbers, and the FLOPs that are counted are those of dense training. What is left to see is what
sparse training does to the result.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from algoperf import TrainingComplete, TrainState, warmup_cosine
from algoperf.preconditioning import input_axes

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "sparsity": {"feasible_points": [0.5, 0.75]},
    "dense_share": {"feasible_points": [0.3, 0.5]},
}


def adamw(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, warmup=0.05)
    return optax.adamw(rate, b1=0.9, b2=0.99, weight_decay=hp.weight_decay)


def init(workload, params, hyperparameters, key):
    keys = iter(jax.random.split(key, len(jax.tree.leaves(params))))

    def mask(axes, is_output, x):
        kept = jax.random.bernoulli(next(keys), 1 - hyperparameters.sparsity, x.shape)
        return kept if axes and not is_output else jnp.ones_like(kept)

    masks = jax.tree.map(mask, input_axes(workload), workload.output_parameters, params)
    return {
        "adam": adamw(hyperparameters, workload).init(params),
        "masks": masks,
        "hyperparameters": jax.tree.map(jnp.float32, hyperparameters),
        "step": jnp.zeros((), jnp.int32),
    }


@partial(jax.jit, static_argnames="workload", donate_argnames="train")
def step(workload, train, batch, key):
    state = train.optimizer_state
    hp = state["hyperparameters"]
    dense = state["step"].astype(jnp.float32) >= (1 - hp.dense_share) * workload.step_hint

    def masked(tree):
        return jax.tree.map(lambda x, m: jnp.where(m | dense, x, 0), tree, state["masks"])

    def filled(x, m):
        return jnp.where(state["step"] == 0, x / jnp.sqrt(m.mean(dtype=x.dtype)), x)

    params = masked(jax.tree.map(filled, train.params, state["masks"]))
    loss = partial(workload.loss, model_state=train.model_state, batch=batch, key=key)
    gradient, model_state = jax.grad(loss, has_aux=True)(params)
    with jax.numpy_dtype_promotion("standard"):
        change, adam = adamw(hp, workload).update(masked(gradient), state["adam"], params)
    params = masked(optax.apply_updates(params, change))
    return TrainState(params, model_state, {**state, "adam": adam, "step": state["step"] + 1})


def update(workload, train, batch, key, progress):
    if progress.step >= workload.step_hint:
        raise TrainingComplete
    return step(workload, train, batch, key)
