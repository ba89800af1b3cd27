"""How far a workload tells algorithms apart, from the runs that set its targets.

The level is the best validation value of the target-setting algorithm that got least far, so that
all of them reached it. Each algorithm's steps are those of its quickest run to that level; the
spread is the most over the fewest. At the target itself, which most runs stop short of, it is
larger. Other submissions with runs in the folders can be set beside them. Where the target-setting
runs are not at hand, the level is still known from their provenance.

    algoperf targets pocket --set && python benchmarks/spread.py pocket results/pocket-targets
    python benchmarks/spread.py pocket results/pocket --beside soap
"""

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from algoperf import records, rulesets, targets
from algoperf.spec import Target


def level_of(found: Mapping[str, Any], target: Target) -> Target:
    """The best value of the algorithm that got least far, in the target's place."""
    best: dict[str, float] = {}
    for run in found["search"]:
        name, value = run["submission"], run["best_validation"]
        if target.better(value, best.get(name, math.nan)):
            best[name] = value
    worst = min if target.higher_is_better else max
    return replace(target, value=worst(best.values()))


def steps_to(runs: Iterable[pd.DataFrame], target: Target) -> int | None:
    """Fewest steps of any run that met the target; None if none did."""
    reached = []
    for run in runs:
        met = run[f"validation/{target.metric}"].map(target.met)
        reached += run.loc[met, "global_step"].astype(int).to_list()
    return min(reached, default=None)


def runs_of(folders: Sequence[Path], submission: str, workload: str) -> list[pd.DataFrame]:
    """The evaluations of every trial of a submission on a workload."""
    return [
        records.read_measurements(trial)
        for folder in folders
        for trial in sorted((folder / submission).glob(f"study_*/{workload}_*/trial_*"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("results", type=Path, nargs="+", help="results folders")
    parser.add_argument("--beside", nargs="+", default=[], help="further submissions")
    asked = parser.parse_args()
    rules = rulesets.of_suite(asked.suite)
    names = [*targets.protocol(rules.name).submissions, *asked.beside]
    table = Table(title=f"Spread of {rules.name}: steps to the level (to the target)")
    for heading in ("workload", "level", *names, "spread"):
        table.add_column(heading)
    for workload in rules.base_workloads:
        target = rules.workloads[workload].validation
        level = level_of(targets.provenance(rules.name)[workload], target)
        runs = {name: runs_of(asked.results, name, workload) for name in names}
        steps = {name: steps_to(own, level) for name, own in runs.items()}
        whole = {name: steps_to(own, target) for name, own in runs.items()}
        cells = [told(steps[name], whole[name]) if runs[name] else "not run" for name in names]
        counts = [count for count in steps.values() if count is not None]
        spread = f"{max(counts) / min(counts):.2f}" if len(counts) > 1 else "-"
        table.add_row(workload, f"{level.value:.4g}", *cells, spread)
    Console().print(table)


def told(level: int | None, target: int | None) -> str:
    """Steps to both; '-' for never."""
    return " ".join("-" if count is None else f"{count:,}" for count in (level, target))


if __name__ == "__main__":
    main()
