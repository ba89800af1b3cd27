"""What larger models will do, and how well that could be forecast: backtests beside forecasts.

The largest one or two models are held out, each of `methods` sees the others only, and its forecast
is scored.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scoring.diagnostics import chain, methods, trend
from scoring.diagnostics.table import Block, Integers
from scoring.intervals import Floats
from scoring.problems import Problem

HELD_OUT = (1, 2)
"""How many of the largest models a backtest hides."""
BEYOND = 10.0
"""Forecasts without a truth are for this multiple of the largest compute."""
FEWEST_MODELS = 4
"""To forecast at all: three to fit, one to test."""


def of_block(
    block: Block, facts: pd.DataFrame, problems: list[Problem]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Backtests, a forecast for `BEYOND` times the largest compute, and the fits to all models.

    Args:
        block: One family and task.
        facts: `parameters` and `tokens`, index (family, model).
        problems: Where what cannot be done is told.

    Returns:
        Forecasts, one row a method, training set and model; fits, one row a curve.
    """
    places = block.with_compute()
    if len(set(np.log10(block.compute[places]).tolist())) < FEWEST_MODELS:
        if len(places):
            what = f"fewer than {FEWEST_MODELS} models of unlike compute"
            problems.append(Problem(block.where, what, "did no forecast"))
        return pd.DataFrame(), pd.DataFrame()
    samples = trend.usable(block.loglik[:, places], block.present)
    if not samples.any():
        problems.append(Problem(block.where, "no sample has finite choices", "did no forecast"))
        return pd.DataFrame(), pd.DataFrame()
    if (aside := int((~samples).sum())) > 0:
        what = f"{aside} samples have one choice or an impossible one"
        problems.append(Problem(block.where, what, "left them out of the forecast"))
    known = np.array([_facts(facts, block, k) for k in places])
    whole = _part(block, places, samples)
    hits = chain.accuracy(whole.loglik, whole.gold)
    p = chain.p_choices_correct(whole.loglik, whole.gold)
    rows = []
    for hidden in HELD_OUT:
        keep = len(places) - hidden
        if keep < trend.FEWEST_MODELS or np.ptp(np.log10(whole.compute[:keep])) == 0:
            continue
        seen = _seen(whole, known, keep)
        tests = [
            _Test(whole.models[k], methods.Target(float(whole.compute[k]), known[k]), hits[k], p[k])
            for k in range(keep, len(places))
        ]
        rows += _rows(seen, _methods(seen), tests, hidden)
    seen = _seen(whole, known, len(places))
    ahead = methods.Target(float(whole.compute[-1]) * BEYOND, _grown(known))
    found = _methods(seen)
    rows += _rows(seen, found, [_Test(f"{BEYOND:g} x the largest compute", ahead)], 0)
    return pd.DataFrame(rows), _fits(seen, found)


@dataclass(frozen=True)
class _Test:
    """A model to forecast, and the truth where there is one."""

    model: str
    target: methods.Target
    hits: Floats | None = None
    p_choices: Floats | None = None


def _facts(facts: pd.DataFrame, block: Block, place: int) -> list[float]:
    key = (block.family, block.models[place])
    return [float(facts[name].get(key, math.nan)) for name in ("parameters", "tokens")]


def _grown(known: Floats) -> Floats:
    """Parameters and tokens of a model with `BEYOND` times the compute, both grown alike."""
    return known[-1] * math.sqrt(BEYOND)


def _part(block: Block, places: Integers, samples: np.ndarray) -> Block:
    return Block(
        block.family, block.task, tuple(block.models[k] for k in places), block.compute[places],
        block.samples[samples], np.ascontiguousarray(block.loglik[:, places][:, :, samples]),
        block.present[:, samples], block.gold[samples],
    )  # fmt: skip


def _seen(block: Block, known: Floats, keep: int) -> methods.Seen:
    trained = _part(block, np.arange(keep), np.ones(len(block.gold), bool))
    return methods.Seen(
        block=trained,
        accuracy=chain.accuracy(trained.loglik, trained.gold).mean(axis=1),
        loss=-chain.log_p_vocab_correct(trained.loglik, trained.gold).mean(axis=1),
        facts=known[:keep],
    )


def _methods(seen: methods.Seen) -> dict[str, methods.Forecaster]:
    """By name, those that can be used."""
    found = {name: method(seen) for name, method in methods.METHODS.items()}
    return {name: method for name, method in found.items() if method is not None}


def _rows(
    seen: methods.Seen,
    forecasters: dict[str, methods.Forecaster],
    tests: Sequence[_Test],
    hidden: int,
) -> Iterator[dict[str, Any]]:
    for name, forecaster in forecasters.items():
        for test in tests:
            found = forecaster.at(test.target)
            row = {
                "family": seen.block.family, "task": seen.block.task, "method": name,
                "kind": "backtest" if hidden else "forecast", "held_out": hidden,
                "model": test.model, "compute": test.target.compute,
                "accuracy": found.accuracy, "low": found.low, "high": found.high,
                "p_choices": found.p_choices, "p_choices_low": found.p_choices_low,
                "p_choices_high": found.p_choices_high,
                "actual": math.nan if test.hits is None else float(test.hits.mean()),
                "p_choices_actual":
                    math.nan if test.p_choices is None else float(test.p_choices.mean()),
                "n_train": len(seen.compute), "n_samples": len(seen.block.gold),
                "status": found.status,
            }  # fmt: skip
            yield row | _scored(found, test.hits)


def _scored(found: methods.Forecast, hits: Floats | None) -> dict[str, Any]:
    """How good the forecast was: absolute error, mean log score in nats, whether covered.

    The log score of a method without forecasts by sample takes its accuracy for each.
    """
    if hits is None or math.isnan(found.accuracy):
        return {"absolute_error": math.nan, "log_score": math.nan, "covered": None}
    p = np.full(len(hits), found.accuracy) if found.hit is None else found.hit
    p = np.clip(p, 1e-6, 1 - 1e-6)
    actual = float(hits.mean())
    return {
        "absolute_error": abs(found.accuracy - actual),
        "log_score": float((hits * np.log(p) + (1 - hits) * np.log(1 - p)).mean()),
        "covered": None if math.isnan(found.low) else found.low <= actual <= found.high,
    }


def _fits(seen: methods.Seen, forecasters: dict[str, methods.Forecaster]) -> pd.DataFrame:
    """The curves with every parameter and its interval, NaN without degrees of freedom."""
    rows = []
    for fit in (fit for forecaster in forecasters.values() for fit in forecaster.fits):
        values = dict(zip(("parameters", "low", "high"), [fit.estimate, *fit.ends()], strict=True))
        rows.append(
            {
                "family": seen.block.family, "task": seen.block.task, "curve": fit.curve.name,
                "formula": fit.curve.formula,
                **{
                    name: dict(zip(fit.curve.parameters, own.tolist(), strict=True))
                    for name, own in values.items()
                },
                "rmse": fit.rmse, "n_points": fit.n_points, "n_parameters": fit.curve.fitted,
                "degrees_of_freedom": fit.free, "status": fit.status,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def backtests(forecasts: pd.DataFrame) -> pd.DataFrame:
    """How each method did over all tasks: mean absolute error, log score, coverage.

    `status` is "ok", or what the fits of most of its forecasts have to be excused with, and
    `n_unsound` for how many that is.
    """
    if forecasts.empty:
        return pd.DataFrame()
    tested = forecasts[(forecasts["kind"] == "backtest") & forecasts["absolute_error"].notna()]
    rows = [
        {
            "family": family, "method": method, "held_out": hidden,
            "mae": own["absolute_error"].mean(), "log_score": own["log_score"].mean(),
            "coverage": own["covered"].dropna().astype(float).mean(), "n_forecasts": len(own),
            "n_train": int(own["n_train"].min()), **_soundness(own["status"]),
        }
        for (family, method, hidden), own in tested.groupby(
            ["family", "method", "held_out"], sort=False
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _soundness(statuses: pd.Series) -> dict[str, Any]:
    unsound = statuses[~statuses.map(sound)]
    status = statuses.mode().iloc[0] if unsound.empty else unsound.mode().iloc[0]
    return {"n_unsound": len(unsound), "status": str(status)}


def sound(status: str) -> bool:
    """Whether a method has nothing to excuse itself with."""
    return status == "ok" or status.endswith(methods.EXTRAPOLATED)
