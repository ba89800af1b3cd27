"""Search spaces, and the hyperparameter points drawn from them. No jax.

A search space is what AlgoPerf's `tuning_search_space.json` holds: either a dictionary with
an entry for each hyperparameter,

    {"learning_rate": {"min": 1e-4, "max": 1e-1, "scaling": "log"},
     "beta1": {"min": 0.8, "max": 0.99, "scaling": "linear"},
     "warmup": {"feasible_points": [0.02, 0.05]}}

or a list of points, `[{"learning_rate": 1e-3, "beta1": 0.9}, ...]`, taken in its order.
"""

import keyword
import math
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from algoperf.errors import UserError

Value = float | int | str | bool
Point = Mapping[str, Value]


@dataclass(frozen=True)
class Interval:
    """A real number between `low` and `high`, uniform in its value or in its logarithm."""

    low: float
    high: float
    log: bool

    def at(self, unit: float) -> float:
        """The value at `unit` in [0, 1)."""
        if self.log:
            return self.low * math.exp(unit * math.log(self.high / self.low))
        return self.low + unit * (self.high - self.low)


@dataclass(frozen=True)
class Choice:
    """One of a few values, equally likely."""

    values: tuple[Value, ...]

    def at(self, unit: float) -> Value:
        """The value at `unit` in [0, 1)."""
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]


Dimension = Interval | Choice


@dataclass(frozen=True)
class Box:
    """A search space with one dimension for each hyperparameter."""

    dimensions: Mapping[str, Dimension]


@dataclass(frozen=True)
class Points:
    """A search space that is a list of points."""

    points: tuple[Point, ...]


SearchSpace = Box | Points


def parse(raw: object) -> SearchSpace:
    """The search space that `raw` describes.

    Raises:
        UserError: Lists everything that is wrong with it.
    """
    space, faults = read(raw)
    if faults:
        raise UserError.of_many("The search space does not parse:", faults)
    return space


def as_json(space: SearchSpace) -> dict[str, Any] | list[dict[str, Value]]:
    """What `parse` makes the space of again."""
    if isinstance(space, Points):
        return [dict(point) for point in space.points]
    return {name: _dimension_as_json(dimension) for name, dimension in space.dimensions.items()}


def _dimension_as_json(dimension: Dimension) -> dict[str, Any]:
    if isinstance(dimension, Choice):
        return {"feasible_points": list(dimension.values)}
    scaling = "log" if dimension.log else "linear"
    return {"min": dimension.low, "max": dimension.high, "scaling": scaling}


def read(raw: object) -> tuple[SearchSpace, list[str]]:
    """The search space that `raw` describes, and what is wrong with it.

    A faulty dimension becomes a single value near what was meant, so that the rest of a
    submission can still be checked.
    """
    faults: list[str] = []
    space: SearchSpace = Box({})
    if isinstance(raw, Mapping):
        space = Box({str(n): _dimension(str(n), entry, faults) for n, entry in raw.items()})
        if not raw:
            faults.append("it has no hyperparameter; leave `search_space` out for self-tuning")
    elif isinstance(raw, Sequence) and not isinstance(raw, str):
        space = _points(raw, faults)
    else:
        faults.append(
            f"it is a {type(raw).__name__}; give a dictionary (hyperparameter to min, max and "
            "scaling, or to feasible_points) or a list of points"
        )
    names = space.dimensions if isinstance(space, Box) else [n for p in space.points for n in p]
    faults += [
        f"{name!r} cannot be a hyperparameter's name, which is read as hp.name: use letters, "
        "digits and underscores, and no word of Python's own"
        for name in dict.fromkeys(names)
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_")
    ]
    return space, faults


def _points(raw: Sequence[object], faults: list[str]) -> Points:
    points = [{str(n): v for n, v in p.items()} for p in raw if isinstance(p, Mapping)]
    if not raw:
        faults.append("the list of points is empty")
    elif len(points) < len(raw):
        faults.append("every point in the list must be a dictionary of hyperparameters")
    for number, point in enumerate(points, 1):
        if point.keys() != points[0].keys():
            faults.append(
                f"point {number} has the hyperparameters {sorted(point)}, "
                f"point 1 has {sorted(points[0])}"
            )
        faults += [f"point {number}: {n} is {v!r}" for n, v in point.items() if not _is_value(v)]
    return Points(tuple(points))


def _is_value(value: object) -> bool:
    return isinstance(value, (bool, int, str)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _instead(*values: object) -> Choice:
    """One value for a faulty dimension: the first that is a positive number, or else 1."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return Choice((next((float(v) for v in numbers if 0 < v < math.inf), 1.0),))


def _dimension(name: str, entry: object, faults: list[str]) -> Dimension:
    if not isinstance(entry, Mapping):
        faults.append(f"{name}: {entry!r} is not a dictionary")
        return _instead(entry)
    if "feasible_points" in entry:
        values = entry["feasible_points"]
        if not isinstance(values, (list, tuple)) or not values:
            faults.append(f"{name}: feasible_points is {values!r}; give a list with values")
            return _instead(values)
        faults += [
            f"{name}: {v!r} is not a finite number, string or boolean"
            for v in values
            if not _is_value(v)
        ]
        keys = {"feasible_points"}
        dimension: Dimension = Choice(tuple(values))
    else:
        keys = {"min", "max", "scaling"}
        dimension = _interval(name, entry, faults)
    if extra := sorted(map(str, entry.keys() - keys)):
        faults.append(f"{name}: unknown key {', '.join(extra)}; allowed: {', '.join(sorted(keys))}")
    return dimension


def _interval(name: str, entry: Mapping[str, Any], faults: list[str]) -> Dimension:
    if missing := [key for key in ("min", "max") if key not in entry]:
        faults.append(f"{name}: lacks {' and '.join(missing)} (or feasible_points)")
        return _instead(*entry.values())
    low, high, scaling = entry["min"], entry["max"], entry.get("scaling", "linear")
    numbers = [v for v in (low, high) if isinstance(v, (int, float)) and not isinstance(v, bool)]
    before = len(faults)
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        faults.append(f"{name}: min {low!r} and max {high!r} must be finite numbers")
        return _instead(low, high)
    if low > high:
        faults.append(f"{name}: min {low} is above max {high}")
    if scaling not in ("linear", "log"):
        faults.append(f"{name}: scaling is {scaling!r}, must be 'linear' or 'log'")
    if scaling == "log" and low <= 0:
        faults.append(f"{name}: a log scale cannot start at {low}; min must be above 0")
    if len(faults) > before:
        return _instead(low, high)
    return Interval(float(low), float(high), scaling == "log")


def draw(space: SearchSpace, count: int, seed: int) -> list[Point]:
    """`count` points: the first distinct ones of a scrambled Halton sequence, or of the list.

    The same for the same arguments, whichever process asks. Quasi-random as AlgoPerf's rules
    have it; the scrambling (Owen 2017, arXiv:1706.02808) takes `seed`. What a list repeats is
    repeated, each time with the seed of its own trial.

    Raises:
        UserError: If the space does not hold that many points.
    """
    if isinstance(space, Points):
        points, kind = list(space.points), ""
    else:
        from scipy.stats import qmc  # half a second that reading results does not need

        sampler = qmc.Halton(d=len(space.dimensions), scramble=True, rng=seed)
        points: list[Point] = []
        kind = "distinct "
        # A discrete space may repeat itself; a sequence this long finds what there is.
        for _ in range(64):
            if len(points) >= count:
                break
            rows = sampler.random(count)
            drawn = [
                {n: d.at(float(u)) for (n, d), u in zip(space.dimensions.items(), row, strict=True)}
                for row in rows
            ]
            points = _distinct([*points, *drawn])
    if len(points) < count:
        raise UserError(
            f"The rules need {count} {kind}hyperparameter points; the search space gives "
            f"{len(points)}. `--studies N` asks for fewer studies; one of them needs as many as it "
            "has trials."
        )
    return points[:count]


def _distinct(points: Sequence[Point]) -> list[Point]:
    return list({tuple(sorted(point.items())): point for point in points}.values())


def hyperparameters(point: Point) -> Any:
    """The point as a named tuple `Hyperparameters`, as a submission gets it; a jax pytree."""
    return namedtuple("Hyperparameters", sorted(point))(**point)  # noqa: PYI024 - names vary
