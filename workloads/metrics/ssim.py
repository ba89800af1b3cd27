"""Structural similarity of images.

Wang et al. 2004, doi:10.1109/TIP.2003.819861, with a uniform window of 7 x 7, K1 = 0.01 and
K2 = 0.03, as in scikit-image.
"""

import jax

from algoperf.metric import SumCount
from algoperf.spec import Batch
from workloads.losses import counted
from workloads.models.layers import average_pool

_WINDOW = 7
_K1, _K2 = 0.01, 0.03


def structural_similarity(one: jax.Array, other: jax.Array) -> jax.Array:
    """Mean similarity (batch,) of images (batch, height, width) with a data range of 1."""

    def local_mean(x: jax.Array) -> jax.Array:
        return average_pool(x[..., None], _WINDOW, 1)[..., 0]

    # Sample covariances, as scikit-image's default.
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    means = local_mean(one), local_mean(other)
    variances = [
        unbiased * (local_mean(x * x) - mean * mean)
        for x, mean in zip((one, other), means, strict=True)
    ]
    covariance = unbiased * (local_mean(one * other) - means[0] * means[1])
    c1, c2 = _K1**2, _K2**2
    numerator = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    denominator = (means[0] ** 2 + means[1] ** 2 + c1) * (variances[0] + variances[1] + c2)
    return (numerator / denominator).mean(axis=(1, 2))


def ssim(outputs: jax.Array, batch: Batch) -> SumCount:
    """Similarity of `outputs` and `targets`, both (batch, height, width), in their own units.

    Both are brought back by `mean` and `std`, (batch,); the data range is `volume_max`, (batch,).
    """

    def as_share(x: jax.Array) -> jax.Array:
        mean, std, largest = (batch[name][:, None, None] for name in ("mean", "std", "volume_max"))
        # The similarity is the same in any unit; in this one float32 is exact enough.
        return (x * std + mean) / largest

    return counted(structural_similarity(as_share(outputs), as_share(batch["targets"])), batch)
