"""What a diagnosis costs: the correlations against a scipy loop, the whole verb, its memory.

To reach on two cores: of 312,500 samples x 8 models Pearson in 0.1 s, Spearman and Kendall in 1 s,
equal to scipy to 1e-12; `algoperf diagnose` on 10 tasks x 12,000 samples x 8 models x 4 choices in
10 s, reading included; ten million rows within 4 GiB.

    python benchmarks/diagnose.py [--rows {none,wide,long}...]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from threadpoolctl import threadpool_limits

from scoring.diagnostics import correlations

SIZES = {"wide": (10, 12_000, 8, 4), "long": (20, 15_700, 8, 4)}
"""Tasks, samples a task, models, choices: 3.84 and 10.05 million rows."""
SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
FEW = 2_000


def against_scipy(samples: int = 312_500, models: int = 8) -> None:
    rng = np.random.default_rng(0)
    x = np.log10(np.geomspace(1e18, 1e23, models))
    values = rng.normal(size=(models, samples)).round(2)
    print("| method | ours [s] | scipy's loop, from 2,000 samples [s] | largest difference |")
    print("|---|---|---|---|")
    for method, theirs in SCIPY.items():
        times, found = [], np.empty(0)
        with threadpool_limits(limits=1):
            for _ in range(5):
                start = time.perf_counter()
                found = correlations.correlate(x, values, (method,))[method].by_sample
                times.append(time.perf_counter() - start)
        start = time.perf_counter()
        loop = np.array([theirs(x, column)[0] for column in values[:, :FEW].T])
        each = (time.perf_counter() - start) / FEW
        apart = np.nanmax(np.abs(loop - found[:FEW]))
        print(f"| {method} | {min(times):.3f} | {each * samples:.0f} | {apart:.1e} |", flush=True)


def write(path: Path, tasks: int, samples: int, models: int, choices: int) -> None:
    """A family whose choices all rise with compute, the correct one a little more."""
    rng = np.random.default_rng(0)
    compute = np.geomspace(1e18, 1e23, models)
    shape = (models, samples, choices)
    m, s, c = (place.ravel() for place in np.indices(shape))
    names = np.array([f"model-{k}" for k in range(models)], object)
    for task in range(tasks):
        gold = rng.integers(choices, size=samples)
        edge = 2 + (np.arange(choices) == gold[:, None])
        loglik = rng.normal(-60, 5, (1, samples, choices)) + edge * np.arange(models)[:, None, None]
        loglik = np.minimum(loglik + rng.normal(0, 1, shape), 0)
        frame = pd.DataFrame(
            {
                "family": "family", "model": names[m], "compute": compute[m],
                "task": f"task_{task}", "sample_id": s, "choice_idx": c,
                "loglik_sum": loglik.ravel().round(4), "is_gold": c == gold[s],
            }
        )  # fmt: skip
        frame.to_csv(path, index=False, header=task == 0, mode="a")


def whole(size: str) -> None:
    """The verb in a fresh process, with its JSON: wall time, processor time, peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "choices.csv"
        write(path, *SIZES[size])
        rows = int(np.prod(SIZES[size]))
        tool = Path(sys.executable).parent / "algoperf"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(  # noqa: S603 - our own command
            [tool, "diagnose", path, "--json", path.with_suffix(".json")],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"| {rows:,} | {path.stat().st_size / 1e6:,.0f} | {wall:.1f} | {busy:.1f} "
            f"| {after.ru_maxrss / 2**20:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", nargs="*", choices=list(SIZES), default=list(SIZES))
    arguments = parser.parse_args()
    against_scipy()
    print("\n| rows | CSV [MB] | wall [s] | processor [s] | peak memory [GiB] |")
    print("|---|---|---|---|---|")
    for size in arguments.rows:
        whole(size)


if __name__ == "__main__":
    main()
