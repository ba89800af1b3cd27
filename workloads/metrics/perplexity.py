"""Perplexity of a language model."""

from functools import partial

import numpy as np

from algoperf.metric import Metric, SumCount, ratio
from workloads.losses import token_cross_entropy


def _exponential(totals: SumCount) -> float:
    with np.errstate(over="ignore"):  # an untrained model may be infinitely perplexed
        return float(np.exp(ratio(totals)))


perplexity = Metric(partial(token_cross_entropy, padded=False), finish=_exponential)
"""exp of the mean cross-entropy in nats of a token; every token counts, also token 0."""
