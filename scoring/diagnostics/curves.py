"""Curves through a few points: global, bounded least squares with intervals.

Each curve is linear in some parameters once the others (one or two) are fixed. The others are
searched on a grid, which is a multi-start that cannot miss, the linear ones are solved exactly
within their bounds, and the best is polished. So no fit depends on where it starts.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from scoring.intervals import Floats

RESAMPLES = 100
SEED = 0
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
        estimate: Its parameters, in the order of `curve.parameters`.
        draws: The same of refits to resampled residuals, shape (draws, parameters).
        residuals: At the points, as drawn from: scaled by sqrt(n / (n - p)).
        rmse: Root mean square residual.
        n_points: How many points.
        status: "ok", or what a reader has to know.
    """

    curve: Curve
    estimate: Floats
    draws: Floats
    residuals: Floats
    rmse: float
    n_points: int
    status: str

    @property
    def free(self) -> int:
        """Degrees of freedom."""
        return self.n_points - self.curve.fitted

    def at(self, x: Floats) -> Floats:
        """The curve, shape (points,)."""
        return evaluate(self.curve, x, self.estimate)

    def interval(self, x: Floats) -> tuple[float, float]:
        """95 % prediction interval at one point, shape (1, columns): refit and a new residual."""
        if not len(self.draws):
            return float("nan"), float("nan")
        rng = np.random.default_rng(SEED)
        drawn = [float(evaluate(self.curve, x, values)[0]) for values in self.draws]
        low, high = np.quantile(drawn + rng.choice(self.residuals, len(drawn)), [0.025, 0.975])
        return float(low), float(high)


def evaluate(curve: Curve, x: Floats, values: Floats) -> Floats:
    """The curve with given parameters at x, shape (points, columns)."""
    searched = [np.full((1, 1), value) for value in values[: len(curve.grid)]]
    return curve.offset + curve.basis(x, *searched)[0] @ values[len(curve.grid) :]


def bounded(
    basis: Floats, y: Floats, bounds: Sequence[tuple[float, float]]
) -> tuple[Floats, Floats]:
    """Least squares within bounds, exactly: every set of active bounds is tried.

    Args:
        basis: Shape (grid, points, linear).
        y: Shape (points, draws).
        bounds: Of each linear parameter.

    Returns:
        Parameters, shape (grid, linear, draws), and sums of squares, shape (grid, draws).
    """
    size, width = basis.shape[0], basis.shape[2]
    best = np.full((size, y.shape[1]), np.inf)
    found = np.zeros((size, width, y.shape[1]))
    choices = [_ends(low, high) for low, high in bounds]
    for fixed in itertools.product(*choices):
        free = [k for k, end in enumerate(fixed) if end is None]
        values = np.zeros((size, width, y.shape[1]))
        for k, end in enumerate(fixed):
            if end is not None:
                values[:, k] = end
        if free:
            values[:, free] = _solve(basis[:, :, free], y - basis @ values)
        squares = ((y - basis @ values) ** 2).sum(axis=1)
        inside = np.ones_like(squares, bool)
        for k in free:
            low, high = bounds[k]
            inside &= (values[:, k] >= low) & (values[:, k] <= high)
        better = inside & (squares < best)
        best = np.where(better, squares, best)
        found = np.where(better[:, None], values, found)
    return found, best


def _ends(low: float, high: float) -> list[float | None]:
    """Where a parameter may be: free, or at a finite bound; only there if the bounds are equal."""
    return [low] if low == high else [None, *(end for end in (low, high) if np.isfinite(end))]


def _solve(basis: Floats, y: Floats) -> Floats:
    """Least squares of each grid point; a single column needs no decomposition."""
    if basis.shape[2] > 1:
        return np.linalg.pinv(basis) @ y
    square = np.maximum((basis**2).sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return np.swapaxes(basis, 1, 2) @ y / square


def fit(
    curve: Curve, x: Floats, y: Floats, resamples: int = RESAMPLES, *, polish: bool = True
) -> Fit:
    """Fits a curve.

    Args:
        curve: Which.
        x: Shape (points, columns).
        y: Shape (points,).
        resamples: Refits to resampled residuals, for intervals.
        polish: Whether to go from the grid's best point to the minimum.

    Returns:
        The fit; with fewer points than parameters all are NaN and the status says so.
    """
    wanted = curve.fitted
    if len(y) < wanted:
        nothing = np.full(len(curve.parameters), np.nan)
        status = f"{len(y)} points for {wanted} parameters: not fitted"
        return Fit(
            curve, nothing, np.zeros((0, len(nothing))), np.zeros(0), float("nan"), len(y), status
        )
    searched = _grid(curve)
    basis = curve.basis(x, *(values[:, None] for values in searched))
    values = _best(curve, searched, basis, y[:, None])[0]
    values = _polish(curve, x, y, values) if polish else values
    residuals = y - evaluate(curve, x, values)
    free = len(y) - wanted
    scaled = residuals * np.sqrt(len(y) / max(free, 1))
    draws = np.zeros((0, len(values)))
    if free and resamples:
        rng = np.random.default_rng(SEED)
        drawn = (y - residuals)[:, None] + rng.choice(scaled, (len(y), resamples))
        draws = _best(curve, searched, basis, drawn)
    status = "ok" if free >= ENOUGH_FREE else too_few(free)
    if (at := _at_bounds(curve, values)) and free >= ENOUGH_FREE:
        status = f"at the bound of {', '.join(at)}"
    rmse = float(np.sqrt((residuals**2).mean()))
    return Fit(curve, values, draws, scaled, rmse, len(y), status)


def too_few(free: int) -> str:
    """What a fit of so many degrees of freedom says of itself."""
    return f"{free} degree{'' if free == 1 else 's'} of freedom: too few points"


def _grid(curve: Curve) -> list[Floats]:
    """Every combination of the searched parameters, shape (grid,) each."""
    return [values.ravel() for values in np.meshgrid(*curve.grid.values(), indexing="ij")]


def _best(curve: Curve, searched: list[Floats], basis: Floats, y: Floats) -> Floats:
    """The best parameters on the grid for each column of y, shape (draws, parameters)."""
    linear, squares = bounded(basis, y - curve.offset, list(curve.linear.values()))
    place = squares.argmin(axis=0)
    columns = [values[place] for values in searched]
    columns += [linear[place, k, np.arange(y.shape[1])] for k in range(linear.shape[1])]
    return np.stack(columns, axis=1)


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
