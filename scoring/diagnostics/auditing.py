"""What is wrong with the samples of a family and task: counted, and named."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics.grouping import Group, other_names
from scoring.diagnostics.table import Block, Booleans, Integers
from scoring.problems import Problem

MOST_NAMED = 3
"""Faulty samples that are told by name; beyond, their number."""
LONGEST_NAME = 16
"""Characters of a sample's name that are told."""

_FAULTS = {
    "duplicates": ("{} of its samples are there more than once, alike", "took each once"),
    "missing": ("lacks {} of the task's samples", "left those out for all models"),
    "part": ("lacks some choices of {} samples", "left those out for all models"),
    "faulty": (
        "{} samples have a value that is NaN or a log-likelihood above 0 or below -1e100",
        "left those out for all models",
    ),
    "no_score": (
        "{} samples have a score that is NaN or infinite",
        "left those out for all models",
    ),
    "no_gold": ("{} samples do not have exactly one gold choice", "left those out for all models"),
    "other_prompt": ("{} samples have another prompt than the first model's", "kept them"),
}


def count_faults(
    group: Group,
    counted: dict[str, Booleans],
    there: Booleans,
    used: Booleans,
    problems: list[Problem],
) -> pd.DataFrame:
    """The group's rows of the audit; what is wrong is added to the problems as well.

    Args:
        group: One family and task.
        counted: Name of a fault to where it is, (models, samples).
        there: Which samples a model has, (models, samples).
        used: Which samples remain, (samples,).
        problems: Where faults are told in words.
    """
    rows = []
    for k, model in enumerate(group.models):
        counts = {name: int(faults[k].sum()) for name, faults in counted.items()}
        rows.append(
            {"family": group.family, "task": group.task, "model": model}
            | {"samples": int(there[k].sum())} | counts | {"used": int(used.sum())}
        )  # fmt: skip
        for name, (what, action) in _FAULTS.items():
            if count := counts.get(name, 0):
                told = what.format(count) + named(group, counted[name][k])
                problems.append(Problem(f"{group.where}: {model}", told, action))
    return pd.DataFrame(rows)


def lacking_tasks(audit: pd.DataFrame) -> Iterator[Problem]:
    """Models of a family of which a task is not there at all."""
    for family, own in audit.groupby("family"):
        models = set(own["model"])
        for task, there in own.groupby("task"):
            for model in sorted(models - set(there["model"])):
                what = f"has no sample of {task}"
                yield Problem(f"{family}: {model}", what, "did that task without it")


def same_gold(group: Group, gold: Integers, known: Booleans, frame: pd.DataFrame) -> None:
    """Models that disagree about the right answer were asked different things."""
    highest = np.where(known, gold, -1).max(axis=0)
    lowest = np.where(known, gold, np.iinfo(np.intp).max).min(axis=0)
    changed = (known.sum(axis=0) > 1) & (highest != lowest)
    changed |= other_names(frame, "target", group).any(axis=0)
    if changed.any():
        first = int(np.argmax(changed))
        told = ", ".join(
            f"{name}: {gold[k, first]}" for k, name in enumerate(group.models) if known[k, first]
        )
        raise UserError(
            f"{group.where}: the target of {int(changed.sum())} samples is not the same for all "
            f"models, the first is {group.samples[first]!r} (gold choice of {told}). Results of "
            "different versions of a task cannot be compared."
        )


def tell_impossible(
    group: Group, possible: Booleans, used: Booleans, problems: list[Problem]
) -> None:
    """Samples that stay, of which a model finds every choice impossible."""
    wrong = used & ~np.logical_and.reduce(possible, axis=0)
    if wrong.any():
        what = f"a model finds every choice of {int(wrong.sum())} samples impossible"
        action = (
            "kept them: p_choices, Brier and accuracy are not defined there, and the mean of such "
            "a model is over the others (n_undefined)"
        )
        problems.append(Problem(group.where, f"{what}{named(group, wrong)}", action))


def named(group: Group | Block, chosen: Booleans) -> str:
    """The first few of the samples chosen, by name, for the end of a sentence."""
    places = np.flatnonzero(chosen)
    names = [str(group.samples[place]) for place in places[:MOST_NAMED]]
    # A hash begins as no other does, and what it begins with can be searched for.
    first = ", ".join(n if len(n) <= LONGEST_NAME else f"{n[:LONGEST_NAME]}..." for n in names)
    more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    return f" ({first}{more})"
