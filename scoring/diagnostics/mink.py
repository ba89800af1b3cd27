"""Min-K% Prob: was a text in the training data? From token log-probabilities.

Shi et al. 2024, arXiv:2310.16789: the mean log-probability of the k % least likely tokens. A text
that was trained on has few very unlikely ones, so its score is lower.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from algoperf.errors import UserError
from scoring.diagnostics import plain
from scoring.intervals import Floats

RATIOS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of tokens; 20 % is the usual headline."""
FALSE_POSITIVES = 0.05
REQUIRED = ("model", "sample_id", "token_logprobs")


def score(logprobs: Floats, ratio: float) -> float:
    """-(1 / |E|) * sum of log p over E, the `ratio` least likely tokens.

    At least one token is taken: the released code takes none of a short text and returns NaN.
    """
    size = max(int(len(logprobs) * ratio), 1)
    return float(-np.partition(logprobs, size - 1)[:size].mean())


def read(path: Path) -> pd.DataFrame:
    """Reads a table of token log-probabilities.

    Args:
        path: CSV with `REQUIRED` and maybe `is_member`; token log-probabilities [nats] stand in
            one cell, as a JSON list or with spaces between.

    Returns:
        `model`, `sample_id`, `logprobs` (arrays), `is_member` (NaN if unknown).

    Raises:
        UserError: If a cell is no such list, or holds what is no log-probability.
    """
    table = plain.read(path, REQUIRED)
    parsed = []
    for number, cell in zip(table.index, table["token_logprobs"], strict=True):
        where = f"{path}: token_logprobs in {plain.row(number)}"
        try:
            listed = json.loads(cell) if cell.strip().startswith("[") else cell.split()
            values = np.array(listed, float)
        except ValueError as error:
            raise UserError(f"{where} is no list of numbers.") from error
        if not len(values) or np.isnan(values).any() or (values > 0).any():
            what = "is empty" if not len(values) else "has a value that is NaN or above 0"
            raise UserError(f"{where} {what}.")
        parsed.append(values)
    truths = {"1": 1.0, "true": 1.0, "0": 0.0, "false": 0.0, "": math.nan}
    member = pd.Series("", table.index) if "is_member" not in table else table["is_member"]
    if unknown := sorted(set(member.str.lower()) - set(truths)):
        raise UserError(f"{path}: is_member is {unknown[0]!r}; it is true, false or empty.")
    return table[["model", "sample_id"]].assign(
        logprobs=parsed, is_member=member.str.lower().map(truths).astype(float)
    )


def diagnose(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row a model and ratio: mean score, and how well it tells members from others.

    `auroc` and `tpr_at_5_fpr` where membership is known of both kinds, else NaN.
    """
    rows: list[dict[str, Any]] = []
    if not tables:
        return pd.DataFrame(rows)
    for model, own in pd.concat(tables).groupby("model", sort=False):
        member = own["is_member"].to_numpy(float)
        known = ~np.isnan(member)
        for ratio in RATIOS:
            scores = np.array([score(values, ratio) for values in own["logprobs"]])
            row = {"model": model, "ratio": ratio, "mean_score": float(scores.mean())}
            row |= _separation(-scores[known], member[known])
            rows.append(row | {"n_samples": len(own), "n_labelled": int(known.sum())})
    return pd.DataFrame(rows)


def _separation(likely: Floats, member: Floats) -> dict[str, float]:
    if len(set(member.tolist())) < 2:
        return {"auroc": math.nan, "tpr_at_5_fpr": math.nan}
    fpr, tpr, _ = metrics.roc_curve(member, likely)
    return {
        "auroc": float(metrics.roc_auc_score(member, likely)),
        "tpr_at_5_fpr": float(tpr[fpr <= FALSE_POSITIVES].max()),
    }
