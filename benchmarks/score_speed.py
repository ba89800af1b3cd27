"""How long scoring takes, on logs of the size of AlgoPerf v0.5's external ones, made here.

11 submissions x 14 workloads x 5 studies x 5 trials, about 55 MB of CSV; with --tenfold also ten
times as many submissions. Each figure is of a whole `algoperf score` process, imports included:
median (least to most) of the repeats.

    python benchmarks/score_speed.py [--tenfold] [--repeats 5]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from algoperf import rulesets
from algoperf.rules import WorkloadRules

RULES = "v0.5"
SUBMISSIONS = 11
EVALUATIONS = 57
OTHER_COLUMNS = (
    "accumulated_eval_time", "accumulated_logging_time", "preemption_count", "test/loss",
    "test/num_examples", "total_duration", "train/loss", "validation/num_examples",
)  # fmt: skip


def make_logs(folder: Path, submissions: int) -> int:
    """Writes the logs; returns their size in bytes."""
    rules = rulesets.load(RULES)
    rng = np.random.default_rng(0)
    size = 0
    for number in range(submissions):
        for workload in (*rules.base_workloads, *rules.held_out):
            for study in range(1, 6):
                for trial in range(1, 6):
                    place = folder / f"s{number}" / f"study_{study}" / f"{workload}_jax"
                    place = place / f"trial_{trial}"
                    place.mkdir(parents=True)
                    text = _trial(rules.workloads[workload], rng, 0.5 + number / submissions)
                    (place / "eval_measurements.csv").write_text(text)
                    point = {"learning_rate": rng.random(), "weight_decay": rng.random()}
                    (place / "hparams.json").write_text(json.dumps(point))
                    size += len(text)
    return size


def _trial(fixed: WorkloadRules, rng: np.random.Generator, pace: float) -> str:
    """A curve that meets the target somewhere between a third of the budget and never."""
    target = fixed.validation
    names = sorted(
        {
            *OTHER_COLUMNS, "accumulated_submission_time", "global_step", "score",
            *(f"{split}/{target.metric}" for split in ("train", "validation", "test")),
        }
    )  # fmt: skip
    share = np.arange(1, EVALUATIONS + 1) / EVALUATIONS
    gap = 0.5 - share / (pace * rng.uniform(0.5, 1.2))
    value = target.value * (1 - gap if target.higher_is_better else 1 + gap)
    table = rng.random((EVALUATIONS, len(names)))
    seconds = share * fixed.budget_s + rng.random()
    for column, values in (
        ("accumulated_submission_time", seconds), ("score", seconds),
        ("global_step", np.arange(EVALUATIONS) * 100), (f"validation/{target.metric}", value),
    ):  # fmt: skip
        table[:, names.index(column)] = values
    lines = [",".join(names), *(",".join(map(repr, row)) for row in table.tolist())]
    return "\n".join(lines) + "\n"


def score(logs: Path, out: Path) -> tuple[float, float, float]:
    """Wall and processor seconds and peak MB of one whole process."""
    command = [Path(sys.executable).with_name("algoperf"), "score", logs, "--rules", RULES]
    start = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--json", out / "board.json"], stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"scoring failed with {process.returncode}")
    processor = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - start, processor, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenfold", action="store_true", help="ten times the submissions, too")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for factor in (1, 10) if arguments.tenfold else (1,):
            logs, out = Path(name) / f"logs{factor}", Path(name) / f"out{factor}"
            size = make_logs(logs, SUBMISSIONS * factor)
            count = sum(1 for _ in logs.rglob("eval_measurements.csv"))
            print(f"{count:,} CSVs, {size / 1e6:.0f} MB")
            for what in ("first call", "second call"):
                found = []
                for _ in range(arguments.repeats):
                    if what == "first call":
                        shutil.rmtree(out, ignore_errors=True)
                    found.append(score(logs, out))
                seconds, processor, peak = zip(*found, strict=True)
                print(
                    f"  {what}: {statistics.median(seconds):.2f} s "
                    f"({min(seconds):.2f} to {max(seconds):.2f}), processor "
                    f"{statistics.median(processor):.2f} s, peak {max(peak):.0f} MB"
                )


if __name__ == "__main__":
    main()
