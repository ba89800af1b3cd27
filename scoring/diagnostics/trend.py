"""Per-choice forecast: the log-likelihood of every choice is extrapolated, then the metric is made.

What Schaeffer et al. 2024, arXiv:2406.04391, section 7, leave open. Every choice has a line
ell_i = a_i + b_i log10 C. Around the predicted vector the choices err together (a model that is
good at all of a question's choices changes no order, and cancels) and each by itself, with a
variance that is estimated by sample and shrunk across samples (Smyth 2004,
doi:10.2202/1544-6115.1027, section 6). Models err together too: that is the width of the interval.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from scoring.diagnostics import chain
from scoring.diagnostics.table import Booleans, Integers
from scoring.intervals import Floats

NODES = 10
"""Gauss-Hermite nodes of the integral over the correct choice's own error."""
DRAWS = 32
"""Antithetic draws for the mean p_choices."""
SEED = 0
FEWEST_MODELS = 3


@dataclass(frozen=True)
class Trend:
    """Lines through the log-likelihoods of every choice.

    Attributes:
        x: log10 of compute of the models they go through.
        intercept: Shape (choices, samples).
        slope: Shape (choices, samples) [nats per decade].
        variance: Of a choice's own error around its line, shrunk, shape (samples,) [nats^2].
        prior_free: Degrees of freedom that the other samples lend to each; inf if all are alike.
        shared: Variance of the error that all samples of a model share, in the margin [nats^2].
        present: Which choices there are, shape (choices, samples).
        gold: The correct choice.
    """

    x: Floats
    intercept: Floats
    slope: Floats
    variance: Floats
    prior_free: float
    shared: float
    present: Booleans
    gold: Integers

    @property
    def free(self) -> int:
        """Degrees of freedom of each line."""
        return len(self.x) - 2

    def leverage(self, x: float) -> float:
        """How much wider an error is at x than at a model: 1 + 1/n + (x - mean)^2 / S_xx."""
        away = self.x - self.x.mean()
        return float(1 + 1 / len(self.x) + (x - self.x.mean()) ** 2 / (away @ away))


@dataclass(frozen=True)
class Predicted:
    """A forecast for one amount of compute.

    Attributes:
        hit: Probability that a sample is answered correctly, shape (samples,).
        p_choices: Expected p_choices of the correct choice, shape (samples,).
        low: Lower end of the 95 % interval of the accuracy.
        high: Upper end.
    """

    hit: Floats
    p_choices: Floats
    low: float
    high: float


def usable(loglik: Floats, present: Booleans) -> Booleans:
    """Samples with a line for every choice: all finite, and at least two choices."""
    finite: Booleans = np.logical_and.reduce(np.isfinite(loglik) | ~present[:, None], axis=(0, 1))
    return finite & (present.sum(axis=0) > 1)


def fit(x: Floats, loglik: Floats, present: Booleans, gold: Integers) -> Trend:
    """Fits the lines.

    Args:
        x: log10 of compute, shape (models,), at least `FEWEST_MODELS` and not constant.
        loglik: Shape (choices, models, samples), of usable samples.
        present: Shape (choices, samples).
        gold: Shape (samples,).
    """
    ell = np.where(present[:, None], loglik, 0.0)
    away = x - x.mean()
    slope = np.einsum("m,kms->ks", away, ell) / (away @ away)
    intercept = ell.mean(axis=1) - slope * x.mean()
    residual = ell - intercept[:, None] - slope[:, None] * x[None, :, None]
    count = present.sum(axis=0)
    # What all choices of a sample share in a model changes no order: it is taken out.
    together = residual.sum(axis=0) / count
    own = np.where(present[:, None], residual - together, 0.0)
    free = (len(x) - 2) * (count - 1)
    variance, prior_free = shrunk((own**2).sum(axis=(0, 1)) / free, free.astype(float))
    of_gold = chain.of_gold(residual, gold)
    of_others = (residual.sum(axis=0) - of_gold) / (count - 1)
    shared = ((of_gold - of_others).mean(axis=1) ** 2).sum() / (len(x) - 2)
    return Trend(x, intercept, slope, variance, prior_free, float(shared), present, gold)


def shrunk(variance: Floats, free: Floats) -> tuple[Floats, float]:
    """Variances moved towards each other, as far as they look like estimates of one.

    Smyth 2004, section 6.2: log s^2 has the variance trigamma(d / 2) + trigamma(d0 / 2), which
    gives the prior's degrees of freedom d0.

    Args:
        variance: Estimates, shape (samples,).
        free: Their degrees of freedom.

    Returns:
        (d0 s0^2 + d s^2) / (d0 + d), and d0.
    """
    positive = variance > 0
    if positive.sum() < 3:
        return variance, 0.0
    z = np.log(variance[positive])
    half = free[positive] / 2
    e = z - special.digamma(half) + np.log(half)
    left = float(e.var(ddof=1) - special.polygamma(1, half).mean())
    if left <= 0:
        return np.full_like(variance, math.exp(e.mean())), math.inf
    half_prior = _inverse_trigamma(left)
    prior = math.exp(e.mean() + float(special.digamma(half_prior)) - math.log(half_prior))
    d0 = 2 * half_prior
    return (d0 * prior + free * variance) / (d0 + free), d0


def _inverse_trigamma(value: float) -> float:
    def gap(log_x: float) -> float:
        return math.log(float(special.polygamma(1, math.exp(log_x)))) - math.log(value)

    return math.exp(float(optimize.brentq(gap, -20.0, 20.0)))


def predict(trend: Trend, x: float) -> Predicted:
    """The forecast at log10 of compute x.

    The interval: the shared error of a model, Student's t with the lines' degrees of freedom,
    moves all margins at once; what chance leaves on these samples is added in quadrature.
    """
    centre = np.where(trend.present, trend.intercept + trend.slope * x, -np.inf)
    wider = trend.leverage(x)
    sd = np.sqrt(trend.variance * wider)
    hit = hit_probability(centre, trend.gold, sd)
    mean = float(hit.mean())
    by_chance = 1.96 * math.sqrt(float((hit * (1 - hit)).sum())) / len(hit)
    shift = float(stats.t.ppf(0.975, trend.free)) * math.sqrt(trend.shared * wider)
    correct = np.arange(len(centre))[:, None] == trend.gold
    ends = [
        float(hit_probability(centre + np.where(correct, sign * shift, 0.0), trend.gold, sd).mean())
        for sign in (-1, 1)
    ]
    return Predicted(
        hit,
        _mean_p_choices(centre, trend.gold, sd),
        max(mean - math.hypot(mean - ends[0], by_chance), 0.0),
        min(mean + math.hypot(ends[1] - mean, by_chance), 1.0),
    )


def hit_probability(centre: Floats, gold: Integers, sd: Floats) -> Floats:
    """P(ell_c > max of the others) where every choice errs by itself with the same sd.

    It is the integral over the correct choice's error z of phi(z) * product of
    Phi((mu_c - mu_i) / sd + z).

    Args:
        centre: Expected log-likelihoods, shape (choices, samples); -inf where there is none.
        gold: Shape (samples,).
        sd: Shape (samples,); with 0 the largest wins, a tie counts a half for each rival.

    Returns:
        Shape (samples,).
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    own = np.take_along_axis(centre, gold[None], axis=0)
    correct = np.arange(len(centre))[:, None] == gold
    apart = np.where(correct, np.inf, own - centre)
    scaled = apart / np.maximum(sd, 1e-9)
    total = np.zeros(centre.shape[1])
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        total += weight * special.ndtr(scaled + node).prod(axis=0)
    return np.clip(total, 0.0, 1.0)


def _mean_p_choices(centre: Floats, gold: Integers, sd: Floats) -> Floats:
    rng = np.random.default_rng(SEED)
    total = np.zeros(centre.shape[1])
    for _ in range(DRAWS // 2):
        noise = rng.standard_normal((len(centre), 1)) * sd
        for sign in (1, -1):
            ell = (centre + sign * noise)[:, None]
            total += chain.p_choices_correct(ell, gold)[0]
    return total / DRAWS
