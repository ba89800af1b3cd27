"""Which workloads need regularisation to reach their targets.

Each is trained at the best point that was found when its target was set, or at the best of one
submission, with the seeds that set the target: as it is, without weight decay, without dropout, and
without both. Everything else stays, what the data or the model do to the inputs in training too.

    python benchmarks/regularisation.py [--workload clicks ...] [--submission adamw] [--seeds 2]
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from algoperf import caches, compilation, loading, registry, rulesets, settling, targets, trial
from algoperf.spec import Progress, Split, Target
from algoperf.view import WorkloadView
from algoperf.workload import Evaluator, Workload

RULES = "pocket"


def ways(workload: Workload, point: dict[str, Any]) -> dict[str, tuple[Workload, dict[str, Any]]]:
    """What is left out -> workload and point without it."""
    found = {
        "nothing": (workload, point),
        "weight decay": (workload, {**point, "weight_decay": 0.0}),
    }
    if getattr(workload.model, "dropout_rate", 0.0):
        model: Any = workload.model
        without = replace(workload, model=model.clone(dropout_rate=0.0))
        found["dropout"] = (without, point)
        found["both"] = (without, {**point, "weight_decay": 0.0})
    return found


def best_run(found: Mapping[str, Any], submission: str | None, target: Target) -> dict[str, Any]:
    """The run whose point was the best of all, or of one target-setting algorithm."""
    if submission is None:
        return found["repeats"][0]
    runs = [run for run in found["search"] if run["submission"] == submission]
    if (best := settling.best_place(target, runs)) is None:
        raise SystemExit(f"{submission} has no points there; name a base workload")
    return runs[best]


def train(workload: Workload, name: str, point: dict[str, Any], seed: int) -> tuple[float, int]:
    """Best validation value of a whole schedule, and the first step at the target; 0 for never."""
    view, evaluate = WorkloadView(workload, float("inf")), Evaluator(workload)
    algorithm = loading.load(name).algorithm
    model_key, init_key, step_key = jax.random.split(jax.random.key(seed), 3)
    state = trial.initial_state(
        algorithm, view, workload, point, model_key=model_key, init_key=init_key
    )
    batches = workload.dataset.training(workload.batch_size, seed)
    target = workload.validation
    best, reached = float("nan"), 0
    for step in range(workload.step_hint):
        progress = Progress(step, 0.0, float("inf"), ())
        key = jax.random.fold_in(step_key, step)
        state = algorithm.update(view, state, next(batches), key, progress)
        if (step + 1) % (workload.eval_every_steps or 1):
            continue
        params, model_state, _ = state
        value = evaluate(params, model_state, Split.VALIDATION)[target.metric]
        best = value if target.better(value, best) else best
        if not reached and target.met(value):
            reached = step + 1
    return best, reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    rules = rulesets.of_suite(RULES)
    parser.add_argument("--workload", nargs="+", default=rules.base_workloads)
    parser.add_argument("--submission", help="at its best point (default: the best of all)")
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    compilation.use_cache(caches.folder_of(caches.HARNESS))
    print(
        "| workload | at the best point of | target | left out | best, by seed | target at step |\n"
        "|---|---|---|---|---|---|"
    )
    for name in asked.workload:
        workload = replace(registry.workload(name), **vars(rules.workloads[name]))
        of_target = targets.provenance(RULES)[name]
        best = best_run(of_target, asked.submission, workload.validation)
        seeds = [run["seed"] for run in of_target["repeats"][: asked.seeds]]
        for out, (less, point) in ways(workload, best["point"]).items():
            found = [train(less, best["submission"], point, seed) for seed in seeds]
            values = ", ".join(f"{value:.4g}" for value, _ in found)
            steps = ", ".join(f"{step:,}" if step else "never" for _, step in found)
            target = f"{workload.validation.value:.4g}"
            cells = f"`{name}`", best["submission"], target, out, values, steps
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
