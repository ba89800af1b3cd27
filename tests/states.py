"""Training algorithms whose state is of every kind that a checkpoint has to keep."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from algoperf.errors import TrainingComplete
from algoperf.spec import TrainState
from algoperf.submission import Algorithm, from_optax


class Phased(flax.struct.PyTreeNode):
    """A field that jax does not see, and that training changes."""

    momentum: Any
    phase: str = flax.struct.field(pytree_node=False, default="warm-up")


@jax.jit
def step(params, inputs, key, rate):
    """Any loss will do, with noise from the state's own key."""

    def loss(params):
        aim = inputs.mean() + jnp.float32(0.1) * jax.random.normal(key, ())
        return sum((leaf.sum() - aim) ** 2 for leaf in jax.tree.leaves(params))

    return jax.tree.map(lambda p, g: p - rate * jnp.clip(g, -1, 1), params, jax.grad(loss)(params))


def init_all(workload, params, hyperparameters, key):
    return {"key": key, "nothing": None, "count": jnp.zeros((), jnp.int32)}


def update_all(workload, train, batch, key, progress):
    """A state that grows from an array to everything, and changes its structure on the way."""
    if progress.step >= workload.step_hint:
        raise TrainingComplete
    old = train.optimizer_state
    own, following = jax.random.split(old["key"])
    rate = 0.01 * (1 + old.get("python", {}).get("int", 0) % 3)
    params = step(train.params, batch["inputs"], own, jnp.float32(rate))
    momentum = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    weak = old.get("weak", jnp.asarray(1.0)) * 1.5 % 7.0
    assert weak.weak_type
    state = {
        "key": following,
        "rbg": jax.random.key(progress.step, impl="rbg"),
        "nothing": None,
        "count": old["count"] + np.int32(1),
        "python": {"int": progress.step + 2**70, "float": 0.1 * progress.step, "bool": True},
        "numpy": np.arange(3, dtype=np.int16) + progress.step,
        "scalar": np.float64(progress.step) / 3,
        "complex": complex(progress.step, 1),
        "weak": weak,
        "small": jnp.asarray([progress.step % 7], jnp.int4),
        "phased": Phased(momentum, "warm-up" if progress.step < 12 else "main"),
        "pool": (*old.get("pool", ())[-4:], batch["inputs"]),
    }
    return TrainState(params, train.model_state, state)


def select_from_pool(workload, batches, train, key, progress):
    """Every third step an old batch again, else the larger of two new ones."""
    pool = train.optimizer_state.get("pool", ())
    if pool and progress.step % 3 == 0:
        return {"inputs": pool[int(jax.random.randint(key, (), 0, len(pool)))]}
    new = [next(batches), next(batches)]
    return max(new, key=lambda batch: float(jnp.abs(batch["inputs"]).sum()))


AVERAGED = from_optax(
    lambda hp, workload: optax.chain(
        optax.add_noise(0.1, 0.5, jax.random.key(3)), optax.adam(0.05)
    ),
    steps=lambda workload: workload.step_hint,
)


def average_init(workload, params, hyperparameters, key):
    inner = AVERAGED.init(workload, params, hyperparameters, key)
    return {"inner": inner, "average": jax.tree.map(jnp.copy, params)}


def average_update(workload, train, batch, key, progress):
    inner = train._replace(optimizer_state=train.optimizer_state["inner"])
    inner = AVERAGED.update(workload, inner, batch, key, progress)
    average = jax.tree.map(
        lambda a, p: 0.9 * a + 0.1 * p, train.optimizer_state["average"], inner.params
    )
    return inner._replace(optimizer_state={"inner": inner.optimizer_state, "average": average})


def average_params(workload, train, progress):
    return train.optimizer_state["average"], train.model_state


ALGORITHMS = {
    "everything": Algorithm(init_all, update_all, select_batch=select_from_pool),
    "average": Algorithm(average_init, average_update, params_for_evaluation=average_params),
    "short": AVERAGED,
}
"""`everything` has keys, numbers, static fields, a changing structure and a pool of batches."""


def bits(tree: Any) -> list[Any]:
    """Everything about a state, in a form that compares bit for bit, also between processes."""

    def one(leaf: Any) -> tuple[Any, ...]:
        if isinstance(leaf, jax.Array):
            about = (str(leaf.dtype), leaf.shape, leaf.committed, str(leaf.sharding))
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return *about, np.asarray(jax.random.key_data(leaf)).tobytes()
            return *about, leaf.weak_type, np.asarray(leaf).tobytes()
        if isinstance(leaf, (np.ndarray, np.generic)) and not leaf.dtype.hasobject:
            return type(leaf).__name__, leaf.dtype.str, leaf.shape, leaf.tobytes()
        return type(leaf).__name__, repr(leaf)

    return [one(leaf) for leaf in jax.tree.leaves(tree)] + [str(jax.tree.structure(tree))]
