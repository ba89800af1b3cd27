"""How planner, results folder and scorer stand up to a whole campaign, of trials that are not run.

100 submissions, tuned externally, on AlgoPerf's nine workloads and their 24 variants (all held
out), 3 studies of 5 trials: v0.6's own numbers, 49,500 trials; with --trials 15 three times as
many. A trial's files are written by what writes a real trial's, under claims as in a real run, but
nothing is trained and the disk is not waited for. A part of the trials is recorded, then the rest.

Times are of whole commands, imports included. Prints a row as it is measured.

    python benchmarks/campaign.py [--trials 5] [--folder DIR]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from algoperf import rulesets, study
from algoperf.executors.local import LocalExecutor
from algoperf.recording import TrialRecord
from algoperf.records import Ending, TrialSpec
from algoperf.rules import Rules
from algoperf.spec import Status

EVALUATIONS = 57
"""Of a trial; the mean over AlgoPerf v0.5's published external logs."""

MACHINE = {"cpu": "simulated", "cores": 48, "memory_gib": 240, "devices": ["simulated"] * 8}
CALIBRATION = {"matmul_s": 0.001, "copy_s": 0.001, "loop_s": 0.003}


def write_rules(folder: Path, trials: int, studies: int) -> Path:
    """v0.6's rules over all nine workloads, holding out all variants."""
    rules = rulesets.load("v0.6")
    bases = [*rules.base_workloads, "finewebedu_lm"]
    variants = [name for name in rules.workloads if name.startswith(tuple(f"{b}_" for b in bases))]
    external = {"studies": studies, "trials": trials, "budget_factor": 1.0}
    raw = {
        "extends": "v0.6",
        "base_workloads": bases,
        "held_out": [name for name in variants if name not in bases],
        "tuning": {"external": external, "self_tuning": {**external, "trials": 1}},
        "reference": "s000",
    }
    path = folder / "campaign.json"
    path.write_text(json.dumps(raw))
    return path


def write_submissions(folder: Path, count: int) -> list[Path]:
    """Submissions that differ in a line."""
    paths = [folder / f"s{number:03}.py" for number in range(count)]
    for path in paths:
        path.write_text(
            f'"""Number {path.stem}, simulated."""\n\n'
            "search_space = {\n"
            '    "learning_rate": {"min": 1e-4, "max": 1e-2, "scaling": "log"},\n'
            '    "one_minus_beta1": {"min": 0.02, "max": 0.2, "scaling": "log"},\n'
            '    "weight_decay": {"min": 1e-3, "max": 1.0, "scaling": "log"},\n'
            "}\n\n\n"
            "def init(workload, params, hyperparameters, key): ...\n\n\n"
            "def update(workload, train, batch, key, progress): ...\n"
        )
    return paths


def share_of_budget(spec: TrialSpec) -> float:
    """After which share of its budget a trial meets its target; above 1, never.

    Later submissions are slower, by a twentieth of the first each, and a trial differs from another
    by at most a hundredth.
    """
    noise = zlib.crc32(spec.label.encode()) / 2**32
    return 0.3 * (1 + 0.05 * int(spec.submission[1:])) * (1 + 0.01 * noise)


def record(spec: TrialSpec, results: Path, claim: int = 1) -> Ending:
    """Writes what a real trial would have left behind."""
    folder = TrialRecord(spec, results, claim)
    folder.begin()
    share = share_of_budget(spec)
    reached = share <= 1 and np.isfinite(spec.fixed.validation.value)
    for row in _rows(spec, min(share, 1.0), reached=reached):
        folder.append(row)
    status = Status.TARGET_REACHED if reached else Status.BUDGET_EXHAUSTED
    ending = Ending(status, "simulated", EVALUATIONS * 100)
    folder.finish(
        ending,
        {
            "machine": MACHINE,
            "machine_id": "simulated",
            "workload": {"suite": "full", "base": spec.workload, "batch_size": 1024, "notes": []},
            "clock": {"accounts": {}, "submission_s": 0.0, "compile_s": 60.0, "total_s": 0.0},
            "calibration": {"before": CALIBRATION, "after": CALIBRATION},
            "calibration_best": CALIBRATION,
            "load": {"own": 0.9, "others": 0.0, "stolen": 0.0},
            "checkpoints": {"obstacle": None},
        },
    )
    return ending


def _rows(spec: TrialSpec, share: float, *, reached: bool) -> Iterator[dict[str, float | int]]:
    """Evaluations up to `share` of the budget, of which the last meets the target if `reached`."""
    target = spec.fixed.validation
    aim = target.value if np.isfinite(target.value) else 1.0
    budget_s = spec.fixed.budget_s if np.isfinite(spec.fixed.budget_s) else 50_000.0
    # The seed is that of all submissions: with it alone, logs of one content would be many.
    rng = np.random.default_rng([spec.seed, zlib.crc32(spec.submission.encode())])
    noise = rng.random((EVALUATIONS, 5)).tolist()
    for place in range(EVALUATIONS):
        seconds = budget_s * share * (place + 1) / EVALUATIONS
        gap = 0.5 * (1 - place / (EVALUATIONS - 1)) + (0.0 if reached else 0.01)
        value = aim * (1 - gap if target.higher_is_better else 1 + gap)
        metrics = {
            f"{split}/{name}": value if (split, name) == ("validation", target.metric) else odd
            for (split, name), odd in zip(
                [(s, n) for s in ("train", "validation", "test") for n in (target.metric, "loss")],
                [*noise[place], 1.0],
                strict=True,
            )
        }
        yield {
            "accumulated_submission_time": seconds,
            "accumulated_eval_time": 30.0 * (place + 1) + noise[place][0],
            "accumulated_logging_time": noise[place][1],
            "accumulated_data_time": seconds / 100,
            "accumulated_compile_time": 60.0,
            "total_duration": 1.2 * seconds + 90.0,
            "score": seconds,
            "global_step": 100 * (place + 1),
            "examples": 102_400 * (place + 1),
            "flops": 1.7e15 * (place + 1),
            "preemption_count": 0,
            **metrics,
            "validation/num_examples": 50_000,
            "test/num_examples": 50_000,
        }


class Quiet:
    """Whom a run tells nothing."""

    def began(self, spec): ...

    def beat(self, spec, beat): ...

    def told(self, text): ...

    def ended(self, spec, ending): ...

    def elsewhere(self, spec): ...


def run(todo: Sequence[TrialSpec], results: Path) -> None:
    """`study.run` with `record` in place of training, and without waiting for the disk."""

    def simulate(executor, spec, on_beat, claim, tell):
        return record(spec, executor.results, claim.number)

    with mock.patch("os.fsync"), mock.patch.object(LocalExecutor, "run", simulate):
        study.run(todo, results, Quiet())


@dataclass(frozen=True)
class Campaign:
    """A simulated campaign in `folder`.

    Attributes:
        rules: Its rules' file.
        submissions: Their files.
        results: Its results folder.
    """

    rules: Path
    submissions: list[Path]
    results: Path

    @classmethod
    def make(cls, folder: Path, submissions: int, trials: int, studies: int) -> "Campaign":
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            write_rules(folder, trials, studies),
            write_submissions(folder, submissions),
            folder / "results",
        )

    def loaded(self) -> Rules:
        return rulesets.load(self.rules)

    def plan(self) -> study.Plan:
        rules = self.loaded()
        names = [*rules.base_workloads, *rules.held_out]
        return study.plan(list(map(str, self.submissions)), names, rules, self.results)


def measure(*arguments: str | Path) -> str:
    """Wall and processor seconds and peak memory of a whole `algoperf` command."""
    command = [Path(sys.executable).with_name("algoperf"), *arguments]
    # By way of a small process: a program's peak counts the memory of the one that started it.
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", MEASURE, *command], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
seconds = time.perf_counter() - start
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
processor, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
sys.stdout.write(f"{seconds:.1f} s, processor {processor:.1f} s, peak {peak:.0f} MB")
"""


def size(results: Path) -> str:
    """Files and bytes of a results folder."""
    files = total = 0
    for _, _, names, descriptor in os.fwalk(results):
        files += len(names)
        total += sum(os.stat(name, dir_fd=descriptor).st_size for name in names)
    return f"{files:,} files, {total / 1e9:.2f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=100)
    parser.add_argument(
        "--trials", type=int, default=5, help="trials in each study (default: %(default)s)"
    )
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument(
        "--first", type=float, default=0.7,
        help="share of the trials that is recorded before the others (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--folder", type=Path, help="folder that is made and kept (default: a temporary one)"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        campaign = Campaign.make(folder, asked.submissions, asked.trials, asked.studies)
        options = ("--suite", "full", "--rules", campaign.rules, "--results", campaign.results)
        plan = ("run", *campaign.submissions, *options, "--plan")
        todo = campaign.plan().todo
        print(f"{len(todo):,} trials", flush=True)
        print(f"plan, nothing recorded: {measure(*plan)}", flush=True)
        # Every so many trials one is left for later: as where nodes were lost, not in one piece.
        late = max(round(1 / (1 - asked.first)), 2)
        for share, part in (
            (f"{1 - 1 / late:.0%}", [spec for place, spec in enumerate(todo) if place % late]),
            ("the rest", todo[::late]),
        ):
            start = time.perf_counter()
            run(part, campaign.results)
            each = (time.perf_counter() - start) / len(part)
            print(f"record {share}: {1e3 * each:.2f} ms a trial", flush=True)
            print(f"plan, then: {measure(*plan)}", flush=True)
        assert not campaign.plan().todo
        print(size(campaign.results), flush=True)
        score = ("score", campaign.results, "--rules", campaign.rules)
        for call in ("first", "second"):
            told = measure(*score, "--json", folder / "board" / "board.json")
            print(f"score, {call} call: {told}", flush=True)
        print(f"score with report: {measure(*score, '--out', folder / 'board')}", flush=True)


if __name__ == "__main__":
    main()
