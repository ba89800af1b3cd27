"""How accurate a larger model will be: per-choice trends, and fits that see one number.

A method sees the models that it may train on, and gives back a function that forecasts any other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sklearn.cluster import KMeans

from scoring.diagnostics import chain, curves, laws, trend
from scoring.diagnostics.table import Block, Integers
from scoring.intervals import Floats

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
    """A forecast: accuracy with its 95 % interval; by sample, and p_choices, if it has them."""

    accuracy: float
    low: float = math.nan
    high: float = math.nan
    hit: Floats | None = None
    p_choices: float = math.nan
    p_choices_low: float = math.nan
    p_choices_high: float = math.nan
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
        return Forecast(
            mean, *found.accuracy_interval, found.hit, p, *found.p_choices_interval, status
        )

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
