"""The benchmarks of what a step, a process, a start, a checkpoint, scoring and diagnosis cost.

They run one after the other; the tables are printed, and written to a file as well. Those that
answer one question, or need results, real data sets or hours (`campaign`, `coverage`,
`forecast_coverage`, `input_speed`, `regularisation`, `selection`, `spread`), are run by themselves.

python benchmarks/all.py [--out results/benchmarks.md]
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TextIO

COMMANDS = (
    "step_cost.py",
    "process_cost.py",
    "process_cost.py --workload digits_autoencoder --devices 2 4 8",
    "together_cost.py",
    "checkpoint_cost.py",
    "start_up.py",
    "update_cost.py",
    "score_speed.py",
    "diagnose.py",
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks.md"))
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(__file__).parent
    with arguments.out.open("w") as out:
        for command in COMMANDS:
            script, *options = command.split()
            say(out, f"\n## {command}\n\n")
            process = subprocess.Popen(  # noqa: S603 - our own scripts
                [sys.executable, folder / script, *options], stdout=subprocess.PIPE, text=True
            )
            for line in process.stdout or ():
                say(out, line)
            if process.wait():
                sys.exit(f"{command} ended with exit status {process.returncode}")


def say(out: TextIO, text: str) -> None:
    for stream in (sys.stdout, out):
        stream.write(text)
        stream.flush()


if __name__ == "__main__":
    main()
