"""Invented letters: what the module says of them."""

import numpy as np
import pytest

from algoperf.data import hash_of
from algoperf.spec import Split
from workloads.datasets import glyphs

COUNTS = {Split.TRAIN: 4_000, Split.VALIDATION: 300, Split.TEST: 300}


@pytest.fixture(scope="module")
def made():
    return glyphs.make(COUNTS, noise=50, label_noise=0.1)


def test_letters_come_in_pairs_that_differ_in_one_stroke():
    strokes = [{stroke.tobytes() for stroke in letter} for letter in glyphs.letters()]
    assert all(len(own) == 4 for own in strokes)
    for one, other in zip(strokes[::2], strokes[1::2], strict=True):
        assert len(one & other) == 3


def test_every_letter_is_another():
    drawn = {frozenset(s.tobytes() for s in letter) for letter in glyphs.letters()}
    assert len(drawn) == glyphs.CLASSES


def test_a_drawing_has_ink_where_its_strokes_are():
    rng = np.random.default_rng(0)
    images = glyphs.drawn(rng, np.zeros(200, int), noise=0)
    # Without noise paper is 60 and full ink at least 60 + 130 / 2.
    assert images.min() == 60
    assert (images.reshape(200, -1).max(axis=1) >= 125).all()
    share = (images > 90).mean()
    assert 0.1 < share < 0.5


def test_letters_are_evenly_frequent(made):
    counts = np.bincount(made[Split.TRAIN]["targets"], minlength=glyphs.CLASSES)
    # 4,000 / 24 = 167 each, with a deviation of 13.
    assert (np.abs(counts - 4_000 / 24) < 5 * 13).all()


def test_a_tenth_of_the_training_labels_is_wrong_and_no_other():
    # The same drawings with and without wrong labels: the labels are drawn after the drawings.
    noisy = glyphs.make(COUNTS, noise=50, label_noise=0.1)
    right = glyphs.make(COUNTS, noise=50, label_noise=0.0)
    for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
        assert np.array_equal(noisy[split]["inputs"], right[split]["inputs"])
        wrong = (noisy[split]["targets"] != right[split]["targets"]).mean()
        # 0.1 with a deviation of sqrt(0.09 / 4000) = 0.005.
        assert abs(wrong - 0.1) < 0.025 if split is Split.TRAIN else wrong == 0


def test_no_drawing_is_in_two_splits(made):
    parts = [made[split]["inputs"] for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)]
    seen = [image.tobytes() for part in parts for image in part]
    assert len(seen) == len(set(seen))


def test_what_is_evaluated_of_training_is_of_training(made):
    assert np.array_equal(made[Split.EVAL_TRAIN]["inputs"], made[Split.TRAIN]["inputs"][:300])


def test_the_recorded_data_come_out():
    noisy = glyphs.make(glyphs._COUNTS, noise=110, label_noise=0.1)
    few = glyphs.make(glyphs._FEW, noise=50, label_noise=0.0)
    assert hash_of(noisy) == glyphs.glyphs.sha256
    assert hash_of(few) == glyphs.few_glyphs.sha256
