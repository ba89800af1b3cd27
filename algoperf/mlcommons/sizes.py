"""Which batch size `get_batch_size` means for a workload that it may not know."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from algoperf import registry, sharding
from algoperf.errors import UserError
from algoperf.spec import Split
from algoperf.workload import Workload

Ask = Callable[[str], object]


def _answer(ask: Ask, name: str) -> object | None:
    """What the submission says for `name`; None where it does not know the name."""
    try:
        return ask(name)
    except (ValueError, KeyError):
        return None


def _names(workload: Workload) -> list[str]:
    """The workload's own name, then its base's, as MLCommons' runner asks."""
    return [workload.name, *([workload.base] if workload.base else [])]


def _mirrored(workload: Workload) -> Iterator[Workload]:
    """The full suite's variant of the same kind, if there is one, then what it is a variant of."""
    if workload.mirrors is None:
        return
    kind = workload.name.removeprefix(workload.base_name)
    for name in dict.fromkeys([workload.mirrors + kind, workload.mirrors]):
        try:
            yield registry.workload(name)
        except UserError:
            continue


class Asked(NamedTuple):
    """What a submission says.

    Attributes:
        size: For the workload itself, unchecked; or found by way of another.
        note: What the user has to be told about it; None where it was asked and said.
    """

    size: object
    note: str | None


def asked(ask: Ask, workload: Workload) -> Asked:
    """The batch size that the submission means for this workload. Touches no device, no data.

    A size for the full workload would be all of a small relative's data. What is kept is the
    relation to that workload's own batch size.

    Args:
        ask: The submission's `get_batch_size`.
        workload: What is to be trained.
    """
    for name in _names(workload):
        if (answer := _answer(ask, name)) is not None:
            return Asked(answer, None)
    unknown = f"get_batch_size does not know {workload.name!r}"
    own = workload.batch_size
    for full in _mirrored(workload):
        answer = _answer(ask, full.name)
        if isinstance(answer, int) and answer > 0:
            factor = answer / full.batch_size
            size = max(round(own * factor), 1)
            return Asked(
                size,
                f"{unknown}; for {full.name!r}, which that mirrors, it says {answer}, "
                f"{factor:.4g} times the usual. {factor:.4g} times {own} is {size}.",
            )
    return Asked(own, f"{unknown}, nor what that mirrors; the workload's own is {own}.")


def batch_size(ask: Ask, workload: Workload) -> object:
    """The same as far as devices and data allow, unless it was said for this workload."""
    size, note = asked(ask, workload)
    if note is None or not isinstance(size, int):
        return size
    most = sharding.round_down(workload.dataset.sizes[Split.TRAIN])
    return max(min(sharding.round_up(size), most), sharding.round_up(1))
