"""How accurate a larger model will be: per-choice trends, and fits that see one number.

A method sees the models that it may train on, and gives back a function that forecasts any other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.cluster import KMeans

from scoring.diagnostics import chain, curves, laws, trend
from scoring.diagnostics.table import Block, Integers
from scoring.intervals import Floats

CLUSTERS = 6
FEWEST_IN_CLUSTER = 10
MOST_CLUSTERED = 2000
LEAST_EXPONENT = 0.1
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


@dataclass(frozen=True)
class Forecaster:
    """A method that has seen its training models.

    Attributes:
        at: Forecasts any other model.
        fits: The curves that it goes by.
    """

    at: Callable[[Target], Forecast]
    fits: Sequence[curves.Fit] = ()


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

    return Forecaster(forecast)


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


def logistic(seen: Seen) -> Forecaster:
    """Accuracy from chance to 1 over log compute."""
    x = np.log10(seen.compute)[:, None]
    fit = curves.fit(laws.logistic(seen.chance, float(x.min()), float(x.max())), x, seen.accuracy)
    return Forecaster(lambda target: _forecast(fit, math.log10(target.compute)), [fit])


def error_power(seen: Seen) -> Forecaster:
    """Error as a power of compute."""
    scale = laws.centre(seen.compute)
    fit = curves.fit(laws.ERROR_POWER, (seen.compute / scale)[:, None], 1 - seen.accuracy)
    return Forecaster(lambda target: _forecast(fit, target.compute / scale, error=True), [fit])


def _loss_fit(seen: Seen) -> tuple[curves.Fit, Callable[[Target], Floats]]:
    """Loss from N and D, from C if those do not both vary; where to take it for a target."""
    if _vary(seen.facts):
        scale = np.array([laws.centre(column) for column in seen.facts.T])
        loss = curves.fit(laws.GADRE_LOSS, seen.facts / scale, seen.loss)

        def point(target: Target) -> Floats:
            return (target.facts / scale)[None]

    else:
        middle = laws.centre(seen.compute)
        loss = curves.fit(laws.LOSS_POWER, (seen.compute / middle)[:, None], seen.loss)

        def point(target: Target) -> Floats:
            return np.array([[target.compute / middle]])

    return loss, point


def _vary(facts: Floats) -> bool:
    return bool((facts > 0).all() and (np.ptp(facts, axis=0) > 0).all())


def gadre(seen: Seen) -> Forecaster:
    """Error from loss, loss from size and data. Its interval takes the loss for granted."""
    loss, point = _loss_fit(seen)
    spread = max(float(np.ptp(seen.loss)), 1e-9)
    x = (seen.loss - seen.loss.mean())[:, None]
    error = curves.fit(laws.gadre_error(spread), x, 1 - seen.accuracy)

    def forecast(target: Target) -> Forecast:
        predicted = float(loss.at(point(target))[0]) - float(seen.loss.mean())
        if math.isnan(predicted):
            return Forecast(math.nan, status=f"loss: {loss.status}")
        found = _forecast(error, predicted, error=True)
        of = {"loss": loss.status, "error": error.status}
        unsound = [f"{name}: {status}" for name, status in of.items() if status != "ok"]
        return replace(found, status="; ".join(unsound) or "ok")

    return Forecaster(forecast, [loss, error])


def isik(seen: Seen) -> Forecaster | None:
    """Accuracy as a power of log tokens; None if those are not known or do not vary."""
    tokens = seen.facts[:, 1]
    if not ((tokens > 0).all() and np.ptp(tokens) > 0):
        return None
    x = np.log(tokens)
    fit = curves.fit(laws.isik(float(x.min())), x[:, None], seen.accuracy)
    return Forecaster(lambda target: _forecast(fit, math.log(target.facts[1])), [fit])


def cod(seen: Seen) -> Forecaster:
    """Difficulty clusters: samples that the training models find alike are extrapolated together.

    Xu et al. 2025, arXiv:2502.17262. Clusters are k-means on p_choices, where the paper has pass
    rates and a bounded mean shift. A cluster that is not extrapolatable (b <= 0.1) keeps the
    accuracy of the largest training model, where the paper maps the predictable part to the whole.
    The first cluster is the hardest.
    """
    block = seen.block
    hits = chain.accuracy(block.loglik, block.gold)
    labels = _clusters(chain.p_choices_correct(block.loglik, block.gold).T)
    scale = laws.centre(seen.compute)
    x = (seen.compute / scale)[:, None]
    clusters = [labels == k for k in np.unique(labels)]
    clusters.sort(key=lambda own: float(hits[:, own].mean()))
    parts: list[_Cluster] = []
    for place, own in enumerate(clusters, 1):
        chance = float((1 / block.present[:, own].sum(axis=0)).mean())
        curve = replace(laws.cod(chance), name=f"cod_{place}_of_{len(clusters)}")
        fit = curves.fit(curve, x, hits[:, own].mean(axis=1))
        parts.append(_Cluster(int(own.sum()), fit))
    share = sum(part.size for part in parts if not part.kept) / len(labels)
    status = f"{share:.0%} {EXTRAPOLATED}"
    if (free := parts[0].fit.free) < curves.ENOUGH_FREE:
        status += f"; {curves.too_few(free)}"

    def forecast(target: Target) -> Forecast:
        at = np.array([[target.compute / scale]])
        return Forecast(sum(part.size * part.at(at) for part in parts) / len(labels), status=status)

    return Forecaster(forecast, [part.told for part in parts])


@dataclass(frozen=True)
class _Cluster:
    """Samples that are extrapolated together."""

    size: int
    fit: curves.Fit

    @property
    def kept(self) -> str:
        """Why it keeps the accuracy of the largest training model; "" where it need not."""
        if np.isnan(self.fit.estimate).any():
            return self.fit.status
        if self.size < FEWEST_IN_CLUSTER:
            return f"{self.size} samples: not extrapolated"
        if self.fit.estimate[1] <= LEAST_EXPONENT:
            return f"b <= {LEAST_EXPONENT:g}: not extrapolated"
        return ""

    @property
    def told(self) -> curves.Fit:
        """The fit, with a status that says whether it is used."""
        if self.kept in {"", self.fit.status}:
            return self.fit
        both = [text for text in (self.fit.status, self.kept) if text != "ok"]
        return replace(self.fit, status="; ".join(both))

    def at(self, x: Floats) -> float:
        """Accuracy at compute x, shape (1, 1)."""
        return float(self.fit.y[-1] if self.kept else np.clip(self.fit.at(x)[0], 0, 1))


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
