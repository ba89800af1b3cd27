"""Rules by name or path, and the JSON files that hold them. No jax: scoring reads them too.

`algoperf list rules` shows those that come with the package; a path to a file of the user's own is
taken wherever a name is.
"""

import json
import math
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from algoperf import registry
from algoperf.errors import UserError
from algoperf.rules import Rules, Ruleset, Scoring, TrialChoice, Tuning, WorkloadRules
from algoperf.spec import Target


def load(name_or_path: str | Path) -> Rules:
    """The rules of that name, or in that file.

    Raises:
        UserError: If there are none, or if the file is not a rules file; says where.
    """
    path = _file_of(name_or_path)
    try:
        return _parse(_extended(json.loads(path.read_text()), path, ()), path.stem)
    except FileNotFoundError as error:
        raise UserError(f"There is no rules file {error.filename!r}.") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"Rules file {path} is not JSON: line {error.lineno}, column {error.colno}: "
            f"{error.msg}."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Rules file {path} cannot be read: {error}.") from None
    except KeyError as error:
        raise UserError(f"Rules file {path} lacks the key {error}.") from None
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"Rules file {path} is not in the form of a rules file: {error}.") from None


def _file_of(name_or_path: str | Path) -> Path:
    files = registry.rules_files()
    path = Path(name_or_path)
    if str(name_or_path) in files:
        return files[str(name_or_path)]
    if path.suffix != ".json" and len(path.parts) == 1:
        raise registry.unknown("rules", str(name_or_path), files, "algoperf list rules")
    return path


def _extended(raw: Mapping[str, Any], path: Path, below: tuple[Path, ...]) -> Mapping[str, Any]:
    """`raw` over the rules that it extends, if it does; workloads are added one by one."""
    if "extends" not in raw:
        return raw
    if path in below:
        raise ValueError(f"it extends itself, by way of {', '.join(map(str, below))}")
    named = raw["extends"] in registry.rules_files()
    base = _file_of(raw["extends"] if named else path.parent / raw["extends"])
    under = _extended(json.loads(base.read_text()), base, (*below, path))
    workloads = {**under["workloads"], **raw.get("workloads", {})}
    return {**under, "name": path.stem, **raw, "workloads": workloads}


E = TypeVar("E", bound=StrEnum)

_KEYS = {
    "name", "suite", "extends", "tuning", "base_workloads", "held_out", "held_out_pool",
    "qualification", "workloads", "tau_min", "tau_max", "cutoff", "choice", "profile_points",
    "budget_checked", "seed", "reference", "target_setting",
}  # fmt: skip


def _parse(raw: Mapping[str, Any], stem: str) -> Rules:
    if unknown := sorted(raw.keys() - _KEYS):
        raise ValueError(f"it has the unknown keys {', '.join(unknown)}")
    suite = str(raw["suite"])
    workloads = {name: _workload(name, entry) for name, entry in _object(raw, "workloads").items()}
    base_workloads = _names(raw, "base_workloads", workloads)
    rules = Rules(
        name=str(raw.get("name", stem)),
        suite=suite,
        tuning={
            _one_of(Ruleset, name, "a ruleset under tuning"): _tuning(name, entry)
            for name, entry in _object(raw, "tuning").items()
        },
        base_workloads=base_workloads,
        held_out=_names(raw, "held_out", workloads) if "held_out" in raw else (),
        held_out_pool=_pool(raw.get("held_out_pool", {}), workloads, base_workloads),
        qualification=_names(raw, "qualification", workloads) if "qualification" in raw else (),
        workloads=workloads,
        scoring=_scoring(raw),
        seed=_whole(raw.get("seed", 0), "seed", least=0),
        reference=str(raw.get("reference", "")),
    )
    if not base_workloads:
        raise ValueError("base_workloads is empty; name at least one workload to score")
    if lacking := [ruleset for ruleset in Ruleset if ruleset not in rules.tuning]:
        raise ValueError(f"tuning lacks {', '.join(lacking)}")
    for name in rules.held_out:
        rules.base_of(name)
    return rules


def _pool(
    raw: Any, known: Mapping[str, Any], base_workloads: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The groups, without the variants of workloads that these rules do not score."""
    if not isinstance(raw, dict):
        raise TypeError("held_out_pool must be groups of variants, by name")
    bases = tuple(f"{name}_" for name in base_workloads)
    pool = {
        str(group): tuple(name for name in _names(raw, group, known) if name.startswith(bases))
        for group in raw
    }
    return {group: variants for group, variants in pool.items() if variants}


def _names(raw: Mapping[str, Any], key: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    names = raw[key]
    if not isinstance(names, list) or len(set(map(str, names))) != len(names):
        raise ValueError(f"{key} is not a list of different names")
    if without := [str(name) for name in names if name not in known]:
        raise ValueError(
            f"{key} names {', '.join(without)}, without an entry under `workloads`: add one, or "
            "correct the name"
        )
    return tuple(names)


def _object(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(raw[key], dict):
        raise TypeError(f"{key} is {raw[key]!r}; it must be an object, of entries by name")
    return raw[key]


def _one_of(kind: type[E], value: Any, key: str) -> E:
    if value not in list(kind):
        raise ValueError(f"{key} is {value!r}; it must be one of {', '.join(kind)}")
    return kind(value)


def _number(value: Any, key: str, *, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise ValueError(f"{key} is {value!r}; it must be a number of at least {least:g}")
    if math.isinf(value):
        raise ValueError(f"{key} is not finite")
    return float(value)


def _whole(value: Any, key: str, *, least: int) -> int:
    if _number(value, key, least=least) != int(value):
        raise ValueError(f"{key} is {value!r}; it must be a whole number")
    return int(value)


def _flag(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{key} is {value!r}; it must be true or false")
    return value


def _tuning(name: str, raw: Mapping[str, Any]) -> Tuning:
    if raw.keys() != {"studies", "trials", "budget_factor"}:
        raise ValueError(f"tuning {name} must have studies, trials and budget_factor")
    return Tuning(
        studies=_whole(raw["studies"], f"studies of {name}", least=1),
        trials=_whole(raw["trials"], f"trials of {name}", least=1),
        budget_factor=_number(raw["budget_factor"], f"budget_factor of {name}", least=0.01),
    )


def _scoring(raw: Mapping[str, Any]) -> Scoring:
    tau_max = _number(raw["tau_max"], "tau_max", least=1)
    tau_min = _number(raw.get("tau_min", 1), "tau_min", least=1)
    if not tau_min < tau_max:
        raise ValueError(f"tau_min is {tau_min:g}; it must be below tau_max, which is {tau_max:g}")
    points = raw.get("profile_points")
    if points is not None and _whole(points, "profile_points", least=2) > 1_000_000:
        raise ValueError(f"profile_points is {points}; a million are enough")
    return Scoring(
        tau_min=tau_min,
        tau_max=tau_max,
        cutoff=_number(raw.get("cutoff", tau_max), "cutoff", least=1),
        choice=_one_of(TrialChoice, raw.get("choice", TrialChoice.FASTEST), "choice"),
        profile_points=points,
        budget_checked=_flag(raw.get("budget_checked", True), "budget_checked"),
    )


def _workload(name: str, raw: Mapping[str, Any]) -> WorkloadRules:
    metric, budget = raw["metric"], raw["budget_s"]
    higher = _flag(raw["higher_is_better"], f"higher_is_better of {name}")
    if not isinstance(metric, str):
        raise TypeError(f"metric of {name} is {metric!r}; it must be a name")

    def target(key: str) -> Target:
        # A target that is not set is NaN, which nothing meets.
        value = raw[key]
        number = math.nan if value is None else _number(value, f"{key} of {name}", least=-1e300)
        return Target(metric, number, higher)

    return WorkloadRules(
        validation=target("validation_target"),
        test=target("test_target"),
        budget_s=math.inf if budget is None else _number(budget, f"budget_s of {name}", least=0),
        step_hint=_whole(raw["step_hint"], f"step_hint of {name}", least=1),
    )


def suites() -> dict[str, list[str]]:
    """Suite to the names of the rules that go with it."""
    found: dict[str, list[str]] = {}
    for name in registry.rules_files():
        found.setdefault(load(name).suite, []).append(name)
    return found


def workload_names() -> frozenset[str]:
    """Every workload that any registered rules know."""
    return frozenset(name for rules in registry.rules_files() for name in load(rules).workloads)


def of_suite(suite: str, rules: str | None = None) -> Rules:
    """The rules asked for, or else the suite's: those of its name, or its newest.

    Raises:
        UserError: If there is no such suite, or there are no such rules.
    """
    known = suites()
    if suite not in known:
        raise registry.unknown("suite", suite, known, "algoperf list suites")
    if rules is not None:
        return load(rules)
    return load(suite if suite in known[suite] else max(known[suite], key=_version))


def _version(name: str) -> tuple[int, ...]:
    """`v0.10` is newer than `v0.6`; a form of it, like `v0.6-as-published`, is no newer."""
    numbers = re.fullmatch(r"v(\d+)\.(\d+)", name)
    return tuple(map(int, numbers.groups())) if numbers else (-1,)
