"""Trials that the rules grant a submission: which are recorded, which are missing. No jax."""

import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from algoperf import records, registry, tuning
from algoperf.declarations import Declared
from algoperf.errors import UserError
from algoperf.records import TrialSpec
from algoperf.rules import Rules, Ruleset, Tuning


@functools.cache
def seed_of(rules_seed: int, study: int, workload: str, trial: int) -> int:
    """The seed of a trial: the same for every submission, so that comparisons are paired."""
    text = f"{rules_seed}/{study}/{workload}/{trial}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def places(
    results: Path, name: str, workloads: Sequence[str], granted: Tuning, studies: int | None
) -> dict[tuple[int, str, int], str]:
    """(study, workload, trial) to folder, as in `records.finished`, of everything asked for."""
    names = {trial: records.trial_name(trial) for trial in range(1, granted.trials + 1)}
    found = {}
    for study, workload in itertools.product(range(1, _studies(granted, studies) + 1), workloads):
        above = f"{records.workload_folder(results, name, study, workload)}{os.sep}"
        found |= {(study, workload, trial): above + named for trial, named in names.items()}
    return found


def recorded(
    path: Path,
    workloads: Sequence[str],
    rules: Rules,
    results: Path,
    studies: int | None,
    *,
    asked: Ruleset | None,
) -> int:
    """How many trials of a submission are recorded, if all are; 0 otherwise.

    Arguments as in `study.plan`, but for the submission's file.

    Raises:
        UserError: If it is not of the ruleset asked for, or if what is recorded is of another
            version of the file or was run under other rules.
    """
    name, sha256 = registry.submission_name(path), registry.source_hash(path)
    there = list(records.finished(results, name))
    ruleset = _recorded_ruleset(there, results / name, sha256, rules)
    if ruleset is None:
        return 0
    _check_ruleset(name, ruleset, asked)
    found = places(results, name, workloads, rules.tuning[ruleset], studies)
    return len(found) if set(there).issuperset(found.values()) else 0


def missing(
    declared: Declared,
    workloads: Sequence[str],
    rules: Rules,
    results: Path,
    studies: int | None,
    *,
    asked: Ruleset | None,
) -> tuple[list[TrialSpec], int]:
    """Missing trials of a submission, and the number of those recorded.

    Arguments as in `study.plan`, but for what the submission says of itself.

    Raises:
        UserError: If it is not of the ruleset asked for, or its search space cannot be drawn from.
    """
    name, ruleset, space = declared.name, declared.ruleset, declared.search_space
    sha256 = registry.source_hash(declared.path)
    _check_ruleset(name, ruleset, asked)
    granted = rules.tuning[ruleset]
    points = None
    if space is not None:
        try:
            points = tuning.draw(space, _studies(granted, studies) * granted.trials, rules.seed)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
    found = places(results, name, workloads, granted, studies)
    there = set(records.finished(results, name))
    fixed = {workload: rules.fixed(workload, ruleset) for workload in workloads}
    todo = [
        TrialSpec(
            submission=name,
            path=declared.path,
            sha256=sha256,
            workload=workload,
            study=study,
            trial=trial,
            seed=seed_of(rules.seed, study, workload, trial),
            point=points[(study - 1) * granted.trials + trial - 1] if points else None,
            ruleset=ruleset,
            rules=rules.name,
            fixed=fixed[workload],
        )
        for (study, workload, trial), folder in found.items()
        if folder not in there
    ]
    return todo, len(found) - len(todo)


def _studies(granted: Tuning, asked: int | None) -> int:
    return granted.studies if asked is None else min(asked, granted.studies)


def _check_ruleset(name: str, ruleset: Ruleset, asked: Ruleset | None) -> None:
    if ruleset == asked or asked is None:
        return
    if asked == Ruleset.SELF_TUNING:
        raise UserError(
            f"{name} has a search space, and self-tuning allows none: remove it, or leave "
            "--ruleset out to run it under external tuning."
        )
    raise UserError(
        f"{name} has no search space, and external tuning needs one: add `search_space`, or "
        "leave --ruleset out to run it under self-tuning."
    )


def _recorded_ruleset(
    trials: Iterable[str], home: Path, sha256: str, rules: Rules
) -> Ruleset | None:
    """The ruleset of the submission's recorded trials; None if there are none.

    Args:
        trials: Their folders.
        home: The submission's folder.
        sha256: Hash of its file.
        rules: The rules.

    Raises:
        UserError: If they are of another version of the file, or were run under other rules.
    """
    ruleset = None
    fixed_of = functools.cache(lambda *which: records.recorded_form(rules.fixed(*which)))
    for trial in trials:
        manifest = records.read_manifest(trial)
        if manifest is None:
            raise UserError(
                f"{trial} has no readable {records.MANIFEST}. Move it away to run the trial again."
            )
        ruleset = Ruleset(manifest["ruleset"])
        workload = manifest["workload"]["name"]
        fault = None
        if manifest["submission"]["sha256"] != sha256:
            fault = f"was run with another version of {home.name!r}"
        elif manifest["rules"] != rules.name:
            fault = f"was run under the rules {manifest['rules']!r}"
        elif workload not in rules.workloads:
            fault = "is on a workload that the rules no longer have"
        elif manifest["workload"]["fixed"] != fixed_of(workload, ruleset):
            fault = "was run with other targets or another budget"
        if fault is not None:
            raise UserError(
                f"{trial} {fault}. Results of the two do not mix: rename the submission, move "
                f"{home} away, or give another folder with --results."
            )
    return ruleset
