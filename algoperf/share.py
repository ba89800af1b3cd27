"""One run's share of trials that other runs on the same folder want as well. Not on Windows."""

from collections import deque
from collections.abc import Iterable
from contextlib import nullcontext
from functools import cache

from algoperf.claims import Claim, Claims, Lost, turn
from algoperf.executors.local import LocalExecutor
from algoperf.records import Ending, TrialSpec
from algoperf.study import Watcher


class Share:
    """Runs what nobody else has claimed.

    Attributes:
        left: The trials that are not recorded, as far as is known.
    """

    def __init__(
        self,
        todo: Iterable[TrialSpec],
        executor: LocalExecutor,
        watcher: Watcher,
        *,
        take_turns: bool,
    ) -> None:
        self.left = deque(todo)
        self._executor = executor
        self._watcher = watcher
        self._take_turns = take_turns
        self._claims = Claims()
        self._say_once = cache(watcher.told)  # what it was told already, it is not told again
        self._owners: dict[str, str] = {}  # of each trial, as last read

    def run_next(self) -> bool:
        """Runs the next trial that nobody else has; whether there was one."""
        results = self._executor.results
        # A turn lasts until a trial was run. Were it over at one that is recorded by now, the other
        # run would be a trial ahead for ever.
        with turn(results, self._say_turns) if self._take_turns else nullcontext():
            for _ in range(len(self.left)):
                spec = self.left.popleft()
                if spec.is_recorded(results):
                    self._watcher.elsewhere(spec)
                elif (ending := self._attempt(spec)) is None:
                    self.left.append(spec)
                else:
                    break
            else:
                return False
        self._watcher.ended(spec, ending)
        return True

    def _attempt(self, spec: TrialSpec) -> Ending | None:
        """How the trial ended; None if somebody else runs or ran it."""
        claim = self._claims.take(spec.folder(self._executor.results))
        if not isinstance(claim, Claim):
            if claim is not None:  # whose owner can be read
                self._owners[spec.label] = str(claim)
            self._say_once(f"{spec.label} is run by {self._owners.get(spec.label, 'another run')}.")
            return None
        with claim:
            if spec.is_recorded(self._executor.results):  # before it was claimed
                return None
            self._watcher.began(spec)
            try:
                return self._executor.run(
                    spec, lambda beat: self._watcher.beat(spec, beat), claim, self._watcher.told
                )
            except Lost:
                self._watcher.told(f"{spec.label} was taken over by another run.")
                return None

    def _say_turns(self) -> None:
        self._say_once("Another run trains on this machine; the two take turns.")
