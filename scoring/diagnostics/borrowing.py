"""What the samples of a task lend each other: variances and lines, by empirical Bayes.

A sample has a handful of models, a task has thousands of samples. So what is estimated for one
sample is moved towards what the others say, as far as they look alike.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from scoring.intervals import Floats


def shrunk(variance: Floats, free: Floats) -> tuple[Floats, float]:
    """Variances moved towards each other, as far as they look like estimates of one.

    Smyth 2004, doi:10.2202/1544-6115.1027, section 6.2: log s^2 has the variance
    trigamma(d / 2) + trigamma(d0 / 2), which gives the prior's degrees of freedom d0.

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


@dataclass(frozen=True)
class Design:
    """Where lines are fitted.

    Attributes:
        x: Shape (models,), not constant.
    """

    x: Floats

    @property
    def free(self) -> int:
        """Degrees of freedom of a line."""
        return len(self.x) - 2

    @property
    def whitened(self) -> Floats:
        """Takes values at `x` to level and slope in units of their standard errors, shape (2, n).

        The level is that at the mean of x. With errors of variance 1 both have variance 1 and are
        independent: the rows are orthonormal.
        """
        away = self.x - self.x.mean()
        return np.stack([np.full(len(self.x), len(self.x) ** -0.5), away / math.sqrt(away @ away)])

    def at(self, x: float) -> Floats:
        """What a whitened level and slope are multiplied with to have the line at x, shape (2,)."""
        away = self.x - self.x.mean()
        return np.array([len(self.x) ** -0.5, (x - self.x.mean()) / math.sqrt(away @ away)])


@dataclass(frozen=True)
class Lines:
    """Lines that have borrowed from each other, in coordinates where their two errors part.

    Attributes:
        axes: Whitened (level, slope) of each coordinate, orthonormal columns, shape (2, 2).
        mean: The coordinates, shape (2, ..., samples).
        variance: What is not known of them, shape (2, samples).
    """

    axes: Floats
    mean: Floats
    variance: Floats

    def at(self, h: Floats) -> tuple[Floats, Floats]:
        """Centre, shape (..., samples), and variance, shape (samples,), at `Design.at(x)`."""
        along = self.axes.T @ h
        return np.tensordot(along, self.mean, 1), along**2 @ self.variance


def borrowed(estimate: Floats, variance: Floats, centre: Floats, free: Floats) -> Lines:
    """Posterior of lines under a normal prior that is estimated from all of them.

    The prior's covariance is by the method of moments: that of the estimates less what their own
    errors make of it, projected to be positive semi-definite. In its principal axes the two
    coordinates are independent, with the same error variance s^2 and the prior's variances t:
    each is moved to the prior's mean by s^2 / (t + s^2), and keeps the variance s^2 t / (t + s^2).

    Args:
        estimate: Whitened levels and slopes, shape (2, ..., samples).
        variance: Of the error of both, shape (samples,).
        centre: The prior's mean, shape (2,).
        free: Degrees of freedom of each sample's estimates around it, shape (samples,). Where
            there are none at all, nothing is borrowed.
    """
    away = estimate - centre.reshape(2, *(1,) * (estimate.ndim - 1))
    total = float(free.sum())
    if total > 0:
        flat = away.reshape(2, -1)
        between = flat @ flat.T / total - np.eye(2) * float(free @ variance) / total
        prior, axes = np.linalg.eigh(between)
    else:
        prior, axes = np.full(2, math.inf), np.eye(2)
    prior = np.maximum(prior, 0.0)[:, None]
    moved = variance / np.maximum(prior + variance, np.finfo(float).tiny)
    keep = (1 - moved).reshape(2, *(1,) * (estimate.ndim - 2), len(variance))
    at_centre = (axes.T @ centre).reshape(2, *(1,) * (estimate.ndim - 1))
    return Lines(axes, at_centre + keep * np.tensordot(axes.T, away, 1), variance * (1 - moved))
