"""Percentile intervals of resampled values (Efron & Tibshirani 1993, chapter 13)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95


def interval(drawn: Floats) -> tuple[Floats, Floats]:
    """Percentile interval at `LEVEL` over the leading dimension; NaN where anything is NaN."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low, high
