"""Curves through a few points: global, bounded least squares with intervals.

Each curve is linear in some parameters once the others (one or two) are fixed. The others are
searched on a grid, which is a multi-start that cannot miss, the linear ones are solved exactly
within their bounds, and the best is polished. So no fit depends on where it starts.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, stats

from scoring.diagnostics.least_squares import bounded
from scoring.intervals import Floats

RESAMPLES = 100
HALVINGS = 8
"""Of the grid around a refit's best point."""
SEED = 0
Z = float(stats.norm.ppf(0.975))
ENOUGH_FREE = 2
"""With fewer degrees of freedom a fit says so."""


@dataclass(frozen=True)
class Curve:
    """A family of curves y(x).

    Attributes:
        name: As in the tables.
        formula: For readers.
        grid: The parameters that are searched, by name: their values.
        linear: The parameters that are solved for: (lower, upper).
        basis: From x, shape (points, columns), and the searched parameters, shape (grid, 1) each,
            to what the linear parameters multiply, shape (grid, points, linear).
        offset: What is added to the curve.
    """

    name: str
    formula: str
    grid: Mapping[str, Floats]
    linear: Mapping[str, tuple[float, float]]
    basis: Callable[..., Floats]
    offset: float = 0.0

    @property
    def parameters(self) -> list[str]:
        """Names of all, the searched ones first."""
        return [*self.grid, *self.linear]

    @property
    def fitted(self) -> int:
        """How many parameters are fitted: those whose bounds are equal are not."""
        return len(self.grid) + sum(low < high for low, high in self.linear.values())


@dataclass(frozen=True)
class Fit:
    """A curve through points.

    Attributes:
        curve: Which.
        x: Of the points, shape (points, columns).
        y: Of the points, shape (points,).
        estimate: Its parameters, in the order of `curve.parameters`; NaN if it was not fitted.
        status: "ok", or what a reader has to know.
    """

    curve: Curve
    x: Floats
    y: Floats
    estimate: Floats
    status: str

    @property
    def n_points(self) -> int:
        """How many points."""
        return len(self.y)

    @property
    def free(self) -> int:
        """Degrees of freedom."""
        return self.n_points - self.curve.fitted

    @property
    def rmse(self) -> float:
        """Root mean square residual."""
        return float(np.sqrt(((self.y - self.at(self.x)) ** 2).mean()))

    @property
    def wider(self) -> float:
        """How much wider than residuals errors are drawn.

        For `free` degrees of freedom, and as Student's 95 % are wider than the normal
        distribution's.
        """
        quantile = float(stats.t.ppf(0.975, self.free)) / Z
        return quantile * (self.n_points / self.free) ** 0.5

    @cached_property
    def draws(self) -> Floats:
        """`estimate` of refits to resampled residuals, shape (draws, parameters).

        They are made when they are asked for; without degrees of freedom there are none.
        """
        if self.free <= 0:
            return np.zeros((0, len(self.estimate)))
        rng = np.random.default_rng(SEED)
        fitted = self.at(self.x)
        drawn = self.wider * rng.choice(self.y - fitted, (self.n_points, RESAMPLES))
        return _best(self.curve, self.x, fitted[:, None] + drawn, HALVINGS)

    def at(self, x: Floats) -> Floats:
        """The curve, shape (points,)."""
        return evaluate(self.curve, x, self.estimate)

    def ends(self) -> Floats:
        """95 % intervals of the parameters, shape (2, parameters); NaN where there are none."""
        if not len(self.draws):
            return np.full((2, len(self.estimate)), np.nan)
        return np.quantile(self.draws, [0.025, 0.975], axis=0)

    def interval(self, x: Floats) -> tuple[float, float]:
        """95 % prediction interval at one point, shape (1, columns): each refit with new errors.

        Those are quantiles of a normal distribution: the few residuals have no tails.
        """
        if not len(self.draws):
            return float("nan"), float("nan")
        drawn = np.array([evaluate(self.curve, x, values)[0] for values in self.draws])
        levels = (np.arange(RESAMPLES) + 0.5) / RESAMPLES
        errors = self.wider * self.rmse * stats.norm.ppf(levels)
        low, high = np.quantile(drawn[:, None] + errors, [0.025, 0.975])
        return float(low), float(high)


def evaluate(curve: Curve, x: Floats, values: Floats) -> Floats:
    """The curve with given parameters at x, shape (points, columns)."""
    searched = [np.full((1, 1), value) for value in values[: len(curve.grid)]]
    return curve.offset + curve.basis(x, *searched)[0] @ values[len(curve.grid) :]


def fit(curve: Curve, x: Floats, y: Floats) -> Fit:
    """Fits a curve.

    Args:
        curve: Which.
        x: Shape (points, columns).
        y: Shape (points,).

    Returns:
        The fit; with fewer points than parameters all are NaN and the status says so.
    """
    wanted = curve.fitted
    if len(y) < wanted:
        nothing = np.full(len(curve.parameters), np.nan)
        return Fit(curve, x, y, nothing, f"{len(y)} points for {wanted} parameters: not fitted")
    values = _polish(curve, x, y, _best(curve, x, y[:, None])[0])
    free = len(y) - wanted
    status = "ok" if free >= ENOUGH_FREE else too_few(free)
    if (at := _at_bounds(curve, values)) and free >= ENOUGH_FREE:
        status = f"at the bound of {', '.join(at)}"
    return Fit(curve, x, y, values, status)


def too_few(free: int) -> str:
    """What a fit of so many degrees of freedom says of itself."""
    if free == 0:
        return "no interval: 0 degrees of freedom"
    return f"{free} degree{'' if free == 1 else 's'} of freedom: too few points"


def _best(curve: Curve, x: Floats, y: Floats, halvings: int = 0) -> Floats:
    """The best parameters for each column of y, shape (draws, parameters).

    First on the grid. Then the grid is halved around each point, `halvings` times: its neighbours
    are tried, the best is gone to, and where none is better the neighbours are half as far.
    """
    places = np.stack([np.ravel(k) for k in np.indices([len(v) for v in curve.grid.values()])])
    values, squares = _solved(curve, x, places.T.astype(float), y)
    draws = np.arange(y.shape[1])
    best = squares.argmin(axis=0)
    at, least, found = places.T[best].astype(float), squares[best, draws], values[best, :, draws]
    steps = itertools.product((-1, 0, 1), repeat=len(places))
    around = np.array([step for step in steps if any(step)])
    far = np.full(len(at), 0.5)
    for _ in range(halvings):
        near = np.clip(at + far[:, None] * around[:, None], 0, places.max(axis=1))
        each = np.tile(y.T, (len(around), 1))[:, :, None]
        values, squares = _solved(curve, x, near.reshape(-1, len(places)), each)
        values, squares = values.reshape(*near.shape[:2], -1), squares.reshape(near.shape[:2])
        best = squares.argmin(axis=0)
        better = squares[best, draws] < least
        at = np.where(better[:, None], near[best, draws], at)
        least = np.where(better, squares[best, draws], least)
        found = np.where(better[:, None], values[best, draws], found)
        far = np.where(better, far, far / 2)
    return np.concatenate([_searched(curve, at), found], axis=1)


def _solved(curve: Curve, x: Floats, places: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Linear parameters and sums of squares at places on the grid; see `bounded`."""
    basis = curve.basis(x, *(values[:, None] for values in _searched(curve, places).T))
    return bounded(basis, y - curve.offset, list(curve.linear.values()))


def _searched(curve: Curve, places: Floats) -> Floats:
    """The searched parameters at places on the grid and between them, shape as `places`."""
    axes = zip(places.T, curve.grid.values(), strict=True)
    return np.stack([np.interp(own, np.arange(len(v)), v) for own, v in axes], axis=1)


def _polish(curve: Curve, x: Floats, y: Floats, start: Floats) -> Floats:
    """From the grid's best to the minimum next to it, the linear parameters solved at each step."""
    lower = np.array([values.min() for values in curve.grid.values()])
    upper = np.array([values.max() for values in curve.grid.values()])
    bounds = list(curve.linear.values())

    def solved(searched: Floats) -> tuple[Floats, float]:
        basis = curve.basis(x, *(np.full((1, 1), value) for value in searched))
        linear, squares = bounded(basis, (y - curve.offset)[:, None], bounds)
        return linear[0, :, 0], float(squares[0, 0])

    best = start[: len(lower)]
    if len(lower) == 1:
        values = next(iter(curve.grid.values()))
        place = int(np.argmin(np.abs(values - best[0])))
        around = values[max(place - 1, 0)], values[min(place + 1, len(values) - 1)]
        result = optimize.minimize_scalar(
            lambda value: solved(np.array([value]))[1],
            bounds=around, method="bounded", options={"xatol": 1e-9 * around[1]},
        )  # fmt: skip
    else:
        result = optimize.minimize(
            lambda searched: solved(np.clip(searched, lower, upper))[1],
            best,
            method="Nelder-Mead",
            bounds=list(zip(lower, upper, strict=True)),
            options={"xatol": 1e-7, "fatol": 1e-15, "maxiter": 200},
        )
    searched = np.atleast_1d(result.x) if result.fun <= solved(best)[1] else best
    return np.concatenate([searched, solved(searched)[0]])


def _at_bounds(curve: Curve, values: Floats) -> list[str]:
    """Parameters that stand at the end of what they may be."""
    ends = [(v.min(), v.max()) for v in curve.grid.values()] + list(curve.linear.values())
    return [
        name
        for name, value, (low, high) in zip(curve.parameters, values, ends, strict=True)
        if low < high and (np.isclose(value, low) or np.isclose(value, high))
    ]
