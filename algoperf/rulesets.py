"""The rules of a benchmark as data: workloads, targets, budgets, studies, trials, scoring.

One JSON file holds them; `algoperf list rules` shows those that come with the package, and a
path to a file of the user's own is taken wherever a name is. No jax: scoring reads this too.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from algoperf import registry
from algoperf.errors import UserError
from algoperf.spec import Target


class Ruleset(StrEnum):
    """How a submission may be tuned."""

    EXTERNAL = "external"
    SELF_TUNING = "self_tuning"


@dataclass(frozen=True)
class Tuning:
    """What a ruleset grants: `trials` in each of `studies`, at `budget_factor` times the budget."""

    studies: int
    trials: int
    budget_factor: float


@dataclass(frozen=True)
class WorkloadRules:
    """What the rules fix for one workload.

    Attributes:
        validation: The target that ends a trial and that counts.
        test: The same for the test split; NaN, which nothing meets, where the rules have none.
        budget_s: Submission time in external tuning [s]; infinite where the rules have none.
        step_hint: Steps that a tuned baseline needs, for schedules.
    """

    validation: Target
    test: Target
    budget_s: float
    step_hint: int


class Choice(StrEnum):
    """Which trial a study's time is that of."""

    FASTEST = "fastest"
    EARLIEST_EVALUATION = "earliest_evaluation"


@dataclass(frozen=True)
class Scoring:
    """How times become a score.

    Attributes:
        tau_min: Where the performance profile's area begins, as a ratio to the fastest.
        tau_max: Where it ends.
        cutoff: A time above so many times the fastest of its workload is not reached.
        choice: The trial whose time is its study's. The rules say the fastest; MLCommons'
            scorer takes the one whose evaluations are the fewest.
        profile_points: MLCommons' scorer samples the profile at so many points and takes the
            trapezoid rule; None for the exact area.
        budget_checked: Whether an evaluation past the budget is refused. The runner of v0.5 made
            one, and the scorer counted it.
    """

    tau_min: float = 1.0
    tau_max: float = 4.0
    cutoff: float = 4.0
    choice: Choice = Choice.FASTEST
    profile_points: int | None = None
    budget_checked: bool = True


@dataclass(frozen=True)
class Rules:
    """One version of a benchmark.

    Attributes:
        name: As given with `--rules`.
        suite: The suite that is run under these rules.
        tuning: What each ruleset grants.
        base_workloads: Those that are scored, in the order of the table.
        held_out: Variants that veto their base if missed; empty in most rules.
        workloads: Targets and budgets, by name; also of variants that are not scored.
        scoring: How times become a score.
        seed: Root of every trial's seed and of the points drawn.
        reference: The submission that speed-ups are over, unless another is asked for.
    """

    name: str
    suite: str
    tuning: Mapping[Ruleset, Tuning]
    base_workloads: tuple[str, ...]
    held_out: tuple[str, ...]
    workloads: Mapping[str, WorkloadRules]
    scoring: Scoring
    seed: int
    reference: str

    def fixed(self, workload: str, ruleset: Ruleset) -> "WorkloadRules":
        """What is fixed for a trial; the budget is what the ruleset grants."""
        rules = self.workloads[workload]
        return replace(rules, budget_s=rules.budget_s * self.tuning[ruleset].budget_factor)


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
    except KeyError as error:
        raise UserError(f"Rules file {path} lacks the key {error}.") from None
    except (TypeError, ValueError, AttributeError) as error:
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


def _parse(raw: Mapping[str, Any], stem: str) -> Rules:
    rules = Rules(
        name=raw.get("name", stem),
        suite=raw["suite"],
        tuning={Ruleset(name): Tuning(**tuning) for name, tuning in raw["tuning"].items()},
        base_workloads=tuple(raw["base_workloads"]),
        held_out=tuple(raw.get("held_out", ())),
        workloads={name: _workload(entry) for name, entry in raw["workloads"].items()},
        scoring=_scoring(raw),
        seed=int(raw.get("seed", 0)),
        reference=str(raw.get("reference", "")),
    )
    scored = (*rules.base_workloads, *rules.held_out)
    if without := [name for name in scored if name not in rules.workloads]:
        raise ValueError(f"no targets for {', '.join(without)}")
    if not rules.base_workloads:
        raise ValueError("no base workloads")
    if lacking := [ruleset for ruleset in Ruleset if ruleset not in rules.tuning]:
        raise ValueError(f"tuning lacks {', '.join(lacking)}")
    return rules


def _scoring(raw: Mapping[str, Any]) -> Scoring:
    tau_max = float(raw["tau_max"])
    points = raw.get("profile_points")
    scoring = Scoring(
        tau_min=float(raw.get("tau_min", 1.0)),
        tau_max=tau_max,
        cutoff=float(raw.get("cutoff", tau_max)),
        choice=Choice(raw.get("choice", Choice.FASTEST)),
        profile_points=None if points is None else int(points),
        budget_checked=bool(raw.get("budget_checked", True)),
    )
    if not 1 <= scoring.tau_min < scoring.tau_max:
        raise ValueError(
            f"tau goes from {scoring.tau_min:g} to {tau_max:g}; it must be 1 <= tau_min < tau_max"
        )
    if scoring.cutoff < 1:
        raise ValueError(f"cutoff is {scoring.cutoff:g}; it must be at least 1")
    if points is not None and scoring.profile_points < 2:  # type: ignore[operator] - is set
        raise ValueError(f"profile_points is {points}; it takes at least 2")
    return scoring


def _workload(raw: Mapping[str, Any]) -> WorkloadRules:
    def target(value: float | None) -> Target:
        # A target that is not set is NaN, which nothing meets.
        number = math.nan if value is None else float(value)
        return Target(raw["metric"], number, bool(raw["higher_is_better"]))

    budget = raw["budget_s"]
    return WorkloadRules(
        validation=target(raw["validation_target"]),
        test=target(raw["test_target"]),
        budget_s=math.inf if budget is None else float(budget),
        step_hint=int(raw["step_hint"]),
    )


def suites() -> dict[str, list[str]]:
    """Suite to the names of the rules that go with it."""
    found: dict[str, list[str]] = {}
    for name in registry.rules_files():
        found.setdefault(load(name).suite, []).append(name)
    return found


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
