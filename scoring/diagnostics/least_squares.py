"""Least squares within bounds, of many small problems at once."""

import itertools
from collections.abc import Sequence

import numpy as np

from scoring.intervals import Floats

ALIKE = 1e-24
"""Of two columns whose squared distance is less of their square, the second gets 0."""


def bounded(
    basis: Floats, y: Floats, bounds: Sequence[tuple[float, float]]
) -> tuple[Floats, Floats]:
    """Least squares within bounds, exactly: every set of active bounds is tried.

    Args:
        basis: Shape (grid, points, linear).
        y: Shape (points, draws), or (grid, points, draws).
        bounds: Of each linear parameter.

    Returns:
        Parameters, shape (grid, linear, draws), and sums of squares, shape (grid, draws).
    """
    size, width = basis.shape[0], basis.shape[2]
    if width == 1:  # a parabola: the nearest point within the bounds
        found = np.clip(_solve(basis, y), *bounds[0])
        return found, ((y - basis @ found) ** 2).sum(axis=1)
    best = np.full((size, y.shape[-1]), np.inf)
    found = np.zeros((size, width, y.shape[-1]))
    choices = [_ends(low, high) for low, high in bounds]
    for fixed in itertools.product(*choices):
        free = [k for k, end in enumerate(fixed) if end is None]
        values = np.zeros_like(found)
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
    """Least squares of each grid point; one or two columns need no decomposition."""
    first = basis[:, :, :1]
    if basis.shape[2] == 1:
        return _onto(first, y)
    if basis.shape[2] > 2:
        return np.linalg.pinv(basis) @ y
    last = basis[:, :, 1:]
    beside = last - first @ _onto(first, last)
    apart = (beside**2).sum(axis=1) > ALIKE * (last**2).sum(axis=1)
    second = _onto(np.where(apart[:, None], beside, 0.0), y)
    return np.concatenate([_onto(first, y - last @ second), second], axis=1)


def _onto(column: Floats, y: Floats) -> Floats:
    """Least squares of each grid point on one column, shape (grid, points, 1)."""
    square = np.maximum((column**2).sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return np.swapaxes(column, 1, 2) @ y / square
