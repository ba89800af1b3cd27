"""A state of every kind, to arrays and back, bit for bit."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algoperf import checkpoint, sharding
from algoperf.checkpoint import Checkpoint, Unsavable
from algoperf.checkpoint_files import Unusable
from algoperf.spec import Evaluation, TrainState
from tests.states import Phased

MADE_BY = {"jax": "1.0", "seed": 3}


def point(state: Any, **changes: Any) -> Checkpoint:
    fields = {
        "train": TrainState({"w": jnp.ones(2)}, {}, state),
        "step": 5, "keys": 6, "batches": 7, "evaluations": (), "accounts": {"update": 0.1 + 0.2},
        "submission_s": 1e-300, "compile_s": 2.0, "carried": {"started": "then"},
    }  # fmt: skip
    return Checkpoint(**fields | changes)


def there_and_back(kept: Checkpoint, start: Any = None, made_by: Any = None) -> Checkpoint:
    structure = jax.tree.structure(kept.train if start is None else start)
    arrays, facts = checkpoint.packed(kept, MADE_BY, checkpoint.taken_apart(kept.train, structure))
    facts = json.loads(json.dumps(facts))
    return checkpoint.restored(arrays, facts, made_by or MADE_BY, structure)


def bits(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        plain = jax.random.key_data(leaf) if "key" in leaf.dtype.name else leaf
        about = (leaf.committed, leaf.sharding, getattr(leaf, "weak_type", None))
        return str(leaf.dtype), leaf.shape, *about, np.asarray(plain).tobytes()
    if isinstance(leaf, (np.ndarray, np.generic)) and not leaf.dtype.hasobject:
        return type(leaf), leaf.dtype, leaf.shape, leaf.tobytes()
    return type(leaf), repr(leaf)


def assert_same(kept: Any, found: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(kept)
    for one, other in zip(jax.tree.leaves(kept), jax.tree.leaves(found), strict=True):
        assert bits(one) == bits(other)


LEAVES = {
    "nan with a payload": lambda: jnp.asarray(
        np.array([0x7FC00123, 0x80000000], np.uint32).view("f4")
    ),
    "bfloat16": lambda: jnp.asarray([1.0, -0.0, jnp.nan], jnp.bfloat16),
    "float8": lambda: jnp.asarray([1.0, 0.5], jnp.float8_e4m3fn),
    "int4": lambda: jnp.asarray([-8, 7], jnp.int4),
    "bool": lambda: jnp.asarray([True, False]),
    "complex": lambda: jnp.asarray([1 + 2j]),
    "empty": lambda: jnp.zeros((0, 3)),
    "key": lambda: jax.random.key(1),
    "keys": lambda: jax.random.split(jax.random.key(1, impl="rbg"), (2, 3)),
    "old key": lambda: jax.random.PRNGKey(1),
    "weak": lambda: jnp.asarray(1.5),
    "weak vector": lambda: jnp.broadcast_to(jnp.asarray(1.5), (3,)),
    "replicated": lambda: jax.device_put(jnp.arange(4), sharding.replicated()),
    "replicated key": lambda: jax.device_put(jax.random.key(2), sharding.replicated()),
    "split": lambda: jax.device_put(jnp.arange(8.0).reshape(4, 2), sharding.batch_sharded()),
    "on one device": lambda: jax.device_put(jnp.arange(3), jax.devices()[1]),
    "numpy": lambda: np.arange(6, dtype=">i2").reshape(2, 3).T,
    "numpy bfloat16": lambda: np.ones(2, jnp.bfloat16),
    "numpy scalar": lambda: np.float64(1) / 3,
    "strings": lambda: np.array(["a", "bc"]),
    "objects": lambda: np.array([1, "two"], dtype=object),
    "int": lambda: 2**70,
    "float": lambda: float("nan"),
    "true": lambda: True,
    "text": lambda: "text",
    "imaginary": lambda: 1 + 2j,
}


@pytest.mark.parametrize("name", LEAVES)
def test_every_kind_of_leaf_comes_back_as_it_was(name):
    leaf = LEAVES[name]()
    assert_same(leaf, there_and_back(point([leaf])).train.optimizer_state[0])


numbers = st.integers() | st.floats() | st.booleans() | st.text(max_size=3)
trees = st.recursive(
    numbers | st.none() | st.integers(0, 9).map(jnp.int32),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Phased, inner, st.text(max_size=2))
    ),
    max_leaves=8,
)


@given(trees, trees)
def test_any_tree_comes_back_whatever_the_start_was(tree, start):
    kept = point(tree)
    found = there_and_back(kept, start=point(start).train)
    assert_same(kept.train, found.train)


def test_the_rest_comes_back_too():
    evaluations = (
        Evaluation(5, 0.1 + 0.2, {"train/loss": float("nan"), "validation/loss": 1 / 3}),
        Evaluation(10, 1e300, {"validation/loss": float("inf")}),
    )
    kept = point((), evaluations=evaluations)
    found = there_and_back(kept)
    assert repr(found.evaluations) == repr(evaluations)
    assert {k: v for k, v in vars(found).items() if k not in ("train", "evaluations")} == {
        k: v for k, v in vars(kept).items() if k not in ("train", "evaluations")
    }


def test_a_structure_that_cannot_be_pickled_may_stay_as_it_was_at_the_start():
    """Such as a function in a static field: in another process `init` makes it again."""
    static = Phased(jnp.ones(2), phase=lambda: None)  # type: ignore[arg-type] - that is the case
    kept = point(static)
    assert_same(kept.train, there_and_back(kept).train)
    changed = point(static.replace(phase=lambda: 1))
    with pytest.raises(Unsavable, match="cannot be pickled"):
        there_and_back(changed, start=kept.train)


def test_what_nobody_can_keep_is_said():
    with pytest.raises(Unsavable, match="cannot be pickled"):
        there_and_back(point([lambda: None]))


class Working:
    """A part of a state whose class runs code as it is taken apart."""

    ran = 0


def ran(_: Any) -> tuple[tuple[()], None]:
    Working.ran += 1
    return (), None


jax.tree_util.register_pytree_node(Working, ran, lambda _, __: Working())


def test_a_state_taken_apart_runs_nothing_of_its_own_any_more():
    kept = point([Working(), jax.random.key(0), np.float32(1), [lambda: None][1:]])
    apart = checkpoint.taken_apart(kept.train, None)
    before = Working.ran
    checkpoint.packed(kept, MADE_BY, apart)
    assert Working.ran == before > 0


def test_another_maker_is_refused():
    with pytest.raises(Unusable, match=r"jax was 1\.0, is 2\.0"):
        there_and_back(point(()), made_by={"jax": "2.0", "seed": 3})


def test_another_start_is_refused():
    kept = point([jnp.ones(2)])
    apart = checkpoint.taken_apart(kept.train, jax.tree.structure(kept.train))
    arrays, facts = checkpoint.packed(kept, MADE_BY, apart)
    with pytest.raises(Unusable, match="it holds 2 arrays, `init` now makes 3"):
        checkpoint.restored(arrays, facts, MADE_BY, jax.tree.structure(point([1, 2]).train))
