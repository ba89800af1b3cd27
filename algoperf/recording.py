"""A trial's folder while it is written, so that a kill between any two writes loses little. No jax.

    .trial_<k>.<n>.partial/     the trial's folder, under the `n`th claim on it
        checkpoint_<step>.npz   all that the trial is at that step; the last two
        attempts.json           where the trial was cut off and went on
        beat                    attempt, step and submission time [s] at the last sign of life
        ...                     and everything that the finished folder has
    .trial_<k>.<n>.ended/       the same for a moment, once the record of its end was accepted

Who takes a trial over renames its folder, so that whoever had it before can write no more.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from algoperf import attempts, checkpoint_files, claims, manifests, origin
from algoperf.checkpoint_files import Arrays, Unusable
from algoperf.disk import (
    CannotRecord,
    entries,
    file_sha256,
    has_room,
    is_full,
    recording,
    remove,
    replacing,
    sync,
    write_json,
)
from algoperf.publishing import ending_of, publish
from algoperf.records import (
    MANIFEST,
    MEASUREMENTS,
    META_DATA,
    OUTPUT,
    PARAMETERS,
    TRACEBACK,
    Ending,
    TrialSpec,
)
from algoperf.tables import Tables

PARTIAL = ".partial"
ENDED = ".ended"

Restored = TypeVar("Restored")


class TrialRecord:
    """A trial's folder while it is written. All methods raise `CannotRecord`.

    Args:
        spec: The trial.
        results: The results folder.
        claim: Number of the claim under which it is written.

    Attributes:
        attempts: One for each time that the trial was cut off.
        news: What became of an earlier attempt, for whoever watches; empty if there was none.
    """

    def __init__(self, spec: TrialSpec, results: Path, claim: int = 1) -> None:
        self.spec = spec
        self.results = results
        self.final = spec.folder(results)
        self._claim = claim
        self.folder = self.final.with_name(f".{self.final.name}.{claim}{PARTIAL}")
        self.ended = self.folder.with_suffix(ENDED)
        self.attempts: attempts.Attempts = []
        self.news = ""
        self._tables = Tables(self.folder)

    def begin(self) -> None:
        """A folder with source and point, and what an earlier attempt left if it was of the same.

        Without a checkpoint nothing else is left in it. With one, `resume` has to be called.

        Raises also if the submission's file is not the one that was planned with.
        """
        contents = origin.source_of(self.spec)
        with recording(self.folder):
            self.final.parent.mkdir(parents=True, exist_ok=True)
            if self.final.exists() and not self.spec.repeat:
                raise CannotRecord(f"{self.spec.label} is recorded already.")
            earlier = self._left(PARTIAL)
            left = earlier.pop() if earlier else None
            for folder in [*earlier, *self._left(ENDED)]:
                remove(folder)
            if left is not None and origin.is_begun(left, self.spec, contents):
                if left != self.folder:
                    left.rename(self.folder)
                self.attempts = attempts.read(self.folder)
                if not checkpoint_files.listed(self.folder):
                    self._rewind(None, [])
                return
            if left is not None:
                self.news = "what was there of it is of another version of the file; starts anew"
                remove(left)
            self.folder.mkdir()
            try:
                self._check_ours()  # it may have been listed before this folder was there
            except CannotRecord:
                self.folder.rmdir()
                raise
            origin.write(self.folder, self.spec, contents)

    def conclude(self) -> Ending | None:
        """Makes the trial final if an earlier attempt ended it and was cut off at the last move.

        Returns:
            How it ended; None if there is no such attempt.
        """
        with recording(self.ended):
            for left in self._left(ENDED):
                if (ending := ending_of(left, self.spec)) is not None:
                    self._make_final(left)
                    return ending
        return None

    def accept(self) -> Ending | None:
        """Makes the trial final as its process wrote it, which has ended.

        Whoever calls it has held what is written against what was heard. The folder's name keeps
        that: no trial can rename its own.

        Returns:
            How it ended; None if what is there is not the trial's.
        """
        with recording(self.folder):
            if (ending := ending_of(self.folder, self.spec)) is not None:
                self._make_final(self.folder)
            return ending

    def _make_final(self, left: Path) -> None:
        """Publishes what is in the folder, and sweeps away what earlier attempts left."""
        self._check_ours()
        if left != self.ended:
            left.rename(self.ended)
        publish(self.ended, self.final, self.spec)
        for path in {*self._left(PARTIAL), *self._left(ENDED)} - {self.folder, self.ended}:
            remove(path)

    def _left(self, suffix: str) -> list[Path]:
        """What earlier attempts left, the latest last."""
        found = claims.there(self.final)
        # Only now: the folder of a later claim is made after the claim.
        self._check_ours()
        numbers = [number for number, kind in found if f".{kind}" == suffix]
        return [self.final.with_name(f".{self.final.name}.{n}{suffix}") for n in numbers]

    def _check_ours(self) -> None:
        """Makes sure that nobody has or had a later claim. An owner's death shows before a process
        of its own has ended, or it was only asleep: neither must take back what was taken over."""
        if claims.latest(self.final) > self._claim:
            raise CannotRecord(f"Another run took {self.spec.label} over.")

    def save(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Keeps a checkpoint, and of the others only the one before.

        Args:
            arrays: What `facts` has no room for.
            facts: JSON; with `step` and `submission_s`.
        """
        with recording(self.folder):
            written = [self.folder / name for name in (*self._tables.files, OUTPUT)]
            files = {path.name: path for path in written if path.exists()}
            for path in files.values():
                sync(path)
            lengths = {name: path.stat().st_size for name, path in files.items()}
            checkpoint_files.write(self.folder, arrays, {**facts, "files": lengths})

    def resume(self, restore: Callable[[Arrays, Mapping[str, Any]], Restored]) -> Restored | None:
        """Goes back to the latest checkpoint that can be used, or to the beginning.

        Args:
            restore: (arrays, facts) as they were saved -> what to go on with; raises `Unusable`.

        Returns:
            What `restore` returned; None for the beginning.
        """
        passed_over: list[str] = []
        with recording(self.folder):
            checkpoints = checkpoint_files.listed(self.folder)
            for path in checkpoints:
                try:
                    arrays, facts = checkpoint_files.read(path)
                    self._check_lengths(facts["files"])
                    restored = restore(arrays, facts)
                except Unusable as error:
                    passed_over.append(f"{path.name}: {error}")
                else:
                    self._rewind(facts, passed_over)
                    return restored
            if checkpoints:
                self._rewind(None, passed_over)
        return None

    def _check_lengths(self, lengths: Mapping[str, int]) -> None:
        for name, length in lengths.items():
            path = self.folder / name
            if not path.exists() or path.stat().st_size < length:
                raise Unusable(f"{name} is shorter than it was then")

    def _rewind(self, facts: Mapping[str, Any] | None, passed_over: Sequence[str]) -> None:
        """Everything in the folder as it was at that checkpoint, or at the beginning."""
        step = 0 if facts is None else facts["step"]
        lengths = {OUTPUT: 0} if facts is None else facts["files"]
        # Told before anything else is changed: cut off once more, it is one attempt more.
        self.attempts = attempts.add(self.folder, self.attempts, facts, passed_over)
        self.news = attempts.news_of(self.attempts[-1])
        for path in entries(self.folder):
            if path.name in lengths:
                os.truncate(path, lengths[path.name])
            elif checkpoint_files.is_one(path):
                if facts is None or checkpoint_files.step_of(path) > step:
                    path.unlink()
            elif path.name not in origin.FILES | attempts.FILES:
                remove(path)
        self._tables.go_on_from(name for name in lengths if name.endswith(".csv"))

    def beat(self, step: int, submission_s: float) -> None:
        """Leaves a sign of life, from which a later attempt learns how much it does again."""
        with recording(self.folder):
            attempts.beat(self.folder, len(self.attempts), step, submission_s)

    def append(self, row: Mapping[str, float | int]) -> None:
        """Adds an evaluation; the columns are the first row's, in alphabetical order."""
        self._tables.add(MEASUREMENTS, sorted(row), [row])

    def append_table(self, name: str, table: Mapping[str, Sequence[Any]]) -> None:
        """Adds rows to `<name>.csv`, given as columns; the first call's names and order count."""
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        self._tables.add(f"{name}.csv", list(table), rows)

    def check_tables(self) -> None:
        """Makes sure that the tables hold what was added to them.

        Raises:
            UserError: If somebody else wrote there.
        """
        self._tables.check()

    def keep(self, arrays: Arrays) -> None:
        """Keeps the arrays with which the target was reached; verification measures them again."""
        import numpy as np  # planning a run does not need it

        with recording(self.folder), replacing(self.folder / PARAMETERS) as file:
            np.savez(file, allow_pickle=False, **arrays)

    def fail(self, traceback: str) -> None:
        """Keeps the traceback of what went wrong."""
        with recording(self.folder):
            (self.folder / TRACEBACK).write_text(traceback, "utf-8", "backslashreplace")

    def finish(self, ending: Ending, facts: Mapping[str, Any]) -> Path:
        """Writes the manifest and makes the trial final; arguments as in `write`."""
        self.write(ending, facts)
        with recording(self.folder):
            self._make_final(self.folder)
        return self.final

    def close(self, ending: Ending, facts: Mapping[str, Any]) -> Path:
        """As `finish`, of a trial that failed, whatever its process left in the folder.

        What is not the trial's, or in the way of its record, is lost with all the rest.
        """
        try:
            if not self.folder.exists():
                self.begin()
            if origin.is_own(self.folder, self.spec):
                with recording(self.folder):
                    remove(self.folder / PARAMETERS)  # only what reached its target has them
                return self.finish(ending, facts)
        except CannotRecord as error:
            if is_full(error):
                raise
        except Exception:  # noqa: BLE001, S110 - what its process wrote is read here, and may be anything
            pass
        with recording(self.folder):
            for left in self._left(PARTIAL):
                remove(left)
        self.begin()
        return self.finish(ending, facts)

    def is_possible(self) -> bool:
        """Whether it can be written as far as this process sees, whatever the trial's own says."""
        try:
            origin.source_of(self.spec)
        except CannotRecord:
            return False
        return self.folder.is_dir() and has_room(self.final.parent)

    def write(self, ending: Ending, facts: Mapping[str, Any]) -> None:
        """Writes the manifest; `accept` then makes the trial final.

        Args:
            ending: How it ended.
            facts: What else is known: `machine`, `workload`, `clock`, ...
        """
        with recording(self.folder):
            for path in self.folder.glob("*.csv"):
                sync(path)
            kept = self.folder / PARAMETERS
            if kept.exists():
                facts = {**facts, "parameters_sha256": file_sha256(kept)}
            facts = {**facts, "interruptions": attempts.read(self.folder)}
            write_json(self.folder / META_DATA, manifests.meta_data(self.spec, facts))
            write_json(self.folder / MANIFEST, manifests.manifest(self.spec, ending, facts))
