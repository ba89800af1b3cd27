"""Phantoms: ellipses as drawn, a quarter of k-space, and inputs that fit their targets."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from algoperf.data import hash_of
from algoperf.spec import Split
from workloads.datasets import phantoms as p


@pytest.fixture(scope="module")
def drawn():
    return p.drawn(200, np.random.default_rng(1))


@pytest.fixture(scope="module")
def rows():
    return p.phantoms_of(200, np.random.default_rng(1))


def test_the_head_is_an_ellipse_with_nothing_around_it(drawn):
    image = np.abs(drawn)
    # Centre at most 0.05 off, half axes from 0.6 to 0.9: beyond 0.95 of the middle, and half a
    # pixel (1/32) of edge, there is nothing.
    ticks = (np.arange(32) + 0.5) / 16 - 1
    radius = np.hypot(ticks[:, None], ticks[None])
    assert (image[:, radius > 0.95 + 0.05 + 1 / 32] == 0).all()
    assert image.max() <= 1
    # A brightness that falls by up to 30 % leaves at least 0.7 of 0.3 where no ellipse lies.
    assert np.quantile(image[:, radius < 0.4], 0.9) > 0.21


def test_a_quarter_of_the_columns_is_kept_and_always_the_middle():
    kept = p.masks(500, np.random.default_rng(0))
    assert (kept.sum(axis=1) == 8).all()
    # Zero frequency and both next to it, always; the others equally often: 5 of 29.
    assert kept[:, [-1, 0, 1]].all()
    assert kept[:, 2:-1].mean(axis=0) == pytest.approx(np.full(29, 5 / 29), abs=0.07)


def test_a_phantom_that_varies_only_downwards_loses_nothing():
    """All of its k-space lies in the column of frequency zero, which is always kept."""
    image = np.repeat(np.linspace(0, 1, 32)[None, :, None], 32, axis=2)
    kspace = np.fft.fft2(image, norm="ortho") * p.masks(1, np.random.default_rng(0))[:, None, :]
    assert np.fft.ifft2(kspace, norm="ortho").real == pytest.approx(image, abs=1e-12)


def test_rows_are_those_of_the_same_phantoms(drawn, rows):
    # Drawn first, from the same seed.
    assert np.abs(rows["targets"] / p.STEPS - np.abs(drawn)).max() <= 0.5 / p.STEPS + 1e-9
    assert rows["inputs"].dtype == rows["targets"].dtype == np.uint8
    similarity = [
        structural_similarity(one / p.STEPS, other / p.STEPS, data_range=other.max() / p.STEPS)
        for one, other in zip(rows["inputs"], rows["targets"], strict=True)
    ]
    # As good as no reconstruction; measured over 512 phantoms: 0.615.
    assert 0.55 < np.mean(similarity) < 0.68


def test_a_batch_is_normalised_by_its_inputs_and_can_be_brought_back(rows):
    batch = {name: np.asarray(a) for name, a in p._normalised(rows).items()}
    inputs = rows["inputs"] / np.float32(p.STEPS)
    assert batch["inputs"].mean(axis=(1, 2)) == pytest.approx(np.zeros(200), abs=1e-5)
    assert batch["mean"] == pytest.approx(inputs.mean(axis=(1, 2)), rel=1e-5)
    assert batch["std"] == pytest.approx(inputs.std(axis=(1, 2)), rel=1e-4)
    back = batch["targets"] * batch["std"][:, None, None] + batch["mean"][:, None, None]
    inside = np.abs(batch["targets"]) < 6
    assert inside.mean() > 0.99
    assert back[inside] == pytest.approx((rows["targets"] / p.STEPS)[inside], abs=1e-5)
    assert batch["volume_max"] == pytest.approx(rows["targets"].max(axis=(1, 2)) / p.STEPS)


@pytest.mark.slow
def test_the_whole_is_what_is_recorded_and_no_phantom_is_in_two_splits():
    splits = p._make()
    assert hash_of(splits) == p.phantoms.sha256
    rows = {split: {row.tobytes() for row in of["targets"]} for split, of in splits.items()}
    assert {len(rows[split]) for split in rows} == {60_000, 512}
    assert rows[Split.EVAL_TRAIN] <= rows[Split.TRAIN]
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not rows[Split(one)] & rows[Split(other)]
