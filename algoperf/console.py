"""What a person sees while trials run: a live line on a terminal, plain lines elsewhere."""

import math
import time
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from algoperf.records import Beat, Ending, TrialSpec
from algoperf.spec import Status
from algoperf.study import duration

_STYLE = {
    Status.TARGET_REACHED: "green",
    Status.FINISHED_EARLY: "yellow",
    Status.BUDGET_EXHAUSTED: "yellow",
    Status.DIVERGED: "red",
    Status.FAILED: "red",
}


class Display:
    """Shows a run: trials done and to go, the running one's step and metric, time left.

    Use as a context manager, around `study.run`.
    """

    def __init__(self, console: Console, done: int, total: int) -> None:
        self._console = console
        self._progress = Progress(
            # What changes most stands last, where a narrow terminal cuts.
            SpinnerColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total, completed=done, left="")
        self._done, self._total = done, total
        self._began_run = time.monotonic()
        self._began: dict[str, float] = {}
        self._ran = 0
        self.failed: list[TrialSpec] = []

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def began(self, spec: TrialSpec) -> None:
        self._began[spec.label] = time.monotonic()
        self._progress.update(self._task, description=f"{_what(spec)}: starting")

    def beat(self, spec: TrialSpec, beat: Beat) -> None:
        target = spec.fixed.validation
        now = "" if math.isnan(beat.value) else f", {target.metric} {beat.value:.4g}"
        aim = "" if math.isnan(target.value) else f" (target {target.value:.4g})"
        text = f"{_what(spec)}: step {beat.step}{now}{aim}"
        self._progress.update(self._task, description=text, left=self._left())

    def standing(self, text: str) -> None:
        self._progress.update(self._task, description=escape(text), left=self._left())

    def told(self, text: str) -> None:
        self._console.print(text, style="yellow", soft_wrap=True, markup=False, highlight=False)

    def elsewhere(self, spec: TrialSpec) -> None:
        self._done += 1
        self._console.print(
            f"{self._done:>{len(str(self._total))}}/{self._total} {spec.label}: by another run",
            style="dim",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
        self._progress.update(self._task, completed=self._done, left=self._left())

    def ended(self, spec: TrialSpec, ending: Ending) -> None:
        self._ran += 1
        self._done += 1
        if ending.status == Status.FAILED:
            self.failed.append(spec)
        # On a cluster a trial may be over before it was seen to run.
        began = self._began.pop(spec.label, None)
        took = "" if began is None else f" ({time.monotonic() - began:.1f} s)"
        style = _STYLE[ending.status]
        self._console.print(
            f"[dim]{self._done:>{len(str(self._total))}}/{self._total}[/dim] {escape(spec.label)}: "
            f"[{style}]{ending.status.replace('_', ' ')}[/{style}][dim]{took}[/dim]",
            soft_wrap=True,
            highlight=False,
        )
        self._console.print(f"    {ending.reason}", style="dim", soft_wrap=True, markup=False)
        self._progress.update(self._task, completed=self._done, left=self._left())

    def _left(self) -> str:
        if not self._ran:
            return ""
        each = (time.monotonic() - self._began_run) / self._ran
        return f"about {duration(each * (self._total - self._done))} left"


class Preparing:
    """Shows a preparation: how much of the source is converted, and what is being done.

    Use as a context manager, around `prepare`.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)
        self._console, self._what = console, ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def planned(self, total_bytes: int) -> None:
        self._progress.update(self._task, total=total_bytes)

    def working(self, what: str) -> None:
        self._what = what
        self._progress.update(self._task, description=what)

    def done(self, source_bytes: int) -> None:
        self._progress.advance(self._task, source_bytes)
        if self._what and not self._console.is_terminal:
            self._console.print(self._what, highlight=False, markup=False)
        self._what = ""


def _what(spec: TrialSpec) -> str:
    return escape(f"{spec.submission} on {spec.workload}")
