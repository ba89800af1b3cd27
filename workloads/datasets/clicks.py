"""Clicks: which of four million impressions were clicked; about one in nine.

An impression has eight numbers and ten categories of 500 values each, the frequent ones far more
so than the rare. Each value of a category has a hidden vector. The log-odds of a click are a
constant, a weighted sum of the numbers, a bump in two of them, an effect of each category's value,
and, for eight pairs of categories, the product of their hidden vectors: what one category means
depends on another. Nothing else is to be known: the rest is chance.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.data import Arrays
from algoperf.spec import Batch, Split
from workloads.datasets.generated import generated, with_eval_train

NUMBERS, CATEGORIES, VALUES = 8, 10, 500
TABLE_ROWS = CATEGORIES * VALUES

_COUNTS = {Split.TRAIN: 4_000_000, Split.VALIDATION: 16_000, Split.TEST: 16_000}
_PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7), (0, 8), (2, 9), (5, 8), (3, 7))
_HIDDEN = 4
_BASE = -4.2


def log_odds(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Log-odds of a click, (rows,).

    Args:
        numbers: uint8 (rows, 8).
        categories: uint16 (rows, 10).
    """
    rng = np.random.default_rng(31_000)
    weights = rng.uniform(-0.35, 0.35, NUMBERS)
    effects = rng.uniform(-0.7, 0.7, (CATEGORIES, VALUES))
    hidden = rng.uniform(-1.1, 1.1, (CATEGORIES, VALUES, _HIDDEN))
    scaled = numbers / 64 - 2
    odds = np.full(len(numbers), _BASE)
    for place in range(NUMBERS):
        odds += weights[place] * scaled[:, place]
    odds += 1.2 * ((np.abs(scaled[:, 0]) < 0.7) & (np.abs(scaled[:, 1]) < 0.7))
    for place in range(CATEGORIES):
        odds += effects[place, categories[:, place]]
    for one, other in _PAIRS:
        for place in range(_HIDDEN):
            left = hidden[one, categories[:, one], place]
            odds += left * hidden[other, categories[:, other], place]
    return odds


def make(counts: Mapping[Split, int]) -> Mapping[Split, Arrays]:
    """Numbers, categories and clicks of every split; of training also a part to evaluate on."""
    splits: dict[Split, Arrays] = {}
    for number, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng((31_001, number))
        # The sum of two even draws: a triangle, densest in the middle.
        numbers = (rng.integers(0, 128, (2, count, NUMBERS), np.uint8)).sum(0, dtype=np.uint8)
        categories = (VALUES * rng.random((count, CATEGORIES)) ** 3).astype(np.uint16)
        chance = 1 / (1 + np.exp(-log_odds(numbers, categories)))
        clicks = rng.random(count) < chance
        splits[split] = {
            "numbers": numbers,
            "categories": categories,
            "targets": clicks.astype(np.uint8),
        }
    return with_eval_train(splits)


def _prepare(rows: Batch) -> Batch:
    """Numbers about 0 and, exact as floats, row numbers of one table: float32 (batch, 18)."""
    numbers = rows["numbers"].astype(jnp.float32) / 64 - 2
    offsets = np.arange(CATEGORIES, dtype=np.float32) * VALUES
    table_rows = rows["categories"].astype(jnp.float32) + offsets[None]
    inputs = jnp.concatenate([numbers, table_rows], axis=1)
    return {"inputs": inputs, "targets": rows["targets"].astype(jnp.float32)}


clicks = generated(
    "clicks",
    lambda: make(_COUNTS),
    "6686a7cfddf512eb1a093aba8474b44aab018a40a6ef82b3eabeafc68e03cb9a",
    example={
        "numbers": jax.ShapeDtypeStruct((NUMBERS,), np.uint8),
        "categories": jax.ShapeDtypeStruct((CATEGORIES,), np.uint16),
        "targets": jax.ShapeDtypeStruct((), np.uint8),
    },
    prepare=_prepare,
)
"""Inputs float32 (batch, 18), numbers and then row numbers; targets float32 (batch,), 0 or 1."""
