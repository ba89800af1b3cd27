"""Time from the command to the first training step, and what a trial costs beside its training.

Each in a fresh process: once with an empty compilation cache, then with a filled one. To reach:
everything outside training and compilation under 5 s.

    python benchmarks/start_up.py [--workload NAME] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alternation import head, row

CHILD = """
import sys, time
from pathlib import Path

class Watcher:
    first = None
    def began(self, spec): pass
    def beat(self, spec, beat):
        if self.first is None and beat.step:
            self.first = time.time()
    def told(self, text): pass
    def elsewhere(self, spec): pass
    def ended(self, spec, ending): pass

if __name__ == "__main__":
    began, workload, results = float(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    from algoperf import rulesets, study
    plan = study.plan(["adamw"], [workload], rulesets.of_suite("quick"), results, studies=1)
    watcher = Watcher()
    study.run(plan.todo[:1], results, watcher)
    print(watcher.first - began, time.time() - began)
"""


def measure(workload: str, cache: Path) -> tuple[float, float, float]:
    """(command to first step, compilation, command less training, evaluation, compilation) [s]."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "child.py"
        script.write_text(CHILD)
        results = Path(folder) / "results"
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, script, str(time.time()), workload, results],
            env={**os.environ, "XDG_CACHE_HOME": str(cache)},
            capture_output=True,
            text=True,
            check=True,
        )
        first, whole = map(float, done.stdout.split())
        (manifest,) = results.glob("*/*/*/*/manifest.json")
        clock = json.loads(manifest.read_text())["clock"]
    aside = clock["submission_s"] + sum(
        clock["accounts"][name] for name in ("evaluation", "compilation")
    )
    return first, clock["compile_s"], whole - aside


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", nargs="+", default=["digits_autoencoder", "digits_vit"])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    head("workload", "cache", "command to first step [s]", "compilation [s]", "all else [s]")
    for name in arguments.workload:
        with tempfile.TemporaryDirectory() as cache:
            rows = [measure(name, Path(cache)) for _ in range(1 + arguments.rounds)]
        for label, part in (("empty", rows[:1]), ("filled", rows[1:])):
            first, compiling, rest = (
                statistics.median(column) for column in zip(*part, strict=True)
            )
            row(name, label, f"{first:.2f}", f"{compiling:.2f}", f"{rest:.2f}")


if __name__ == "__main__":
    main()
