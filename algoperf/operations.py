"""How many operations an update makes: the submission's own function, traced once off the clock.

To trace is to run the submission's Python with stand-ins for arrays. It is done after its first
step, so that what it makes once and keeps is made of arrays; and what its modules hold is put back,
so that no stand-in is left behind.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algoperf import flops
from algoperf.spec import Progress, TrainState

if TYPE_CHECKING:
    from algoperf.submission import Algorithm
    from algoperf.view import WorkloadView


_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


class Counted(NamedTuple):
    """What is known of an update's operations.

    Attributes:
        flops: Of one step; NaN where they cannot be counted.
        unknown: Why not; None where they are.
    """

    flops: float
    unknown: str | None


def of_update(
    algorithm: "Algorithm",
    view: "WorkloadView",
    train: TrainState,
    batch: Mapping[str, Any],
    modules: Sequence[ModuleType],
) -> Counted:
    """Operations of one update, as it is at the first step.

    Args:
        algorithm: The submission's.
        view: What it trains on.
        train: Where a step left it.
        batch: Shapes and dtypes of a batch.
        modules: The submission's own.
    """
    with _put_back(modules):
        try:
            found = _count(algorithm, view, train, batch)
        except Exception as error:  # noqa: BLE001 - other people's code; its steps run untraced
            said = str(error).partition("\n")[0]
            return Counted(math.nan, f"`update` cannot be traced: {type(error).__name__}: {said}")
    if math.isnan(found):
        return Counted(found, "`update` has a loop whose length is decided while it runs")
    return Counted(found, None)


def _count(
    algorithm: "Algorithm", view: "WorkloadView", train: TrainState, batch: Mapping[str, Any]
) -> float:
    progress = Progress(0, 0.0, view.budget_s, ())

    def update(train: TrainState, batch: Any, key: jax.Array) -> TrainState:
        return algorithm.update(view, train, batch, key, progress)

    key = jax.random.key(0)
    try:
        return flops.count(update, train, batch, key)
    except _NEEDS_VALUES:
        # Python decides by something in the state: let it, by what that is now.
        leaves, tree = jax.tree.flatten(train.optimizer_state)
        numbers = [np.asarray(leaf) if _is_at_hand(leaf) else None for leaf in leaves]
        if all(number is None for number in numbers):
            raise

        def decided(train: TrainState, rest: list[Any], batch: Any, key: jax.Array) -> TrainState:
            parts = [r if n is None else n for n, r in zip(numbers, rest, strict=True)]
            state = jax.tree.unflatten(tree, parts)
            return update(train._replace(optimizer_state=state), batch, key)

        rest = [leaf if n is None else 0 for n, leaf in zip(numbers, leaves, strict=True)]
        return flops.count(decided, train._replace(optimizer_state=()), rest, batch, key)


def _is_at_hand(leaf: Any) -> bool:
    """Whether Python may look at it without much ado: it is on the host, or a single number."""
    if isinstance(leaf, np.ndarray | np.generic):
        return True
    if getattr(leaf, "shape", None) != ():
        return False
    return jnp.issubdtype(leaf.dtype, np.number) or leaf.dtype == np.dtype(bool)


@contextmanager
def _put_back(modules: Sequence[ModuleType]) -> Iterator[None]:
    """Afterwards the modules' names, and what lists and dictionaries they name, are as before."""
    names = [(vars(module), dict(vars(module))) for module in modules]
    named = [
        (value, value.copy())
        for _, before in names
        for name, value in before.items()
        if type(value) in (dict, list) and not name.startswith("__")
    ]
    try:
        yield
    finally:
        for now, before in [*names, *named]:
            if isinstance(now, list):
                now[:] = before
            else:
                for key in now.keys() - before.keys():
                    del now[key]
                now.update(before)
