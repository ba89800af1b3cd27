import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from algoperf.mlcommons.state import pack, unpack

NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans())


def through_devices(theirs):
    """What a state is after something has saved and restored its arrays."""
    return unpack(jax.device_put(pack(theirs, None, None, None)))


@given(st.lists(NUMBERS))
def test_numbers_come_back_as_they_were(numbers):
    back = through_devices({"n": numbers})["n"]
    assert list(map(type, back)) == list(map(type, numbers))
    assert all(a == b or a != a for a, b in zip(back, numbers, strict=True))  # noqa: PLR0124 - NaN


def test_functions_names_and_nothing_stay_with_the_structure():
    theirs = (lambda: 0, "name", None, {"a": jnp.arange(3)}, np.float32(2.5))
    back = through_devices(theirs)
    assert back[0] is theirs[0]
    assert back[1:3] == ("name", None)
    assert back[3]["a"].tolist() == [0, 1, 2]
    assert back[4] == 2.5


def test_only_arrays_are_leaves_and_the_structure_is_that_of_the_next_step():
    def step(x):
        return pack((x, abs, 3), ("hp",), jnp.zeros(2, jnp.uint32), None)

    one, other = step(jnp.ones(2)), step(jnp.zeros(2))
    assert all(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(one))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert jax.tree.structure(one) != jax.tree.structure(pack((1.0, abs, 3), None, None, None))


def test_a_point_is_part_of_it():
    assert pack((), "point", None, None).hyperparameters == "point"
