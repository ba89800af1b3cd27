"""Impressions and clicks: what the module says of them."""

import numpy as np
import pytest

from algoperf.data import hash_of
from algoperf.spec import Split
from workloads.datasets import clicks

COUNTS = {Split.TRAIN: 200_000, Split.VALIDATION: 1_000, Split.TEST: 1_000}


@pytest.fixture(scope="module")
def made():
    return clicks.make(COUNTS)


def test_one_impression_in_nine_is_clicked(made):
    assert 1 / 10 < made[Split.TRAIN]["targets"].mean() < 1 / 8


def test_frequent_values_are_far_more_frequent_than_rare_ones(made):
    counts = np.bincount(made[Split.TRAIN]["categories"][:, 0], minlength=clicks.VALUES)
    # The cube of an even draw: a tenth of the values gets 0.1 ** (1 / 3) = 46 % of the rows.
    assert counts[: clicks.VALUES // 10].sum() / len(made[Split.TRAIN]["targets"]) == pytest.approx(
        0.1 ** (1 / 3), abs=0.01
    )
    assert (counts > 0).all()


def test_clicks_follow_the_log_odds(made):
    rows = made[Split.TRAIN]
    odds = clicks.log_odds(rows["numbers"], rows["categories"])
    for low in (-6.0, -4.0, -2.0, 0.0):
        among = (odds >= low) & (odds < low + 1)
        expected = (1 / (1 + np.exp(-odds[among]))).mean()
        error = np.sqrt(expected * (1 - expected) / among.sum())
        assert abs(rows["targets"][among].mean() - expected) < 5 * error


def test_what_a_category_means_depends_on_its_partner():
    """The effect of category 0's value differs with that of its partner 1, not with that of 4."""
    numbers = np.full((3, clicks.NUMBERS), 128, np.uint8)
    rows = np.zeros((3, clicks.CATEGORIES), np.uint16)

    def effect(other, value):
        changed = rows.copy()
        changed[:, other] = value
        return clicks.log_odds(numbers, _with(changed, 7)) - clicks.log_odds(numbers, changed)

    def _with(categories, value):
        found = categories.copy()
        found[:, 0] = value
        return found

    assert not np.allclose(effect(1, 0), effect(1, 3))
    assert np.allclose(effect(4, 0), effect(4, 3))


def test_a_batch_has_numbers_and_rows_of_one_table(made):
    rows = {name: array[:50] for name, array in made[Split.TRAIN].items()}
    batch = {name: np.asarray(array) for name, array in clicks._prepare(rows).items()}
    assert batch["inputs"].shape == (50, clicks.NUMBERS + clicks.CATEGORIES)
    assert np.abs(batch["inputs"][:, : clicks.NUMBERS]).max() <= 2
    table_rows = batch["inputs"][:, clicks.NUMBERS :]
    assert np.array_equal(table_rows // clicks.VALUES, np.tile(np.arange(10.0), (50, 1)))
    assert np.array_equal(table_rows % clicks.VALUES, rows["categories"])
    assert set(np.unique(batch["targets"])) <= {0.0, 1.0}


@pytest.mark.slow
def test_the_recorded_data_come_out():
    assert hash_of(clicks.make(clicks._COUNTS)) == clicks.clicks.sha256
