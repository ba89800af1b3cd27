"""From the long table to dense blocks, with an audit: nothing is left out without being counted."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics.auditing import (
    count_faults,
    lacking_tasks,
    named,
    same_gold,
    tell_impossible,
)
from scoring.diagnostics.grouping import Group, by_compute, dense, duplicates, groups, other_names
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
    for group in groups(rows.frame):
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
    aligned.problems.extend(lacking_tasks(audit))
    return Aligned(aligned.blocks, aligned.scores, audit, aligned.problems)


def _choices(frame: pd.DataFrame, group: Group, models: Models, into: Aligned) -> pd.DataFrame:
    place = frame["choice_idx"].to_numpy()[group.rows]
    if (first := int(place.min())) > 0:
        what = f"choice_idx counts from {first}"
        into.problems.append(Problem(group.where, what, "took that for 0"))
        place = place - first
    shape = (int(place.max()) + 1, *group.shape)
    flat = np.ravel_multi_index((place, group.model, group.sample), shape)
    loglik, filled = dense(frame, "loglik_sum", group, flat, shape)
    is_gold, _ = dense(frame, "is_gold", group, flat, shape)
    present: Booleans = np.logical_or.reduce(filled, axis=1)
    whole = (filled == present[:, None]).all(axis=0)  # (models, samples)
    gaps = np.diff(present.astype(np.int8), axis=0) > 0
    ragged: Booleans = np.logical_or.reduce(present, axis=0) & np.logical_or.reduce(gaps, axis=0)
    golds = np.nansum(is_gold, axis=0)
    # An empty place is NaN in `loglik` as a fault is: only filled ones are looked at.
    faulty = (filled & ~_may_be_loglik(loglik)).any(axis=0)
    there: Booleans = np.logical_or.reduce(filled, axis=0)
    gold = np.nan_to_num(is_gold).argmax(axis=0)
    same_gold(group, gold, there & (golds == 1), frame)
    other = other_names(frame, "prompt", group)
    bad = ~whole | faulty | (golds != 1) | ragged
    keep = np.flatnonzero(~np.logical_and.reduce(bad, axis=1))
    used: Booleans = ~np.logical_or.reduce(bad[keep], axis=0) & (len(keep) > 0)
    counted = {
        "missing": ~there,
        "duplicates": duplicates(flat, shape).any(axis=0),
        "part": there & ~whole,
        "faulty": faulty,
        "no_gold": there & (golds != 1),
        "other_prompt": other,
    }
    audit = count_faults(group, counted, there, used, into.problems)
    if ragged.any():
        what = f"{int(ragged.sum())} samples have a gap in their choice_idx{named(group, ragged)}"
        into.problems.append(Problem(group.where, what, "left them out for all models"))
    single: Booleans = used & (present.sum(axis=0) == 1)
    if single.any():
        what = f"{int(single.sum())} samples have one choice{named(group, single)}"
        action = "kept them: their accuracy and p_choices are constant"
        into.problems.append(Problem(group.where, what, action))
    possible: Booleans = np.logical_or.reduce(filled & (loglik > -np.inf), axis=0)
    tell_impossible(group, possible[keep], used, into.problems)
    if not used.any():
        into.problems.append(Problem(group.where, "no sample is left", "left the task out"))
        return audit
    for k in sorted(set(range(len(group.models))) - set(keep.tolist())):
        where = f"{group.where}: {group.models[k]}"
        into.problems.append(Problem(where, "has no usable sample", "did the task without it"))
    order, compute = by_compute(group, models)
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
                name: part(dense(frame, name, group, flat, shape)[0], np.nan)
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


def _scores(frame: pd.DataFrame, group: Group, models: Models, into: Aligned) -> pd.DataFrame:
    shape = (1, *group.shape)
    flat = np.ravel_multi_index((np.zeros_like(group.model), group.model, group.sample), shape)
    score, filled = dense(frame, "score", group, flat, shape)
    there = filled[0]
    faulty = there & ~(np.abs(score[0]) <= LARGEST)
    used = (there & ~faulty).all(axis=0)
    counted = {
        "missing": ~there, "duplicates": duplicates(flat, shape)[0], "no_score": faulty,
    }  # fmt: skip
    audit = count_faults(group, counted, there, used, into.problems)
    order, compute = by_compute(group, models)
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
            _cluster(frame, group, used, into.problems),
        )
    )
    return audit


def _cluster(
    frame: pd.DataFrame, group: Group, used: Booleans, problems: list[Problem]
) -> Integers | None:
    if "cluster" not in frame:
        return None
    given = frame["cluster"].cat.codes.to_numpy()[group.rows]
    codes = np.full(len(group.samples), -1)
    codes[group.sample] = given
    if (unlike := np.unique(group.sample[codes[group.sample] != given])).size:
        raise UserError(
            f"{group.where}: {len(unlike)} samples are in more than one cluster, the first is "
            f"{group.samples[unlike[0]]!r}."
        )
    if (without := used & (codes < 0)).any():
        if (codes[used] >= 0).any():
            what = f"{int(without.sum())} samples have no cluster{named(group, without)}"
            problems.append(Problem(group.where, what, "did without clusters"))
        return None
    clusters = np.unique(codes[used], return_inverse=True)[1]
    if len(clusters) and not clusters.any():
        what = "all samples are in one cluster, from which no interval can be drawn"
        problems.append(Problem(group.where, what, "did without clusters"))
        return None
    return clusters
