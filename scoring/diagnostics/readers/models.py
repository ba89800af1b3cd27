"""What is known of the models: family, parameters, tokens, training compute."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics import plain
from scoring.diagnostics.readers.matching import Key, matches
from scoring.diagnostics.table import FACTS, Booleans, Rows
from scoring.intervals import Floats
from scoring.problems import Problem

FLOPS_PER_PARAMETER_AND_TOKEN = 6
"""C = 6 N D. Kaplan et al. 2020, arXiv:2001.08361, section 2.1."""
_ALLOWED = {
    "compute": "a number",
    "parameters": "a finite number above 0",
    "tokens": "a finite number of at least 0",
}
"""A model that has seen no tokens is there, untrained; compute is looked at where it is needed."""


@dataclass(frozen=True)
class Models:
    """What is known of each model.

    Attributes:
        table: Index (family, model); columns `compute` [FLOP], `parameters`, `tokens`, NaN where
            unknown.
        problems: What is missing or contradicts itself.
    """

    table: pd.DataFrame
    problems: list[Problem]


def read(path: Path) -> pd.DataFrame:
    """Reads a `models.csv`: `model`, and of `family`, `parameters`, `tokens`, `compute` some.

    Returns:
        Index (family, model), the family "" if not given; columns `FACTS`; compute is 6ND where
        only those are given.

    Raises:
        UserError: If it is no such table.
    """
    table = plain.read(path, ["model"])
    keys = pd.MultiIndex.from_arrays(
        [table.get("family", pd.Series("", table.index)), table["model"]],
        names=["family", "model"],
    )
    if twice := sorted(set(keys[keys.duplicated()])):
        told = ", ".join(f"{model} of {family}" if family else model for family, model in twice)
        raise UserError(f"{path} has the model {told} more than once.")
    facts = pd.DataFrame({name: _numbers(path, table, name) for name in FACTS})
    product = FLOPS_PER_PARAMETER_AND_TOKEN * facts["parameters"] * facts["tokens"]
    facts["compute"] = facts["compute"].fillna(product)
    return facts.set_index(keys)


def _numbers(path: Path, table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        return pd.Series(np.nan, index=table.index)
    values = pd.to_numeric(table[name].replace("", "nan"), errors="coerce").astype(float)
    wrong = values.isna() & ~table[name].str.lower().isin(["", "nan", "na", "none"])
    wrong |= _impossible(name, values.to_numpy())
    if wrong.any():
        row = table[wrong].iloc[0]
        raise UserError(
            f"{path}: {name} of {row['model']} is {row[name]!r} in "
            f"{plain.row(table.index[wrong][0])}; it must be {_ALLOWED[name]}, or empty."
        )
    return values


def _impossible(name: str, values: Floats) -> Booleans:
    """Where a number is none that a model can have; NaN is unknown."""
    if name == "compute":
        return np.zeros(len(values), bool)
    return np.isinf(values) | (values < 0) | ((name == "parameters") & (values == 0))


def join(rows: Rows, given: pd.DataFrame | None) -> tuple[Rows, Models]:
    """Joins the models of a long table with a `models.csv`; that one's word counts.

    Returns:
        The table, its families as given, and what is known of each model.

    Raises:
        UserError: If the long table says two things of one model, or what is impossible.
    """
    problems: list[Problem] = []
    frame = rows.frame
    found = _recorded(frame)
    if given is not None:
        names = [(str(family), str(model)) for family, model in found.index]
        match = matches(
            names, [(str(family), str(model)) for family, model in given.index], problems
        )
        frame = frame.assign(family=_families(frame, match))
        found = _override(_recorded(frame), given, match, problems)
    product = FLOPS_PER_PARAMETER_AND_TOKEN * found["parameters"] * found["tokens"]
    found["compute"] = found["compute"].fillna(product)
    problems += _faults(found)
    return replace(rows, frame=frame), Models(found, problems)


def _recorded(frame: pd.DataFrame) -> pd.DataFrame:
    """What the table itself says of each model.

    Raises:
        UserError: If it says two things of one model, or what is impossible.
    """
    family, model = frame["family"].cat, frame["model"].cat
    key = family.codes.to_numpy(np.intp) * len(model.categories) + model.codes.to_numpy(np.intp)
    size = len(family.categories) * len(model.categories)
    there = np.flatnonzero(np.bincount(key, minlength=size))
    index = pd.MultiIndex.from_arrays(
        [
            family.categories[there // len(model.categories)],
            model.categories[there % len(model.categories)],
        ],
        names=["family", "model"],
    )
    table = pd.DataFrame(index=index)
    for name in FACTS:
        value = np.full(size, np.nan)
        if name in frame:
            column = frame[name].to_numpy(float)
            known = ~np.isnan(column)
            value[key[known]] = column[known]
            unlike = known & (value[key] != column)
            if unlike.any():
                row = frame[unlike].iloc[0]
                raise UserError(
                    f"{name} of the model {row['model']} ({row['family']}) is {row[name]:g} in one "
                    f"row and {value[key[unlike][0]]:g} in another."
                )
        table[name] = value[there]
        if (wrong := _impossible(name, value[there])).any():
            family_of, model_of = index[wrong][0]
            raise UserError(
                f"{name} of the model {model_of} ({family_of}) is {value[there][wrong][0]:g}; it "
                f"must be {_ALLOWED[name]}."
            )
    return table


def _families(frame: pd.DataFrame, match: Mapping[Key, Key | None]) -> pd.Series:
    """The family of each row: as given, as recorded where none is given."""
    family, model = frame["family"].cat, frame["model"].cat
    wanted = {name: row[0] for name, row in match.items() if row is not None and row[0]}
    every = [(str(one), str(other)) for one in family.categories for other in model.categories]
    told = pd.Index([wanted.get(name, name[0]) for name in every])
    names = told.unique()
    place = family.codes.to_numpy(np.intp) * len(model.categories) + model.codes.to_numpy(np.intp)
    codes = names.get_indexer(told)[place]
    families = pd.Categorical.from_codes(codes, categories=names).remove_unused_categories()
    return pd.Series(families, index=frame.index)


def _override(
    own: pd.DataFrame,
    given: pd.DataFrame,
    match: Mapping[Key, Key | None],
    problems: list[Problem],
) -> pd.DataFrame:
    """What the tables say of each model (`own`, by the family as given), that of models first."""
    rows = {(row[0] or name[0], name[1]): row for name, row in match.items() if row is not None}
    columns = {name: own[name].to_numpy(float).copy() for name in FACTS}
    for place, (family, model) in enumerate(own.index):
        if (known := rows.get((str(family), str(model)))) is None:
            continue
        row = given.index.get_loc(known)
        for name in FACTS:
            told, recorded = given[name].to_numpy(float)[row], columns[name][place]
            if np.isnan(told):
                continue
            if not np.isnan(recorded) and not np.isclose(told, recorded, rtol=1e-6):
                what = f"{name} is {recorded:g} in its file and {told:g} in the table of models"
                problems.append(Problem(str(model), what, "took that of the table of models"))
            columns[name][place] = told
    return pd.DataFrame(columns, index=own.index)


def _faults(table: pd.DataFrame) -> list[Problem]:
    """What keeps models out of what needs compute."""
    problems = []
    for family, own in table.groupby(level="family"):
        names = own.index.get_level_values("model")
        for wrong, what in (
            (own["compute"].isna(), "has no compute"),
            (own["compute"] <= 0, "has a compute that is not above 0"),
            (np.isinf(own["compute"]), "has a compute that is infinite"),
        ):
            for name in names[wrong]:
                action = "left it out of all that needs compute, which --models can give"
                problems.append(Problem(f"{family}: {name}", what, action))
        usable = own["compute"][(own["compute"] > 0) & np.isfinite(own["compute"])]
        for _, same in usable.groupby(np.log10(usable)):  # what is correlated with
            if len(same) > 1:
                models = ", ".join(map(str, same.index.get_level_values("model")))
                what = f"{models} have equal compute ({same.iloc[0]:g})"
                problems.append(Problem(str(family), what, "kept them as ties in compute"))
    return problems
