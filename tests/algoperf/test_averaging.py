import jax.numpy as jnp
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algoperf.averaging import average_of, latest, moving_average


def walk(averaging, moves):
    """The state after parameters at 0 were moved by each of `moves`, and where they are."""
    params = {"w": jnp.zeros(2)}
    state = averaging.init(params)
    for move in moves:
        updates, state = averaging.update({"w": jnp.full(2, move)}, state, params)
        assert updates["w"].tolist() == pytest.approx([move, move])
        params = optax.apply_updates(params, updates)
    return state, params


@pytest.mark.parametrize(
    ("steps", "average"),
    [
        (1, 1.0),  # no checkpoint yet: the parameters
        (2, 2.0),  # the checkpoint after step 2
        (5, 3.0),  # of steps 2 and 4
        (7, 5.0),  # of 4 and 6; the first is gone
    ],
)
def test_the_latest_two_of_every_second_step(steps, average):
    state, params = walk(latest(2, every=2), [1.0] * steps)
    assert average_of(state, params)["w"].tolist() == [average, average]


def test_a_moving_average_worked_by_hand():
    """Parameters 1, 2, 3; kept shares min(0.15, 1/10), min(0.15, 2/11), 0.15.

    0.1 * 0 + 0.9 * 1 = 0.9; 0.15 * 0.9 + 0.85 * 2 = 1.835; 0.15 * 1.835 + 0.85 * 3 = 2.82525
    """
    state, _ = walk(moving_average(0.15), [1.0, 1.0, 1.0])
    assert state.average["w"].tolist() == pytest.approx([2.82525, 2.82525])


@given(
    moves=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12),
    slots=st.integers(1, 4),
    every=st.integers(1, 3),
)
def test_an_average_lies_between_what_it_averages(moves, slots, every):
    places = jnp.cumsum(jnp.array(moves))
    state, params = walk(latest(slots, every), moves)
    assert places.min() - 1e-3 <= average_of(state, params)["w"][0] <= places.max() + 1e-3
