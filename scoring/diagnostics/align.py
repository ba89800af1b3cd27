"""From the long table to dense blocks, with an audit: nothing is left out without being counted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics.readers.models import Models
from scoring.diagnostics.table import (
    CORRECTED,
    EXTRA_NUMBERS,
    Block,
    Booleans,
    Integers,
    Rows,
    ScoreBlock,
)
from scoring.intervals import Floats
from scoring.problems import Problem

ROUNDING_NATS = 1e-6
"""A log-likelihood may stand this far above 0: rounding, not a fault."""
LARGEST = 1e100
"""Beyond this a number is no measurement, and its square no number; -inf is one."""

MOST_NAMED = 3
"""Faulty samples that are told by name; beyond, their number."""
LONGEST_NAME = 16
"""Characters of a sample's name that are told."""


@dataclass(frozen=True)
class Aligned:
    """What can be compared.

    Attributes:
        blocks: One a family and task of choices.
        scores: One a family and task of scores alone.
        audit: One row a family, task and model: `samples` it has, and how many of the task's it
            lacks (`missing`), has more than once (`duplicates`), whose log-likelihood is none
            (`faulty`; `no_score` in a table of scores), whose gold choice is not exactly one
            (`no_gold`), whose prompt differs from the first model's (`other_prompt`), and how many
            remain (`used`).
        problems: The same in words, and what was done.
    """

    blocks: list[Block]
    scores: list[ScoreBlock]
    audit: pd.DataFrame
    problems: list[Problem]


@dataclass(frozen=True)
class _Group:
    """The rows of one family and task; codes count from 0 without gaps."""

    family: str
    task: str
    rows: Integers
    models: list[str]
    model: Integers
    samples: np.ndarray
    sample: Integers

    @property
    def where(self) -> str:
        return f"{self.family}, {self.task}"

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.models), len(self.samples)


def align(rows: Rows, models: Models) -> Aligned:
    """Makes the blocks.

    A sample that any model of the family lacks, or for which any has a fault, is left out for
    all of them, and counted: models are only ever compared on the same samples.

    Raises:
        UserError: If duplicates contradict each other, models disagree about the gold choice, or
            nothing is left.
    """
    aligned = Aligned([], [], pd.DataFrame(), list(rows.problems) + models.problems)
    audits = []
    choices = "loglik_sum" in rows.frame
    for group in _groups(rows.frame):
        if choices:
            audits.append(_choices(rows.frame, group, models, aligned))
        else:
            audits.append(_scores(rows.frame, group, models, aligned))
    if not aligned.blocks and not aligned.scores:
        faults = dict.fromkeys(f"{p.path}: {p.problem}" for p in aligned.problems)
        raise UserError.of_many(
            "No sample is left to diagnose (log-likelihoods are in nats, at most 0):", list(faults)
        )
    audit = pd.concat(audits, ignore_index=True)
    aligned.problems.extend(_lacking_tasks(audit))
    return Aligned(aligned.blocks, aligned.scores, audit, aligned.problems)


def _groups(frame: pd.DataFrame) -> Iterator[_Group]:
    family, task = frame["family"].cat, frame["task"].cat
    key = family.codes.to_numpy(np.intp) * len(task.categories) + task.codes.to_numpy(np.intp)
    order = np.argsort(key, kind="stable")
    ends = np.flatnonzero(np.diff(key[order], append=-1)) + 1
    models, samples = frame["model"].cat, frame["sample_id"].cat
    start = 0
    for end in ends:
        rows = order[start:end]
        start = end
        own, model = _compact(models.codes.to_numpy()[rows], len(models.categories))
        named, sample = _compact(samples.codes.to_numpy()[rows], len(samples.categories))
        of = divmod(int(key[rows[0]]), len(task.categories))
        yield _Group(
            str(family.categories[of[0]]),
            str(task.categories[of[1]]),
            rows,
            [str(name) for name in models.categories[own]],
            model,
            samples.categories[named].to_numpy(object),
            sample,
        )


def _compact(codes: np.ndarray, size: int) -> tuple[Integers, Integers]:
    """Which codes occur, and the codes counted among those."""
    there = np.flatnonzero(np.bincount(codes, minlength=size))
    place = np.zeros(size, np.intp)
    place[there] = np.arange(len(there))
    return there, place[codes]


def _choices(frame: pd.DataFrame, group: _Group, models: Models, into: Aligned) -> pd.DataFrame:
    place = frame["choice_idx"].to_numpy()[group.rows]
    if (first := int(place.min())) > 0:
        what = f"choice_idx counts from {first}"
        into.problems.append(Problem(group.where, what, "took that for 0"))
        place = place - first
    shape = (int(place.max()) + 1, *group.shape)
    flat = np.ravel_multi_index((place, group.model, group.sample), shape)
    loglik, filled = _dense(frame, "loglik_sum", group, flat, shape)
    is_gold, _ = _dense(frame, "is_gold", group, flat, shape)
    present: Booleans = np.logical_or.reduce(filled, axis=1)
    whole = (filled == present[:, None]).all(axis=0)  # (models, samples)
    gaps = np.diff(present.astype(np.int8), axis=0) > 0
    ragged: Booleans = np.logical_or.reduce(present, axis=0) & np.logical_or.reduce(gaps, axis=0)
    golds = np.nansum(is_gold, axis=0)
    # An empty place is NaN in `loglik` as a fault is: only filled ones are looked at.
    faulty = (filled & ~_may_be_loglik(loglik)).any(axis=0)
    there: Booleans = np.logical_or.reduce(filled, axis=0)
    gold = np.nan_to_num(is_gold).argmax(axis=0)
    _same_gold(group, gold, there & (golds == 1), frame)
    other = _other_names(frame, "prompt", group)
    bad = ~whole | faulty | (golds != 1) | ragged
    keep = np.flatnonzero(~np.logical_and.reduce(bad, axis=1))
    used: Booleans = ~np.logical_or.reduce(bad[keep], axis=0) & (len(keep) > 0)
    counted = {
        "missing": ~there,
        "duplicates": _duplicates(flat, shape).any(axis=0),
        "part": there & ~whole,
        "faulty": faulty,
        "no_gold": there & (golds != 1),
        "other_prompt": other,
    }
    audit = _audit(group, counted, there, used, into.problems)
    if ragged.any():
        what = f"{int(ragged.sum())} samples have a gap in their choice_idx{_named(group, ragged)}"
        into.problems.append(Problem(group.where, what, "left them out for all models"))
    single: Booleans = used & (present.sum(axis=0) == 1)
    if single.any():
        what = f"{int(single.sum())} samples have one choice{_named(group, single)}"
        action = "kept them: their accuracy and p_choices are constant"
        into.problems.append(Problem(group.where, what, action))
    possible: Booleans = np.logical_or.reduce(filled & (loglik > -np.inf), axis=0)
    _tell_impossible(group, possible[keep], used, into.problems)
    if not used.any():
        into.problems.append(Problem(group.where, "no sample is left", "left the task out"))
        return audit
    for k in sorted(set(range(len(group.models))) - set(keep.tolist())):
        where = f"{group.where}: {group.models[k]}"
        into.problems.append(Problem(where, "has no usable sample", "did the task without it"))
    order, compute = _by_compute(group, models)
    kept = np.isin(order, keep)
    order, compute = order[kept], compute[kept]
    empty = ~present[:, None, used]

    def part(values: Floats, fill: float) -> Floats:
        return np.where(empty, fill, values[:, order][:, :, used])

    into.blocks.append(
        Block(
            family=group.family,
            task=group.task,
            models=tuple(group.models[k] for k in order),
            compute=compute,
            samples=group.samples[used],
            loglik=part(loglik, -np.inf),
            present=present[:, used],
            gold=gold[order[0]][used],
            extra={
                name: part(_dense(frame, name, group, flat, shape)[0], np.nan)
                for name in (*EXTRA_NUMBERS, CORRECTED)
                if name in frame and frame[name].notna().to_numpy()[group.rows].any()
            },
            cluster=_cluster(frame, group, used, into.problems),
        )
    )
    return audit


def _may_be_loglik(values: Floats) -> Booleans:
    """Whether values are log-likelihoods: at most 0, maybe -inf."""
    return ((values >= -LARGEST) & (values <= ROUNDING_NATS)) | (values == -np.inf)


def _tell_impossible(
    group: _Group, possible: Booleans, used: Booleans, problems: list[Problem]
) -> None:
    """Samples that stay, of which a model finds every choice impossible."""
    wrong = used & ~np.logical_and.reduce(possible, axis=0)
    if wrong.any():
        what = f"a model finds every choice of {int(wrong.sum())} samples impossible"
        action = (
            "kept them: p_choices, Brier and accuracy are not defined there, and the mean of such "
            "a model is over the others (n_undefined)"
        )
        problems.append(Problem(group.where, f"{what}{_named(group, wrong)}", action))


def _scores(frame: pd.DataFrame, group: _Group, models: Models, into: Aligned) -> pd.DataFrame:
    shape = (1, *group.shape)
    flat = np.ravel_multi_index((np.zeros_like(group.model), group.model, group.sample), shape)
    score, filled = _dense(frame, "score", group, flat, shape)
    there = filled[0]
    faulty = there & ~(np.abs(score[0]) <= LARGEST)
    used = (there & ~faulty).all(axis=0)
    counted = {
        "missing": ~there, "duplicates": _duplicates(flat, shape)[0], "no_score": faulty,
    }  # fmt: skip
    audit = _audit(group, counted, there, used, into.problems)
    order, compute = _by_compute(group, models)
    if not used.any():
        into.problems.append(Problem(group.where, "no sample is left", "left the task out"))
        return audit
    into.scores.append(
        ScoreBlock(
            group.family,
            group.task,
            tuple(group.models[k] for k in order),
            compute,
            group.samples[used],
            score[0][order][:, used],
        )
    )
    return audit


def _dense(
    frame: pd.DataFrame, name: str, group: _Group, flat: Integers, shape: tuple[int, ...]
) -> tuple[Floats, Booleans]:
    """A column as an array (choices, models, samples), NaN where empty, and what is filled.

    Raises:
        UserError: If two rows are about the same choice and differ.
    """
    values = frame[name].to_numpy()[group.rows].astype(float)
    dense = np.full(int(np.prod(shape)), np.nan)
    dense[flat] = values
    filled = np.zeros(dense.shape, bool)
    filled[flat] = True
    unlike = (dense[flat] != values) & ~(np.isnan(dense[flat]) & np.isnan(values))
    if unlike.any():
        first = int(np.argmax(unlike))
        samples = len(set(zip(group.model[unlike], group.sample[unlike], strict=True)))
        raise UserError(
            f"{group.where}: {samples} samples are there more than once and contradict themselves. "
            f"{name} of sample {group.samples[group.sample[first]]!r}, model "
            f"{group.models[group.model[first]]!r} is {values[first]:g} in one row and "
            f"{dense[flat[first]]:g} in another. Give one run of each model and task."
        )
    return dense.reshape(shape), filled.reshape(shape)


def _duplicates(flat: Integers, shape: tuple[int, ...]) -> Booleans:
    return (np.bincount(flat, minlength=int(np.prod(shape))) > 1).reshape(shape)


def _same_gold(group: _Group, gold: Integers, known: Booleans, frame: pd.DataFrame) -> None:
    """Models that disagree about the right answer were asked different things."""
    highest = np.where(known, gold, -1).max(axis=0)
    lowest = np.where(known, gold, np.iinfo(np.intp).max).min(axis=0)
    changed = (known.sum(axis=0) > 1) & (highest != lowest)
    changed |= _other_names(frame, "target", group).any(axis=0)
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


def _other_names(frame: pd.DataFrame, name: str, group: _Group) -> Booleans:
    """Where a model's prompt (or target) is not that of the sample's first model."""
    other = np.zeros(group.shape, bool)
    if name not in frame:
        return other
    codes = frame[name].cat.codes.to_numpy()[group.rows]
    dense = np.full(group.shape, -1)
    dense[group.model, group.sample] = codes
    known = dense >= 0
    first = np.take_along_axis(dense, known.argmax(axis=0)[None], axis=0)
    return known & (dense != first)


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


def _audit(
    group: _Group,
    counted: dict[str, Booleans],
    there: Booleans,
    used: Booleans,
    problems: list[Problem],
) -> pd.DataFrame:
    rows = []
    for k, model in enumerate(group.models):
        counts = {name: int(faults[k].sum()) for name, faults in counted.items()}
        rows.append(
            {"family": group.family, "task": group.task, "model": model}
            | {"samples": int(there[k].sum())} | counts | {"used": int(used.sum())}
        )  # fmt: skip
        for name, (what, action) in _FAULTS.items():
            if count := counts.get(name, 0):
                told = what.format(count) + _named(group, counted[name][k])
                problems.append(Problem(f"{group.where}: {model}", told, action))
    return pd.DataFrame(rows)


def _named(group: _Group, chosen: Booleans) -> str:
    """The first few of the samples chosen, by name, for the end of a sentence."""
    places = np.flatnonzero(chosen)
    names = [str(group.samples[place]) for place in places[:MOST_NAMED]]
    # A hash begins as no other does, and what it begins with can be searched for.
    first = ", ".join(n if len(n) <= LONGEST_NAME else f"{n[:LONGEST_NAME]}..." for n in names)
    more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    return f" ({first}{more})"


def _lacking_tasks(audit: pd.DataFrame) -> Iterator[Problem]:
    """Models of a family of which a task is not there at all."""
    for family, own in audit.groupby("family"):
        models = set(own["model"])
        for task, there in own.groupby("task"):
            for model in sorted(models - set(there["model"])):
                what = f"has no sample of {task}"
                yield Problem(f"{family}: {model}", what, "did that task without it")


def _by_compute(group: _Group, models: Models) -> tuple[Integers, Floats]:
    """Places of the models by growing compute (unknown last), and the compute."""
    compute = np.array(
        [models.table["compute"].get((group.family, name), np.nan) for name in group.models], float
    )
    compute[~(compute > 0) | np.isinf(compute)] = np.nan
    order = np.argsort(compute, kind="stable")  # NaN goes last
    return order, compute[order]


def _cluster(
    frame: pd.DataFrame, group: _Group, used: Booleans, problems: list[Problem]
) -> Integers | None:
    if "cluster" not in frame:
        return None
    named = frame["cluster"].cat.codes.to_numpy()[group.rows]
    codes = np.full(len(group.samples), -1)
    codes[group.sample] = named
    if (unlike := np.unique(group.sample[codes[group.sample] != named])).size:
        raise UserError(
            f"{group.where}: {len(unlike)} samples are in more than one cluster, the first is "
            f"{group.samples[unlike[0]]!r}."
        )
    if (without := used & (codes < 0)).any():
        if (codes[used] >= 0).any():
            what = f"{int(without.sum())} samples have no cluster{_named(group, without)}"
            problems.append(Problem(group.where, what, "did without clusters"))
        return None
    return np.unique(codes[used], return_inverse=True)[1]
