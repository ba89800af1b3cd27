"""Synthetic families with a known truth, and tidy tables of them."""

import numpy as np
import pandas as pd

from scoring.diagnostics.table import Block


def tidy(loglik, gold, *, family="glyph", task="letters", compute=None, **extra) -> pd.DataFrame:
    """A tidy table of log-likelihoods of shape (models, samples, choices)."""
    loglik = np.asarray(loglik, float)
    models = len(loglik)
    compute = 10.0 ** (18 + np.arange(models)) if compute is None else np.asarray(compute)
    m, s, c = (place.ravel() for place in np.indices(loglik.shape))
    frame = pd.DataFrame(
        {
            "family": family,
            "model": [f"{family}-{k}" for k in m],
            "compute": compute[m],
            "task": task,
            "sample_id": [f"s{k}" for k in s],
            "choice_idx": c,
            "loglik_sum": loglik.ravel(),
            "is_gold": c == np.asarray(gold)[s],
        }
    )
    for name, values in extra.items():
        frame[name] = np.broadcast_to(values, loglik.shape).ravel()
    return frame


def independent(models=6, samples=40, choices=4, seed=0):
    """Choices that know nothing of each other nor of compute: (loglik, gold)."""
    rng = np.random.default_rng(seed)
    return -np.abs(rng.normal(20, 5, (models, samples, choices))), rng.integers(
        choices, size=samples
    )


def trend(models=6, samples=40, choices=4, slope=2.0, edge=1.0, noise=0.3, seed=0):
    """All choices rise by `slope` nats a decade of compute, the gold one by `edge` more."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(choices, size=samples)
    start = -30 + rng.normal(0, 3, (1, samples, choices))
    each = slope + edge * (np.arange(choices) == gold[:, None])
    decades = np.arange(models)[:, None, None]
    return start + each * decades + rng.normal(0, noise, (models, samples, choices)), gold


def block(loglik, gold, *, present=None, compute=None, extra=None) -> Block:
    """A block of log-likelihoods of shape (models, samples, choices), as `tidy` has them."""
    loglik = np.asarray(loglik, float)
    models, samples, choices = loglik.shape
    there = np.ones((samples, choices), bool) if present is None else np.asarray(present, bool)
    return Block(
        family="glyph",
        task="letters",
        models=tuple(f"glyph-{k}" for k in range(models)),
        compute=10.0 ** (18 + np.arange(models)) if compute is None else np.asarray(compute, float),
        samples=np.array([f"s{k}" for k in range(samples)], object),
        loglik=np.ascontiguousarray(loglik.transpose(2, 0, 1)),
        present=there.T,
        gold=np.asarray(gold),
        extra=extra or {},
    )
