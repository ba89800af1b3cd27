"""Measuring in alternation: on a machine that others use, times mean little and ratios something.

What is compared takes turns, round after round, and which goes first changes, so that a machine
that slows down favours none; a ratio is of times of the same round.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence


def rounds(loops: Mapping[str, Callable[[], float]], count: int) -> dict[str, list[float]]:
    """Seconds that each of `loops` says it took, in every one of `count` rounds."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    names = list(loops)
    for number in range(count):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(loops[name]())
    return times


def ratios(times: Sequence[float], others: Sequence[float]) -> list[float]:
    """Of each round, least first."""
    return sorted(time / other for time, other in zip(times, others, strict=True))


def spread(found: Sequence[float]) -> str:
    """Median, quartiles and range of two values at least, as three cells of a table."""
    low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
    return f"{middle:.3f} | {low:.3f} to {high:.3f} | {min(found):.3f} to {max(found):.3f}"


def median_interval(found: Sequence[float]) -> str:
    """Between which of the values, in order, the median lies with a probability of 95 % or more.

    Whatever their distribution, if rounds are independent: the sign test's interval, in which the
    number of values below the median is binomial. "-" of fewer than six, which do not tell.
    """
    count = len(found)
    below = tail = 0.0
    rank = -1
    while tail <= 0.025:
        rank += 1
        below, tail = tail, tail + math.comb(count, rank) / 2**count
    if below == 0:
        return "-"
    ordered = sorted(found)
    return f"{ordered[rank - 1]:.3f} to {ordered[count - rank]:.3f}"


def head(*cells: str) -> None:
    """The first two lines of a table."""
    row(*cells)
    print("|" + "---|" * len(cells), flush=True)


def row(*cells: str) -> None:
    """A line of a table; what is in it may be several cells."""
    print(f"| {' | '.join(cells)} |", flush=True)
