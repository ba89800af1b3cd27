"""Does a model know what it has seen more often? Accuracy against the frequency of concepts.

Udandarao et al. 2024, arXiv:2404.04125: accuracy is log-linear in concept frequency. What is done
with concepts that were never seen changes the result, and so does pooling concepts of unlike data
sets: every choice is a row of its own.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from algoperf.errors import UserError
from scoring.diagnostics import plain
from scoring.intervals import Floats

REQUIRED = ("concept", "frequency", "accuracy")
POLICIES = ("drop_zeros", "add_one")
"""Concepts of frequency 0 are left out, or 1 is added to every frequency."""


def read(path: Path) -> pd.DataFrame:
    """Reads a table with `REQUIRED` and maybe `dataset` and `model`.

    Raises:
        UserError: If a frequency is negative or something is no number.
    """
    table = plain.read(path, REQUIRED)
    for name in ("frequency", "accuracy"):
        values = pd.to_numeric(table[name], errors="coerce")
        wrong = ~np.isfinite(values) | (values < 0)
        if wrong.any():
            row = table[wrong].iloc[0]
            raise UserError(
                f"{path}: {name} of {row['concept']!r} is {row[name]!r} in "
                f"{plain.row(table.index[wrong][0])}; it is a number of at least 0."
            )
        table[name] = values.astype(float)
    for name in ("dataset", "model"):
        table[name] = table[name].astype(str) if name in table else ""
    return table[["model", "dataset", *REQUIRED]]


def diagnose(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row a model, policy and pooling: slope per decade of frequency, Pearson's r, its p.

    `pooling` is `pooled`, or `within` where each data set has an intercept of its own (n less
    their number are its degrees of freedom).
    """
    rows: list[dict[str, Any]] = []
    if not tables:
        return pd.DataFrame(rows)
    for model, own in pd.concat(tables).groupby("model", sort=False):
        for policy in POLICIES:
            kept = own[own["frequency"] > 0] if policy == "drop_zeros" else own
            x = np.log10(kept["frequency"].to_numpy(float) + (policy == "add_one"))
            y = kept["accuracy"].to_numpy(float)
            groups = kept["dataset"].to_numpy()
            sets = len(set(groups.tolist()))
            for pooling in ("pooled", "within") if sets > 1 else ("pooled",):
                parts = (x, y) if pooling == "pooled" else (_within(x, groups), _within(y, groups))
                free = len(x) - 1 - (sets if pooling == "within" else 1)
                rows.append(
                    {"model": model, "policy": policy, "pooling": pooling}
                    | _line(*parts, free)
                    | {"n": len(kept), "n_zero": int((own["frequency"] == 0).sum()),
                       "n_datasets": sets}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _within(values: Floats, groups: np.ndarray) -> Floats:
    """Values less their group's mean."""
    return values - pd.Series(values).groupby(groups).transform("mean").to_numpy()


def _line(x: Floats, y: Floats, free: int) -> dict[str, float]:
    """Slope, Pearson's r, and the two-sided p of Student's t with `free` degrees of freedom."""
    x, y = x - x.mean(), y - y.mean()
    if free < 1 or not (x @ x > 0 and y @ y > 0):
        return {"slope": math.nan, "r": math.nan, "p_value": math.nan}
    r = float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1, 1))
    t = r * math.sqrt(free / (1 - r * r)) if abs(r) < 1 else math.inf
    return {
        "slope": float(x @ y / (x @ x)),
        "r": r,
        "p_value": float(2 * stats.t.sf(abs(t), free)),
    }
