import numpy as np
import pytest
from skimage.metrics import structural_similarity as reference

from workloads.metrics.ssim import ssim


def test_it_is_scikit_images_in_the_images_own_units():
    """Two images of fastMRI's magnitude, normalised; the third row is padding, and may be NaN."""
    rng = np.random.default_rng(0)
    targets = rng.gamma(2.0, 1e-5, (3, 24, 20)).astype(np.float32)
    outputs = targets + rng.normal(0, 5e-6, targets.shape).astype(np.float32)
    mean, std = targets.mean((1, 2)), targets.std((1, 2))
    largest = targets.max((1, 2)) * 1.5
    normal = [(x - mean[:, None, None]) / std[:, None, None] for x in (outputs, targets)]
    normal[0][2] = np.nan
    batch = {
        "targets": normal[1],
        "mean": mean,
        "std": std,
        "volume_max": largest,
        "weights": np.array([1, 1, 0], np.float32),
    }
    expected = [
        reference(outputs[k].astype(float), targets[k].astype(float), data_range=largest[k])
        for k in range(2)
    ]
    found = ssim(normal[0], batch)
    assert np.asarray(found.total) == pytest.approx([*expected, 0.0], abs=1e-5)
    assert found.weight.tolist() == [1, 1, 0]
    assert 0.1 < np.mean(expected) < 0.99  # neither alike nor unrelated


def test_an_image_is_itself():
    targets = np.random.default_rng(1).normal(size=(2, 9, 9)).astype(np.float32)
    batch = {"targets": targets} | {k: np.ones(2, np.float32) for k in ("std", "volume_max")}
    batch["mean"] = np.zeros(2, np.float32)
    assert float(ssim(targets, batch).mean) == pytest.approx(1.0, abs=1e-6)
