"""What larger models will do, and how well that could be forecast: backtests beside forecasts.

The largest one or two models are held out, each method sees the others only, and its forecast is
scored. Beside the per-choice forecast stand fits that see a benchmark as one number.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from scoring.diagnostics import chain, curves, laws, trend
from scoring.diagnostics.table import Block, Integers
from scoring.intervals import Floats
from scoring.problems import Problem

HELD_OUT = (1, 2)
"""How many of the largest models a backtest hides."""
BEYOND = 10.0
"""Forecasts without a truth are for this multiple of the largest compute."""
FEWEST_MODELS = 4
"""To forecast at all: three to fit, one to test."""
CLUSTERS = 6
FEWEST_IN_CLUSTER = 10
MOST_CLUSTERED = 2000
EXTRAPOLATED = "of the samples are in clusters that can be extrapolated"
"""What difficulty clusters say of themselves instead of "ok"."""
SEED = 0


@dataclass(frozen=True)
class Target:
    """A model to forecast: its compute, and `parameters` and `tokens` (NaN where unknown)."""

    compute: float
    facts: Floats


@dataclass(frozen=True)
class Seen:
    """What a method may see.

    Attributes:
        block: Of the training models and usable samples.
        accuracy: Of the training models.
        loss: Mean -log p_vocab of the correct choice of the training models [nats].
        facts: `parameters` and `tokens` of the training models, NaN where unknown.
    """

    block: Block
    accuracy: Floats
    loss: Floats
    facts: Floats

    @property
    def compute(self) -> Floats:
        """Of the training models."""
        return self.block.compute

    @property
    def chance(self) -> float:
        """Accuracy of a guess."""
        return float((1 / self.block.present.sum(axis=0)).mean())


@dataclass(frozen=True)
class Forecast:
    """A forecast: accuracy with its 95 % interval; by sample where the method has it."""

    accuracy: float
    low: float = math.nan
    high: float = math.nan
    hit: Floats | None = None
    p_choices: float = math.nan
    status: str = "ok"


Forecaster = Callable[[Target], Forecast]
"""A method that has seen its training models."""


def per_choice(seen: Seen) -> Forecaster:
    """Lines through every choice's log-likelihood; see `trend`."""
    block = seen.block
    lines = trend.fit(np.log10(seen.compute), block.loglik, block.present, block.gold)
    status = "ok" if lines.free >= curves.ENOUGH_FREE else curves.too_few(lines.free)

    def forecast(target: Target) -> Forecast:
        found = trend.predict(lines, math.log10(target.compute))
        mean, p = float(found.hit.mean()), float(found.p_choices.mean())
        return Forecast(mean, found.low, found.high, found.hit, p, status)

    return forecast


def _forecast(fit: curves.Fit, x: float, *, error: bool = False) -> Forecast:
    """A curve's forecast; of an error it is turned round."""
    if not np.isfinite(fit.estimate).all():
        return Forecast(math.nan, status=fit.status)
    point = np.array([[x]])
    value, (low, high) = float(fit.at(point)[0]), fit.interval(point)
    if error:
        value, low, high = 1 - value, 1 - high, 1 - low
    bound = [float(np.clip(v, 0, 1)) for v in (value, low, high)]
    return Forecast(bound[0], bound[1], bound[2], status=fit.status)


def logistic_fit(seen: Seen) -> curves.Fit:
    x = np.log10(seen.compute)[:, None]
    curve = laws.logistic(seen.chance, float(x.min()), float(x.max()))
    return curves.fit(curve, x, seen.accuracy)


def logistic(seen: Seen) -> Forecaster:
    """Accuracy from chance to 1 over log compute."""
    fit = logistic_fit(seen)
    return lambda target: _forecast(fit, math.log10(target.compute))


def error_power_fit(seen: Seen) -> curves.Fit:
    x = (seen.compute / laws.centre(seen.compute))[:, None]
    return curves.fit(laws.ERROR_POWER, x, 1 - seen.accuracy)


def error_power(seen: Seen) -> Forecaster:
    """Error as a power of compute."""
    fit, scale = error_power_fit(seen), laws.centre(seen.compute)
    return lambda target: _forecast(fit, target.compute / scale, error=True)


def gadre_fits(seen: Seen) -> tuple[curves.Fit, curves.Fit, Callable[[Target], Floats]]:
    """Loss from N and D (from C where those do not both vary), error from loss.

    Returns:
        Both fits, and from a target the point to take the loss at, shape (1, columns).
    """
    if _vary(seen.facts):
        scale = np.array([laws.centre(column) for column in seen.facts.T])
        loss = curves.fit(laws.GADRE_LOSS, seen.facts / scale, seen.loss, resamples=0)

        def point(target: Target) -> Floats:
            return (target.facts / scale)[None]

    else:
        middle = laws.centre(seen.compute)
        loss = curves.fit(laws.LOSS_POWER, (seen.compute / middle)[:, None], seen.loss, resamples=0)

        def point(target: Target) -> Floats:
            return np.array([[target.compute / middle]])

    spread = max(float(np.ptp(seen.loss)), 1e-9)
    x = (seen.loss - seen.loss.mean())[:, None]
    return loss, curves.fit(laws.gadre_error(spread), x, 1 - seen.accuracy), point


def _vary(facts: Floats) -> bool:
    return bool((facts > 0).all() and (np.ptp(facts, axis=0) > 0).all())


def gadre(seen: Seen) -> Forecaster:
    """Error from loss, loss from size and data. Its interval takes the loss for granted."""
    loss, error, point = gadre_fits(seen)

    def forecast(target: Target) -> Forecast:
        predicted = float(loss.at(point(target))[0]) - float(seen.loss.mean())
        if math.isnan(predicted):
            return Forecast(math.nan, status=f"loss: {loss.status}")
        found = _forecast(error, predicted, error=True)
        of = {"loss": loss.status, "error": error.status}
        unsound = [f"{name}: {status}" for name, status in of.items() if status != "ok"]
        return replace(found, status="; ".join(unsound) or "ok")

    return forecast


def isik_fit(seen: Seen) -> curves.Fit | None:
    """None where the number of training tokens is not known or does not vary."""
    tokens = seen.facts[:, 1]
    if not ((tokens > 0).all() and np.ptp(tokens) > 0):
        return None
    x = np.log(tokens)
    return curves.fit(laws.isik(float(x.min())), x[:, None], seen.accuracy)


def isik(seen: Seen) -> Forecaster | None:
    """Accuracy as a power of the logarithm of tokens."""
    fit = isik_fit(seen)
    return None if fit is None else lambda target: _forecast(fit, math.log(target.facts[1]))


def cod(seen: Seen) -> Forecaster:
    """Difficulty clusters: samples that the training models find alike are extrapolated together.

    Xu et al. 2025, arXiv:2502.17262. Clusters are k-means on p_choices, where the paper has pass
    rates and a bounded mean shift. A cluster that is not extrapolatable (b <= 0.1) keeps the
    accuracy of the largest training model, where the paper maps the predictable part to the whole.
    """
    block = seen.block
    hits = chain.accuracy(block.loglik, block.gold)
    labels = _clusters(chain.p_choices_correct(block.loglik, block.gold).T)
    scale = laws.centre(seen.compute)
    x = (seen.compute / scale)[:, None]
    parts: list[tuple[int, Callable[[Floats], float]]] = []
    extrapolated, free = 0, 0
    for k in np.unique(labels):
        own = labels == k
        size = int(own.sum())
        chance = float((1 / block.present[:, own].sum(axis=0)).mean())
        fit = curves.fit(laws.cod(chance), x, hits[:, own].mean(axis=1), resamples=0, polish=False)
        free = fit.free
        sure = np.isfinite(fit.estimate).all() and fit.estimate[1] > 0.1
        if sure and size >= FEWEST_IN_CLUSTER:
            parts.append((size, partial(_at, fit)))
            extrapolated += size
        else:
            parts.append((size, partial(_last, float(hits[-1, own].mean()))))
    share = extrapolated / len(labels)
    status = f"{share:.0%} {EXTRAPOLATED}"
    if free < curves.ENOUGH_FREE:
        status += f"; {curves.too_few(free)}"

    def forecast(target: Target) -> Forecast:
        at = np.array([[target.compute / scale]])
        total = sum(size * part(at) for size, part in parts)
        return Forecast(total / len(labels), status=status)

    return forecast


def _at(fit: curves.Fit, x: Floats) -> float:
    return float(np.clip(fit.at(x)[0], 0, 1))


def _last(value: float, x: Floats) -> float:
    return value


def _clusters(points: Floats) -> Integers:
    """k-means, found on evenly spaced samples where there are many."""
    count = int(np.clip(len(points) // (2 * FEWEST_IN_CLUSTER), 1, CLUSTERS))
    few = points[:: max(len(points) // MOST_CLUSTERED, 1)]
    return np.asarray(KMeans(count, random_state=SEED).fit(few).predict(points), np.intp)


METHODS: dict[str, Callable[[Seen], Forecaster | None]] = {
    "per_choice": per_choice,
    "logistic": logistic,
    "error_power": error_power,
    "gadre": gadre,
    "isik": isik,
    "cod": cod,
}


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
    if len(places) == 0 or len(set(block.compute[places].tolist())) < FEWEST_MODELS:
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
        if keep < trend.FEWEST_MODELS or np.ptp(whole.compute[:keep]) == 0:
            continue
        seen = _seen(whole, known, keep)
        tests = [
            _Test(whole.models[k], Target(float(whole.compute[k]), known[k]), hits[k], p[k])
            for k in range(keep, len(places))
        ]
        rows += list(_rows(seen, tests, hidden))
    seen = _seen(whole, known, len(places))
    ahead = Target(float(whole.compute[-1]) * BEYOND, _grown(known))
    rows += list(_rows(seen, [_Test(f"{BEYOND:g} x the largest compute", ahead)], 0))
    return pd.DataFrame(rows), _fits(seen)


@dataclass(frozen=True)
class _Test:
    """A model to forecast, and the truth where there is one."""

    model: str
    target: Target
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


def _seen(block: Block, known: Floats, keep: int) -> Seen:
    trained = _part(block, np.arange(keep), np.ones(len(block.gold), bool))
    return Seen(
        block=trained,
        accuracy=chain.accuracy(trained.loglik, trained.gold).mean(axis=1),
        loss=-chain.log_p_vocab_correct(trained.loglik, trained.gold).mean(axis=1),
        facts=known[:keep],
    )


def _rows(seen: Seen, tests: Sequence[_Test], hidden: int) -> Iterator[dict[str, Any]]:
    for name, method in METHODS.items():
        forecaster = method(seen)
        if forecaster is None:
            continue
        for test in tests:
            found = forecaster(test.target)
            row = {
                "family": seen.block.family, "task": seen.block.task, "method": name,
                "kind": "backtest" if hidden else "forecast", "held_out": hidden,
                "model": test.model, "compute": test.target.compute,
                "accuracy": found.accuracy, "low": found.low, "high": found.high,
                "p_choices": found.p_choices,
                "actual": math.nan if test.hits is None else float(test.hits.mean()),
                "p_choices_actual":
                    math.nan if test.p_choices is None else float(test.p_choices.mean()),
                "n_train": len(seen.compute), "n_samples": len(seen.block.gold),
                "status": found.status,
            }  # fmt: skip
            yield row | _scored(found, test.hits)


def _scored(found: Forecast, hits: Floats | None) -> dict[str, Any]:
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


def _fits(seen: Seen) -> pd.DataFrame:
    """The fits to all models, with every parameter and its interval."""
    loss, error, _ = gadre_fits(seen)
    found = [logistic_fit(seen), error_power_fit(seen), loss, error, isik_fit(seen)]
    rows = []
    for fit in found:
        if fit is None:
            continue
        names = fit.curve.parameters
        ends = (
            np.quantile(fit.draws, [0.025, 0.975], axis=0)
            if len(fit.draws)
            else np.full((2, len(names)), np.nan)
        )
        rows.append(
            {
                "family": seen.block.family, "task": seen.block.task, "curve": fit.curve.name,
                "formula": fit.curve.formula,
                "parameters": dict(zip(names, fit.estimate.tolist(), strict=True)),
                "low": dict(zip(names, ends[0].tolist(), strict=True)),
                "high": dict(zip(names, ends[1].tolist(), strict=True)),
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
    return status == "ok" or status.endswith(EXTRAPOLATED)
