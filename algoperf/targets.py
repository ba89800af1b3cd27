"""How a suite's targets are set: AlgoPerf's protocol (Dahl et al. 2023, arXiv:2306.07179), scaled.

For each workload: several target-setting algorithms are each tried at a number of points, with
a schedule of `horizon` times the step hint (a submission later gets the whole of it, as in
AlgoPerf, whose target-setting runs use three quarters of the budget). The best point of all is
repeated with new seeds. The validation target is the median over those runs of the best
validation value; the test target is the worst test value, among the runs that hit it, at the
evaluation that did. The budget is `budget_factor` times the time that the slowest algorithm
needs for the step hint, by the fastest run of each, in whole seconds. Where the rules say so,
variants are not searched anew: the best point of their base is repeated on them, and the budget is
their base's, as in AlgoPerf.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from algoperf import records, registry, tuning
from algoperf.disk import replacing
from algoperf.errors import UserError
from algoperf.granted import seed_of
from algoperf.loading import load
from algoperf.records import TrialSpec
from algoperf.rules import Rules, Ruleset
from algoperf.settling import Protocol, best_of, outcome, settle

Runner = Callable[[Sequence[TrialSpec]], None]
"""Runs what is missing of the trials."""


def protocol(rules: str) -> Protocol:
    """How the targets of these rules are set.

    Raises:
        UserError: If the rules do not say.
    """
    return protocol_of(_raw(rules), rules)


def protocol_of(raw: dict[str, Any], rules: str) -> Protocol:
    """The protocol in the content of a rules' file."""
    how = raw.get("target_setting")
    if how is None:
        raise UserError(f"The rules {rules!r} do not say how targets are set (`target_setting`).")
    return Protocol(**{**how, "submissions": tuple(how["submissions"])})


def provenance(rules: str) -> dict[str, Any]:
    """Workload name to how its targets came about, as `set_targets` wrote it; {} if never set."""
    path = _provenance_file(rules)
    return json.loads(path.read_text()) if path.is_file() else {}


def set_targets(
    rules: Rules, workloads: Sequence[str], results: Path, run: Runner
) -> dict[str, Any]:
    """Sets the targets and budgets of `workloads` anew, in the rules' file.

    Args:
        rules: The rules whose targets are set.
        workloads: Names.
        results: Folder for the target-setting trials; what is there is not run again.
        run: Runs what is missing.

    Returns:
        The provenance written beside the rules.
    """
    how = protocol(rules.name)
    bases = [w for w in workloads if how.search_variants or _is_base(w)]
    variants = [name for name in workloads if name not in bases]
    found = _of_bases(rules, how, bases, results, run)
    _write(rules.name, found)
    of_variants = _of_variants(rules, how, variants, results, run)
    _write(rules.name, of_variants)
    return found | of_variants


def _is_base(workload: str) -> bool:
    return registry.workload(workload).base is None


def _of_bases(
    rules: Rules, how: Protocol, names: Sequence[str], results: Path, run: Runner
) -> dict[str, Any]:
    """A search for each, and its best point again with other seeds."""
    searches = {
        name: [spec for each in how.submissions for spec in _search(rules, how, name, each)]
        for name in names
    }
    run(_missing([spec for search in searches.values() for spec in search], results))
    repeats = {name: _repeats(rules, how, best_of(searches[name], results)) for name in names}
    run(_missing([spec for again in repeats.values() for spec in again], results))
    return {
        name: settle(
            rules.workloads[name].validation,
            how,
            [outcome(spec, results) for spec in repeats[name]],
            [outcome(spec, results) for spec in searches[name]],
            step_hint=rules.workloads[name].step_hint,
        )
        for name in names
    }


def _of_variants(
    rules: Rules, how: Protocol, names: Sequence[str], results: Path, run: Runner
) -> dict[str, Any]:
    """The best point of each one's base with other seeds, and the base's budget."""
    repeats = {name: _repeats(rules, how, _best_of_base(rules, how, name)) for name in names}
    run(_missing([spec for again in repeats.values() for spec in again], results))
    settled = provenance(rules.name)
    return {
        name: settle(
            rules.workloads[name].validation,
            how,
            [outcome(spec, results) for spec in repeats[name]],
            budget_s=settled[registry.workload(name).base_name]["budget_s"],
        )
        for name in names
    }


def _best_of_base(rules: Rules, how: Protocol, variant: str) -> TrialSpec:
    """The trial that set the target of the variant's base, on the variant.

    Raises:
        UserError: If the base has no target yet, or the submission another search space by now.
    """
    base = registry.workload(variant).base_name
    if (settled := provenance(rules.name).get(base)) is None:
        raise UserError(
            f"{variant} takes the best point of {base}, which has no target yet: name both."
        )
    best = settled["repeats"][0]
    for spec in _search(rules, how, variant, best["submission"]):
        if spec.point == best["point"]:
            return spec
    raise UserError(
        f"The target of {base} was set at a point that {best['submission']}'s search space no "
        f"longer gives: set it anew, with {variant}."
    )


def _search(rules: Rules, how: Protocol, workload: str, submission: str) -> list[TrialSpec]:
    """One trial for each point of one target-setting algorithm."""
    loaded = load(submission)
    if loaded.search_space is None:
        raise UserError(f"{submission} has no search space, so it cannot set targets.")
    fixed = rules.workloads[workload]
    horizon = how.horizons.get(registry.workload(workload).base_name, how.horizon)
    untargeted = replace(
        fixed,
        validation=replace(fixed.validation, value=math.nan),
        test=replace(fixed.test, value=math.nan),
        budget_s=math.inf,
        step_hint=round(horizon * fixed.step_hint),
    )
    return [
        TrialSpec(
            submission=loaded.name,
            path=loaded.path,
            sha256=loaded.sha256,
            workload=workload,
            study=1,
            trial=number,
            seed=seed_of(rules.seed, 1, workload, number),
            point=point,
            ruleset=Ruleset.EXTERNAL,
            rules=f"{rules.name} target setting",
            fixed=untargeted,
        )
        for number, point in enumerate(tuning.draw(loaded.search_space, how.points, rules.seed), 1)
    ]


def _repeats(rules: Rules, how: Protocol, best: TrialSpec) -> list[TrialSpec]:
    """The best trial again, as study 2, with other seeds."""
    return [
        replace(best, study=2, trial=n, seed=seed_of(rules.seed, 2, best.workload, n))
        for n in range(1, how.seeds + 1)
    ]


def _missing(specs: Sequence[TrialSpec], results: Path) -> list[TrialSpec]:
    """The trials that are not recorded.

    Raises:
        UserError: If another trial is recorded in the place of one of them.
    """
    missing = []
    for spec in specs:
        folder = spec.folder(results)
        if not folder.exists():
            missing.append(spec)
            continue
        manifest = records.read_manifest(folder)
        if manifest is None or not records.is_of(manifest, spec):
            raise UserError(
                f"{folder} is of another submission, point, seed or step hint than the protocol "
                f"asks for now. Move {results} away, or give another folder with --results."
            )
    return missing


def _write(rules: str, found: dict[str, Any]) -> None:
    """Puts the numbers into the rules' file and their provenance beside it."""
    raw = _raw(rules)
    for name, numbers in found.items():
        fixed = ("validation_target", "test_target", "budget_s")
        raw["workloads"][name] |= {key: numbers[key] for key in fixed}
    path = _provenance_file(rules)
    path.parent.mkdir(exist_ok=True)
    _dump(path, {**provenance(rules), **found})
    _dump(registry.rules_files()[rules], raw)


def _raw(rules: str) -> dict[str, Any]:
    return json.loads(registry.rules_files()[rules].read_text())


def _provenance_file(rules: str) -> Path:
    return registry.rules_files()[rules].parent / "provenance" / f"{rules}.json"


def _dump(path: Path, value: Any) -> None:
    """Writes JSON in one move: half a rules file would break every import of a workload."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())
