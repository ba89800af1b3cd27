"""What is known of the models: family, parameters, tokens, training compute."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from scoring.diagnostics import plain
from scoring.diagnostics.table import FACTS, Rows
from scoring.problems import Problem

FLOPS_PER_PARAMETER_AND_TOKEN = 6
"""C = 6 N D. Kaplan et al. 2020, arXiv:2001.08361, section 2.1."""


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
        Index `model`; `family` ("" if not given) and `FACTS`; compute is 6ND where only those
        are given.

    Raises:
        UserError: If it is no such table.
    """
    table = plain.read(path, ["model"])
    if twice := sorted(set(table["model"][table["model"].duplicated()])):
        raise UserError(f"{path} has the model {', '.join(twice)} more than once.")
    facts = pd.DataFrame({"family": table.get("family", "")}, index=table.index)
    for name in FACTS:
        facts[name] = _numbers(path, table, name)
    product = FLOPS_PER_PARAMETER_AND_TOKEN * facts["parameters"] * facts["tokens"]
    facts["compute"] = facts["compute"].fillna(product)
    return facts.set_index(pd.Index(table["model"], name="model"))


def _numbers(path: Path, table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        return pd.Series(np.nan, index=table.index)
    values = pd.to_numeric(table[name].replace("", "nan"), errors="coerce")
    wrong = values.isna() & ~table[name].str.lower().isin(["", "nan", "na", "none"])
    if wrong.any():
        row = table[wrong].iloc[0]
        raise UserError(f"{path}: {name} of {row['model']} is {row[name]!r}, which is no number.")
    return values.astype(float)


def join(rows: Rows, given: pd.DataFrame | None) -> tuple[Rows, Models]:
    """Joins the models of a long table with a `models.csv`; that one's word counts.

    Names match as they are, or as folder names (`org__model` for `org/model`), or by the part
    behind the organisation where that is not ambiguous; a revision (`@step3`) has a row of its
    own or its model's.

    Returns:
        The table, its families as given, and what is known of each model.
    """
    problems: list[Problem] = []
    frame = rows.frame
    own = _recorded(frame)
    if given is None:
        found = own
    else:
        names = own.index.get_level_values("model").unique()
        match = _matches([str(name) for name in names], given.index, problems)
        problems += [
            Problem(name, "is not in the table of models", "took what its file says")
            for name in sorted(str(name) for name, known in match.items() if known is None)
        ]
        problems += [
            Problem(str(name), "is in the table of models and in no file", "left it out")
            for name in given.index
            if name not in match.values()
        ]
        frame = frame.assign(family=_families(frame, given, match))
        found = _override(_recorded(frame), given, match, problems)
    product = FLOPS_PER_PARAMETER_AND_TOKEN * found["parameters"] * found["tokens"]
    found["compute"] = found["compute"].fillna(product)
    problems += _faults(found)
    return replace(rows, frame=frame), Models(found, problems)


def _recorded(frame: pd.DataFrame) -> pd.DataFrame:
    """What the table itself says of each model.

    Raises:
        UserError: If it says two things of one model.
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
    return table


def _matches(
    names: Iterable[str], known: pd.Index, problems: list[Problem]
) -> dict[str, str | None]:
    """Each model's name in the table of models; one for two models that are not one is none."""
    match = {name: _match(name, known) for name in names}
    for row in known:
        own = [name for name, found in match.items() if found == row]
        # Revisions of a model may share its row; models of several organisations may not.
        if len({name.partition("@")[0] for name in own}) > 1:
            exact = row.replace("/", "__")
            wrong = [n for n in own if n.replace("/", "__").partition("@")[0] != exact]
            match |= dict.fromkeys(wrong)
            what = f"could mean {' or '.join(own)}"
            action = f"did not take it for {', '.join(wrong)}"
            problems.append(Problem(str(row), what, action))
    return match


def _match(name: str, known: Iterable[str]) -> str | None:
    """The name in the table of models that means the same model."""

    def folder(text: str) -> str:
        return text.replace("/", "__")

    for wanted in (folder(name), folder(name).partition("@")[0]):
        exact = [other for other in known if folder(other) == wanted]
        tail = wanted.rpartition("__")[2]
        last = [other for other in known if folder(other).rpartition("__")[2] == tail]
        for found in (exact, last):
            if len(found) == 1:
                return found[0]
    return None


def _families(frame: pd.DataFrame, given: pd.DataFrame, match: dict[str, str | None]) -> pd.Series:
    """The family of each row: as given, as recorded where none is given."""
    family, model = frame["family"].cat, frame["model"].cat
    told = [given["family"].get(match.get(name) or "", "") for name in model.categories]
    names = pd.Index([*family.categories, *told]).unique()
    wanted = names.get_indexer(pd.Index(told))[model.codes.to_numpy(np.intp)]
    recorded = names.get_indexer(family.categories)[family.codes.to_numpy(np.intp)]
    unsaid = np.array([name == "" for name in told])[model.codes.to_numpy(np.intp)]
    codes = np.where(unsaid, recorded, wanted)
    families = pd.Categorical.from_codes(codes, categories=names).remove_unused_categories()
    return pd.Series(families, index=frame.index)


def _override(
    own: pd.DataFrame,
    given: pd.DataFrame,
    match: dict[str, str | None],
    problems: list[Problem],
) -> pd.DataFrame:
    columns = {name: own[name].to_numpy(float).copy() for name in FACTS}
    for place, (_, model) in enumerate(own.index):
        known = match[model]
        if known is None:
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
        for value, same in usable.groupby(usable):
            if len(same) > 1:
                models = ", ".join(map(str, same.index.get_level_values("model")))
                what = f"{models} have equal compute ({value:g})"
                problems.append(Problem(str(family), what, "kept them as ties in compute"))
    return problems
