"""What is written of a trial when it has ended. No jax."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from algoperf import machine
from algoperf.records import FORMAT, Ending, TrialSpec


def manifest(spec: TrialSpec, ending: Ending, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of a trial: what it was asked, how it ended, and the other facts."""
    return {
        "format": FORMAT,
        "submission": {"name": spec.submission, "file": spec.path.name, "sha256": spec.sha256},
        "workload": {
            "name": spec.workload,
            "fixed": asdict(spec.fixed),
            **facts.get("workload", {}),
        },
        "rules": spec.rules,
        "ruleset": spec.ruleset,
        "study": spec.study,
        "trial": spec.trial,
        "repeat": spec.repeat,
        "seed": spec.seed,
        "point": spec.point,
        "ending": asdict(ending),
        "versions": machine.versions(),
        **{key: value for key, value in facts.items() if key != "workload"},
    }


def meta_data(spec: TrialSpec, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same in part, by the names under which MLCommons keeps it."""
    system = facts.get("machine", {})
    return {
        "workload.target_metric_name": spec.fixed.validation.metric,
        "workload.validation_target_value": spec.fixed.validation.value,
        "workload.test_target_value": spec.fixed.test.value,
        "workload.max_allowed_runtime_sec": spec.fixed.budget_s,
        "workload.step_hint": spec.fixed.step_hint,
        "cpu_model_name": system.get("cpu"),
        "cpu_count": system.get("cores"),
        "os_platform": system.get("system"),
        "python_version": machine.versions()["python"],
        "rng_seed": spec.seed,
    }
