"""What there is, as rows: for a table or as JSON. Imports jax only for what needs a model."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from algoperf import registry, rulesets
from algoperf.errors import UserError
from algoperf.spec import Split

Row = dict[str, Any]


def rows(what: str) -> list[Row]:
    """One row a workload, submission, suite or set of rules."""
    return LISTS[what]()


def _workloads() -> list[Row]:
    from algoperf import counting
    from algoperf.workload import describe

    found = registry.workloads()
    sizes = counting.parameters(found)
    return [describe(workload, sizes[name]) for name, workload in found.items()]


def _submissions() -> list[Row]:
    from algoperf import declarations

    found = declarations.read(registry.submission_names(), hidden=Path("results"))
    if faults := [str(one) for one in found if isinstance(one, UserError)]:
        raise UserError("\n".join(faults))
    return [
        {"name": one.name, "ruleset": str(one.ruleset), "description": one.doc}
        for one in found
        if isinstance(one, declarations.Declared)
    ]


def _suites() -> list[Row]:
    return [
        {
            "name": suite,
            "rules": names,
            "workloads": list(rulesets.of_suite(suite).base_workloads),
        }
        for suite, names in rulesets.suites().items()
    ]


def _rules() -> list[Row]:
    found = []
    for name in registry.rules_files():
        rules = rulesets.load(name)
        tuning = {
            str(ruleset): f"{t.studies} x {t.trials}, budget x {t.budget_factor:g}"
            for ruleset, t in rules.tuning.items()
        }
        found.append(
            {
                "name": name,
                "suite": rules.suite,
                **tuning,
                "workloads": len(rules.base_workloads),
                "held_out": list(rules.held_out),
                "tau_max": rules.scoring.tau_max,
            }
        )
    return found


LISTS: dict[str, Callable[[], list[Row]]] = {
    "workloads": _workloads,
    "submissions": _submissions,
    "suites": _suites,
    "rules": _rules,
}


def machine_facts() -> list[Row]:
    """What this machine is, how fast it is now, and what is missing."""
    import jax

    from algoperf import machine, sandbox

    found = machine.fingerprint([device.device_kind for device in jax.devices()])
    facts: Row = {"machine id": machine.fingerprint_id(found), **found, **machine.versions()}
    facts |= machine.calibrate()
    landlock = sandbox.version()
    facts["trials"] = (
        f"sandboxed, by Landlock {landlock}" if landlock else "not sandboxed: no Landlock here"
    )
    absent = {w.dataset.name for w in registry.workloads().values() if w.dataset.missing()}
    if absent:
        facts["data sets not ready"] = (
            f"{', '.join(sorted(absent))}; `algoperf data prepare NAME` says what to do"
        )
    return [{"fact": _heading(name), "value": value} for name, value in facts.items()]


def datasets() -> list[Row]:
    """The data sets that are read from disk, and what is missing of each."""
    return [
        {
            "name": name,
            "state": "not ready" if (faults := dataset.faults()) else "ready",
            "examples": counts(dataset.sizes),
            "first fault": faults[0] if faults else None,
        }
        for name, dataset in registry.datasets().items()
    ]


def counts(sizes: Mapping[Split, int]) -> str:
    """How many examples each split has."""
    shown = (Split.TRAIN, Split.VALIDATION, Split.TEST)
    return ", ".join(f"{split} {sizes[split]:,}" for split in shown if split in sizes)


def as_json(found: Sequence[Row]) -> str:
    """The rows as a JSON list."""
    return json.dumps(found, indent=2, allow_nan=False)


_FOR_PROGRAMS = {
    "base", "mirrors", "dataset", "loss_type", "metric", "higher_is_better", "test_target",
    "step_hint",
}  # fmt: skip
"""Facts of a workload that only `--json` tells, or that the terminal shows with another."""

_NEVER_FOLDED = 12
"""The longest text of a column that is as wide as its texts even on a narrow terminal."""


def table(found: Sequence[Row], *, heading: bool = True) -> Table:
    """The rows as a table for the terminal; of workloads what fits into a narrow one."""
    names = [name for name in found[0] if name not in _FOR_PROGRAMS]
    cells = [[_shown(row, name) for name in names] for row in found]
    shown = Table(show_header=heading, box=box.SIMPLE, collapse_padding=True)
    for name, column in zip(names, zip(*cells, strict=True), strict=True):
        brief = max(map(len, column)) <= _NEVER_FOLDED
        shown.add_column(Text(_heading(name)), no_wrap=brief, overflow="fold")
    for row in cells:
        shown.add_row(*map(Text, row))
    return shown


def _heading(name: str) -> str:
    if name == "data_ready":
        return "data"  # a narrow terminal has no room for more
    words = f"{name.removesuffix('_s')} [s]" if name.endswith("_s") else name
    return words.replace("_", " ")


def _shown(row: Row, name: str) -> str:
    """A fact as the table has it."""
    if name == "target":
        aim = "not set" if row["target"] is None else _cell(row["target"])
        return f"{row['metric']} {aim}"
    if name == "parameters":
        return f"{row['parameters']:,}"
    if name == "data_ready":
        return "yes" if row["data_ready"] else "no"
    return _cell(row[name])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def targets(rules: str, names: Sequence[str]) -> Group:
    """How the targets of `rules` came about: a row a workload, with the runs behind each number."""
    from algoperf import targets as setting

    how = setting.protocol(rules)
    provenance = setting.provenance(rules)
    shown = Table(title=f"How the targets of {rules} were set")
    for heading in ("workload", "runs", "best validation values"):
        shown.add_column(heading)
    for name in names:
        if (found := provenance.get(name)) is None:
            shown.add_row(name, "not set", "", end_section=True)
            continue
        label = name
        for algorithm in dict.fromkeys(run["submission"] for run in found["search"]):
            runs = [run for run in found["search"] if run["submission"] == algorithm]
            shown.add_row(label, f"search, {algorithm}", _values(runs))
            label = ""
        best = found["repeats"][0]
        point = ", ".join(f"{key} {_cell(value)}" for key, value in best["point"].items())
        shown.add_row(label, f"best again, {best['submission']}", _values(found["repeats"]))
        shown.add_row("", "its point", point)
        fixed = (
            f"target {_cell(found['validation_target'])}, test target "
            f"{_cell(found['test_target'])}, budget {found['budget_s']:g} s"
        )
        shown.add_row("", "so", Text(fixed, style="bold"), end_section=True)
    note = (
        f"Each algorithm is tried at {how.points} points, its schedule {how.horizon:g} x the step "
        f"hint long; the best point is repeated over {how.seeds} seeds. The target is the median "
        "of their best validation values; the test target is the worst test value among those "
        f"that hit it. The budget is {how.budget_factor:g} x the time that the slowest algorithm "
        "needs for the step hint."
    )
    if not how.search_variants:
        note += (
            " Variants have no search: the best point of their base is repeated on them, and its "
            "budget is theirs."
        )
    if how.horizons:
        others = ", ".join(f"{share:g} on {name}" for name, share in how.horizons.items())
        note += f" The schedule is {others} and its variants."
    return Group(shown, Text(note, style="dim"))


def _values(runs: Sequence[Row]) -> str:
    """Best validation values in order, as text; a dash where a run measured no number."""
    values = sorted((v for run in runs if (v := run["best_validation"]) is not None), key=float)
    missing = len(runs) - len(values)
    return " ".join([*(f"{value:.4g}" for value in values), *["-"] * missing])
