"""What a checkpoint costs: its time, and the share of a trial's time that it comes to.

One process, in alternation: some training with its evaluation, a checkpoint as a trial makes it
(packed, written, flushed to the disk), and the same state with orbax. The share is that of the
training that lies between two checkpoints at the rate at which a trial makes them. To reach: at
most 1 %.

    python benchmarks/checkpoint_cost.py [--workload NAME] [--rounds 21] [--folder DIR]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import optax
import orbax.checkpoint
from alternation import head, row

from algoperf import checkpoint, registry, running, submission, trial
from algoperf.checkpoint import Checkpoint
from algoperf.clock import Clock
from algoperf.loop import train_loop
from algoperf.recording import TrialRecord
from algoperf.records import TrialSpec
from algoperf.rules import Ruleset, WorkloadRules
from algoperf.spec import TrainState


def measure(name: str, rounds: int, folder: Path) -> tuple[int, list[float], list[float]]:
    """(bytes of a checkpoint, seconds of each, seconds of each with orbax)."""
    workload = replace(registry.workload(name), eval_every_steps=10)
    steps = 10 * (rounds + 2)
    algorithm = submission.from_optax(lambda _, __: optax.adamw(1e-4), steps=lambda _: steps)
    unset = replace(workload.validation, value=float("nan"))
    fixed = WorkloadRules(unset, workload.test, float("inf"), steps)
    source = Path(__file__)
    spec = TrialSpec(
        "bench", source, registry.source_hash(source), name, 1, 1, 0, None, Ruleset.SELF_TUNING,
        "bench", fixed,
    )  # fmt: skip
    record = TrialRecord(spec, folder)
    record.begin()
    ours: list[float] = []
    theirs: list[float] = []
    other = orbax.checkpoint.StandardCheckpointer()
    start = None

    def save(train: TrainState) -> Callable[[Checkpoint], None]:
        began = time.perf_counter()
        apart = checkpoint.taken_apart(train, start)
        taking_s = time.perf_counter() - began

        def keep(point: Checkpoint) -> None:
            began = time.perf_counter()
            record.save(*checkpoint.packed(point, {}, apart))
            between = time.perf_counter()
            other.save(folder / f"orbax_{point.step}", point.train)
            other.wait_until_finished()
            ours.append(taking_s + between - began)
            theirs.append(time.perf_counter() - between)

        return keep

    run = trial.prepare(
        spec,
        replace(workload, **vars(fixed)),
        algorithm,
        Clock(),
        running.Outputs(append=record.append, append_table=record.append_table, save=save),
    )
    start = jax.tree.structure(run.train)
    train_loop(run)
    size = max(path.stat().st_size for path in record.folder.glob("checkpoint_*.npz"))
    return size, ours[1:], theirs[1:]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", nargs="+", default=["digits_autoencoder", "digits_vit"])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    every_s, share = running.CHECKPOINT_EVERY_S, running.CHECKPOINT_SHARE
    running.CHECKPOINT_EVERY_S, running.CHECKPOINT_SHARE = 0.0, float("inf")
    head("workload", "size [MB]", "checkpoint [ms]", "quartiles", "share [%]", "orbax / ours")
    for name in arguments.workload:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            size, ours, theirs = measure(name, arguments.rounds, Path(folder))
        low, middle, high = statistics.quantiles(ours, n=4)
        ratio = statistics.median(t / o for o, t in zip(ours, theirs, strict=True))
        taken = middle / max(every_s, middle / share)
        row(
            name,
            f"{size / 1e6:.1f}",
            f"{middle * 1e3:.0f}",
            f"{low * 1e3:.0f} to {high * 1e3:.0f}",
            f"{100 * taken:.2f}",
            f"{ratio:.1f}",
        )


if __name__ == "__main__":
    main()
