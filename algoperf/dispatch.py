"""Several steps handed to the device at once, where a step is so short that handing over shows.

Only where nothing can tell the difference but the clock: the submission's update is one traced step
(`Traced`) on batches in their random order, and the results are those of step after step, bit for
bit. How many steps go together may thus depend on how long they take.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from algoperf import flops, hosts
from algoperf.errors import TrainingComplete
from algoperf.spec import Batch, Progress, TrainState

if TYPE_CHECKING:
    from algoperf.submission import Algorithm
    from algoperf.view import WorkloadView
    from algoperf.workload import Workload

STEPS = 10
"""How many go together; a divisor of most numbers of steps between evaluations."""

SHORT_S = 0.0005
"""Only steps that take no longer: others gain nothing."""

Step = Callable[["WorkloadView", TrainState, Batch, jax.Array], TrainState]
"""(workload, train, batch, key) -> the next state; compiled, and nothing else happens in it."""


@dataclass(frozen=True)
class Traced:
    """An `update` that is a compiled step and no more.

    Attributes:
        step: The step.
        limit: (workload) -> after how many steps training is complete; None for never.
    """

    step: Step
    limit: Callable[["WorkloadView"], int] | None = None

    def __call__(
        self,
        workload: "WorkloadView",
        train: TrainState,
        batch: Batch,
        key: jax.Array,
        progress: Progress,
    ) -> TrainState:
        if self.limit is not None and progress.step >= self.limit(workload):
            raise TrainingComplete
        return self.step(workload, train, batch, key)


@dataclass(frozen=True)
class Several:
    """`STEPS` steps of a trial in one dispatch.

    Attributes:
        view: The trial's workload, as the step gets it.
        update: The submission's.
    """

    view: "WorkloadView"
    update: Traced

    def __call__(
        self, train: TrainState, batches: Sequence[Batch], keys: Sequence[jax.Array]
    ) -> TrainState:
        return _steps(self.update.step, self.view, train, list(batches), list(keys))

    def count(self, step: int, due: int | None, allowed: int, step_s: float) -> int:
        """How many steps the next dispatch makes: `STEPS` or 1.

        A dispatch is thus half at most of the work that may be queued.

        Args:
            step: Updates done.
            due: Updates until the next evaluation; None if it is not due by steps.
            allowed: Steps that may be queued, as the clock says.
            step_s: What a step took of late [s].
        """
        limit = self.update.limit
        if step_s > SHORT_S or allowed < 2 * STEPS or (due is not None and due < STEPS):
            return 1
        return 1 if limit is not None and limit(self.view) - step < STEPS else STEPS


def several(
    algorithm: "Algorithm",
    workload: "Workload",
    view: "WorkloadView",
    train: TrainState,
    batch_size: int,
) -> Several | None:
    """How a trial makes several steps at once; None where it makes them one by one.

    That is where the submission does anything between them; where compilation is charged, of which
    this needs more; where several hosts would have to agree on how many; and where the step has a
    convolution: within a loop, XLA computes those on a processor in another way, which rounds
    otherwise and takes many times as long.
    """
    update = algorithm.update
    if not isinstance(update, Traced) or workload.compile_counts or hosts.joined():
        return None
    if algorithm.select_batch is not type(algorithm).select_batch:
        return None
    batch = workload.dataset.signature(batch_size)
    try:
        step = partial(update.step, view)
        found = flops.primitives(step, train, batch, jax.random.key(0))
    except Exception:  # noqa: BLE001 - other people's code: if it is broken, its first step tells
        return None
    return None if "conv_general_dilated" in found else Several(view, update)


@partial(jax.jit, static_argnames=("step", "view"), donate_argnames="train")
def _steps(
    step: Step, view: "WorkloadView", train: TrainState, batches: list[Batch], keys: list[jax.Array]
) -> TrainState:
    def one(train: TrainState, drawn: tuple[Batch, jax.Array]) -> tuple[TrainState, None]:
        return step(view, train, *drawn), None

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    return jax.lax.scan(one, train, (stacked, jnp.stack(keys)))[0]
