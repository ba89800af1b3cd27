"""Handwritten digits whose training data change: 0 to 4 for a third of the step hint, then all.

For algorithms that continue training on new data (Gupta et al. 2023, arXiv:2308.04014); not among
the workloads that are scored. It is evaluated on all digits throughout.
"""

from dataclasses import replace

import numpy as np

from algoperf.data import Arrays, Phase
from algoperf.workload import numbers
from workloads.datasets.digits import shifted_digits
from workloads.digits_vit import digits_vit


def _low(arrays: Arrays) -> np.ndarray:
    return np.flatnonzero(arrays["targets"] < 5)


def _all(arrays: Arrays) -> np.ndarray:
    return np.arange(len(arrays["targets"]))


digits_continued = replace(
    digits_vit,
    **numbers("quick", "digits_continued"),
    dataset=replace(
        shifted_digits, name="digits, changing", phases=(Phase(0, _low), Phase(25_600, _all))
    ),
)
