"""Between a trial and its folder: what is kept of where it stands, and what it goes on from."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import jax

from algoperf import checkpoint, hosts, machine, registry
from algoperf.checkpoint import Arrays, Checkpoint
from algoperf.disk import plain
from algoperf.recording import TrialRecord
from algoperf.records import Beat, TrialSpec
from algoperf.spec import TrainState
from algoperf.workload import Workload

if TYPE_CHECKING:
    from algoperf.running import Report


class Saver:
    """Keeps checkpoints in the trial's folder, and finds the one to go on from.

    Attributes:
        carried: What the manifest needs of the time before.
        obstacle: Why the trial's state cannot be kept; None if it can.
    """

    def __init__(
        self,
        spec: TrialSpec,
        workload: Workload,
        record: TrialRecord,
        carried: dict[str, Any],
        machine_id: str,
    ) -> None:
        self.carried = carried
        self.obstacle: str | None = None
        self._record = record
        same = {
            "submission": spec.sha256,
            "data": workload.dataset.sha256,
            **machine.versions(),
        }
        if hosts.joined():
            hosts.check_alike({**same, "submission": registry.source_hash(spec.path)})
        self._made_by = plain(
            {
                **same,
                "rules": spec.rules,
                "fixed": asdict(spec.fixed),
                "seed": spec.seed,
                "point": spec.point,
                "machine": hosts.agreed(machine_id),
            }
        )
        self._start: Any = None

    def find(self, start: TrainState) -> Checkpoint | None:
        """Where an earlier attempt got to; None for the beginning."""
        self._start = jax.tree.structure(start)
        kept: tuple[Arrays, Mapping[str, Any]] | None = None

        def restored(arrays: Arrays, facts: Mapping[str, Any]) -> Checkpoint:
            nonlocal kept
            kept = arrays, facts
            return checkpoint.restored(arrays, facts, self._made_by, self._start)

        found = self._record.resume(restored)
        if hosts.joined():
            kept = hosts.agreed(None if found is None else kept)
            if kept is not None and not hosts.leads():
                found = restored(*kept)
        if found is not None:
            again = {f"resumed_{len(self._record.attempts)}": self.carried["calibration"]["before"]}
            calibration = {**found.carried["calibration"], **again}
            self.carried = {**found.carried, "calibration": calibration}
        return found

    def save(self, train: TrainState) -> Callable[[Checkpoint], None]:
        """Takes apart where the trial stands, and returns what keeps it, unless it cannot be."""
        try:
            apart = checkpoint.taken_apart(train, self._start) if self.obstacle is None else None
        except checkpoint.Unsavable as error:
            self.obstacle, apart = str(error), None
        return lambda point: self._keep(point, apart)

    def _keep(self, point: Checkpoint, apart: checkpoint.Apart | None) -> None:
        if apart is None:
            return
        try:
            point = replace(point, carried=self.carried)
            arrays, facts = checkpoint.packed(point, self._made_by, apart)
        except checkpoint.Unsavable as error:
            self.obstacle = str(error)
        else:
            self._record.save(arrays, facts)


def reporting(record: TrialRecord, report: "Report") -> "Report":
    """Tells whoever watches the trial, and leaves a sign of life in its folder."""

    def both(beat: Beat) -> None:
        record.beat(beat.step, beat.time_s)
        report(beat)

    return both
