"""A trial's process against one with a bare loop: time per step, and peak memory.

Two processes that take turns: the harness in one that keeps what it frees, as a trial does, and a
bare jitted loop in one that is as anybody starts it. With `--devices`, both on so many forced
devices, where they wait after every step. The peak is the whole process's, all libraries included.

    python benchmarks/process_cost.py [--workload NAME] [--rounds 9] [--seconds 1.0]
                                      [--devices 1 2 4 8]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from alternation import head, ratios, rounds, row, spread

if TYPE_CHECKING:
    from collections.abc import Callable


class Process:
    """One of the two, which trains on demand.

    Args:
        kind: `trial` or `bare`.
        workload: Its name.
        devices: How many.
    """

    def __init__(self, kind: str, workload: str, devices: int) -> None:
        flags = f"--xla_force_host_platform_device_count={devices}"
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, __file__, "--kind", kind, "--workload", workload],
            env={**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.peak_mib = 0.0

    def __call__(self, steps: int) -> float:
        """Seconds of so many further steps."""
        print(steps, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline() if self._process.stdout else ""
        seconds, self.peak_mib = map(float, answer.split())
        return seconds

    def end(self) -> None:
        self._process.communicate()


def serve(kind: str, workload_name: str) -> None:
    """In the process: reads how many steps to train, and prints seconds and peak memory [MiB]."""
    from algoperf import allocation, caches, registry
    from algoperf.compilation import CompileMeter, use_cache

    if kind == "trial":
        allocation.keep_freed_memory()
    import step_cost

    use_cache(caches.folder_of(caches.HARNESS))
    meter = CompileMeter()
    meter.listen()
    workload = registry.workload(workload_name)
    loop: Callable[[int], float] = (
        step_cost.Harness(workload, meter)
        if kind == "trial"
        else step_cost.bare(workload, draw=True)
    )
    for line in sys.stdin:
        seconds = loop(int(line))
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(seconds, peak_mib, flush=True)


def measure(name: str, devices: int, count: int, seconds: float) -> None:
    """One line of the table."""
    ours, bare = Process("trial", name, devices), Process("bare", name, devices)
    for process in (ours, bare):
        process(60)
    steps = max(10, round(seconds / (bare(10) / 10)))
    times = rounds({"ours": partial(ours, steps), "bare": partial(bare, steps)}, count)
    row(
        name,
        str(devices),
        f"{statistics.median(times['bare']) / steps * 1e3:.2f}",
        spread(ratios(times["ours"], times["bare"])),
        f"{bare.peak_mib:.0f}",
        f"{ours.peak_mib / bare.peak_mib:.2f}",
    )
    ours.end()
    bare.end()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["trial", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--workload", nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a loop takes in a round")
    parser.add_argument("--devices", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    if arguments.kind:
        serve(arguments.kind, arguments.workload[0])
        return
    import step_cost

    head(
        "workload", "devices", "bare [ms/step]", "trial / bare", "quartiles", "range",
        "bare's peak [MiB]", "trial's / bare's",
    )  # fmt: skip
    for name in arguments.workload or step_cost.small_workloads():
        for devices in arguments.devices:
            measure(name, devices, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
