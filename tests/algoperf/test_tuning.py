import json
import subprocess
import sys

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algoperf import tuning
from algoperf.errors import UserError

SPACE = {
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scaling": "log"},
    "beta1": {"min": 0.8, "max": 0.99, "scaling": "linear"},
    "warmup": {"feasible_points": [0.02, 0.05]},
}


@pytest.mark.parametrize(
    "raw", [SPACE, [{"rate": 0.1, "kind": "x"}, {"rate": 1 / 3, "kind": True}]]
)
def test_a_space_comes_back_from_json_as_it_was(raw):
    space = tuning.parse(raw)
    assert tuning.parse(json.loads(json.dumps(tuning.as_json(space)))) == space


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "no hyperparameter"),
        ([], "list of points is empty"),
        (7, "it is a int"),
        ("adamw", "it is a str"),
        ({"lr": 0.1}, "lr: 0.1 is not a dictionary"),
        ({"lr": {"min": 1.0, "max": 0.1}}, "lr: min 1.0 is above max 0.1"),
        ({"lr": {"min": 0.0, "max": 0.1, "scaling": "log"}}, "a log scale cannot start at 0.0"),
        ({"lr": {"min": -1, "max": 0.1, "scaling": "log"}}, "a log scale cannot start at -1"),
        ({"lr": {"min": 0.1, "max": 1, "scaling": "exp"}}, "scaling is 'exp'"),
        ({"lr": {"min": 0.1}}, "lr: lacks max"),
        ({"lr": {"min": "a", "max": 1}}, "must be finite numbers"),
        ({"lr": {"min": float("nan"), "max": 1}}, "must be finite numbers"),
        ({"lr": {"min": True, "max": 2}}, "must be finite numbers"),
        ({"lr": {"feasible_points": []}}, "feasible_points is \\[\\]"),
        ({"lr": {"feasible_points": [float("inf")]}}, "inf is not a finite number"),
        ({"lr": {"min": 0.1, "max": 1, "scale": "log"}}, "unknown key scale"),
        ([{"lr": 0.1}, {"beta": 0.1}], "point 2 has the hyperparameters"),
        ({"lambda": {"min": 0, "max": 1}}, "'lambda' cannot be a hyperparameter's name"),
        ({"weight-decay": {"min": 0, "max": 1}}, "'weight-decay' cannot be"),
        ([{"_x": 0.1}], "'_x' cannot be"),
        ([0.1], "every point in the list must be a dictionary"),
    ],
)
def test_a_faulty_space_is_refused_with_its_fault(raw, message):
    with pytest.raises(UserError, match=message):
        tuning.parse(raw)


def test_all_faults_are_told_at_once():
    with pytest.raises(UserError) as caught:
        tuning.parse({"a": {"min": 2, "max": 1}, "b": {"feasible_points": []}, "c": 3})
    assert all(f"  - {name}:" in str(caught.value) for name in "abc")


def test_points_lie_within_their_dimensions_and_are_distinct():
    points = tuning.draw(tuning.parse(SPACE), 40, seed=3)
    assert len({tuple(p.items()) for p in points}) == 40
    for point in points:
        assert 1e-4 <= point["learning_rate"] <= 1e-1
        assert 0.8 <= point["beta1"] <= 0.99
        assert point["warmup"] in (0.02, 0.05)
    # Half of a log-uniform draw lies below the geometric middle, give or take.
    assert 15 <= sum(p["learning_rate"] < 10**-2.5 for p in points) <= 25


@given(seed=st.integers(0, 2**32 - 1), few=st.integers(1, 8), more=st.integers(0, 8))
def test_more_points_begin_with_the_same_ones(seed, few, more):
    space = tuning.parse({"lr": {"min": 0.0, "max": 1.0}, "n": {"feasible_points": [1, 2, 3]}})
    start = tuning.draw(space, few, seed)
    assert tuning.draw(space, few, seed) == start
    assert len(tuning.draw(space, few + more, seed)) == few + more


def test_another_process_draws_the_same_points():
    script = (
        "import json, sys; from algoperf import tuning;"
        "print(json.dumps(tuning.draw(tuning.parse(json.load(sys.stdin)), 4, 11)))"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(SPACE),
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert [json.loads(text) for text in drawn] == [tuning.draw(tuning.parse(SPACE), 4, 11)]


def test_a_list_is_taken_in_its_order_and_with_what_it_repeats():
    """Of the five points of MLCommons' own NAdamW the third is the first once more."""
    points = [{"lr": 0.3}, {"lr": 0.1}, {"lr": 0.3}, {"lr": 0.2}]
    for count in (3, 4):
        assert tuning.draw(tuning.parse(points), count, seed=0) == points[:count]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([{"lr": 0.1}, {"lr": 0.1}], "need 4 hyperparameter points; .* gives 2"),
        (
            {"lr": {"feasible_points": [0.1]}, "n": {"min": 1, "max": 1}},
            "need 4 distinct hyperparameter points; .* gives 1",
        ),
    ],
)
def test_too_few_points_are_an_error(raw, said):
    with pytest.raises(UserError, match=said):
        tuning.draw(tuning.parse(raw), 4, seed=0)


def test_hyperparameters_are_a_named_tuple_and_a_pytree():
    point = tuning.hyperparameters({"b": 2.0, "a": 1.0})
    assert (point.a, point.b) == (1.0, 2.0)
    assert jax.tree.leaves(point) == [1.0, 2.0]
