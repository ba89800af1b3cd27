"""How far a workload tells algorithms apart, from the runs that set its targets.

The level is the best validation value of the algorithm that got least far, so that all reached
it. Each algorithm's steps are those of its quickest run to that level; the spread is the most over
the fewest. At the target itself, which most runs stop short of, it is larger.

    algoperf targets pocket --set && python benchmarks/spread.py pocket results/pocket-targets
"""

import argparse
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from algoperf import records, rulesets, targets


def best(runs: list[pd.DataFrame], column: str, sign: int) -> float:
    """The best value of any run, signed so that more is better."""
    return max((sign * run[column]).max() for run in runs)


def steps_to(runs: list[pd.DataFrame], column: str, sign: int, level: float) -> float:
    """Fewest steps of any run to a signed value of at least `level`."""
    return min(
        run.loc[sign * run[column] >= level, "global_step"].min()
        for run in runs
        if (sign * run[column]).max() >= level
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("results", type=Path, nargs="+", help="folders of target-setting runs")
    asked = parser.parse_args()
    rules = rulesets.of_suite(asked.suite)
    names = targets.protocol(rules.name).submissions
    table = Table(title=f"Spread of {rules.name}")
    for heading in ("workload", "level", *names, "spread"):
        table.add_column(heading)
    for workload in rules.base_workloads:
        target = rules.workloads[workload].validation
        column, sign = f"validation/{target.metric}", 1 if target.higher_is_better else -1
        runs = {
            name: [
                records.read_measurements(trial)
                for folder in asked.results
                for trial in (folder / name).glob(f"study_1/{workload}_*/trial_*")
            ]
            for name in names
        }
        if not all(runs.values()):
            continue
        level = min(best(own, column, sign) for own in runs.values())
        steps = [steps_to(own, column, sign, level) for own in runs.values()]
        table.add_row(
            workload,
            f"{sign * level:.4g}",
            *(f"{count:.0f}" for count in steps),
            f"{max(steps) / min(steps):.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
