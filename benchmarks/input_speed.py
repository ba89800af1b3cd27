"""Examples that the pipelines of the real data sets deliver, for those that are ready.

To compare with what a step needs: the batch size over the step's time.

    python benchmarks/input_speed.py [NAME ...] [--batches 20]
"""

import argparse
import time

import jax

from algoperf import registry
from algoperf.inputs.dataset import RecordDataset

BATCH_SIZES = {
    "cifar": 128,
    "criteo": 262_144,
    "fastmri": 32,
    "fineweb": 64,
    "imagenet": 1024,
    "imagenet_mixup": 1024,
    "librispeech": 256,
    "mnist": 16,
    "ogbg": 512,
    "wmt": 128,
}
"""As in AlgoPerf's reference submissions."""


def measure(dataset: RecordDataset, batch_size: int, batches: int) -> float:
    """Seconds a batch, once batches come at an even pace."""
    stream = dataset.training(batch_size, seed=0)
    for _ in range(3):
        jax.block_until_ready(next(stream))
    began = time.perf_counter()
    for _ in range(batches):
        jax.block_until_ready(next(stream))
    return (time.perf_counter() - began) / batches


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--batches", type=int, default=20)
    arguments = parser.parse_args()
    print("| data set | batch | [ms/batch] | examples/s |")
    print("|---|---|---|---|")
    for name, dataset in registry.datasets().items():
        if arguments.names and name not in arguments.names:
            continue
        if gap := dataset.missing():
            print(f"| {name} | | | {gap} |")
            continue
        size = BATCH_SIZES[name]
        seconds = measure(dataset, size, arguments.batches)
        print(f"| {name} | {size} | {1e3 * seconds:.1f} | {size / seconds:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
