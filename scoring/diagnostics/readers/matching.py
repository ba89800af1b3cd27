"""Which row of a table of models is meant by a model of a file."""

from collections import Counter
from collections.abc import Mapping, Sequence

from scoring.problems import Problem

Key = tuple[str, str]
"""Family and model; in a table of models the family is "" where none is given."""


def matches(
    names: Sequence[Key], known: Sequence[Key], problems: list[Problem]
) -> Mapping[Key, Key | None]:
    """Each model's row in the table of models, None if it has none.

    Names match as they are, or as folder names (`org__model` for `org/model`), or by the part
    behind the organisation where that is not ambiguous; a revision (`@step3`) has a row of its
    own or its model's. Of several rows the one of the model's family is meant, else the one
    without a family.

    Args:
        names: Models of the files.
        known: Rows of the table.
        problems: Where it is told that one is not in the other, or could mean several.
    """
    match = {name: _match(name, known) for name in names}
    for row in known:
        own = [name for name, found in match.items() if found == row]
        if wrong := _others(row, own):
            match |= dict.fromkeys(wrong)
            what = f"could mean {' or '.join(_told(name, own) for name in own)}"
            action = f"did not take it for {', '.join(_told(name, own) for name in wrong)}"
            problems.append(Problem(_told(row, known), what, action))
    for name in sorted(name for name, found in match.items() if found is None):
        rows = [row for row in known if _folder(row[1]) == _folder(name[1])]
        what = "is not in the table of models"
        if len(families := sorted({family for family, _ in rows})) > 1:
            told = " and of ".join(families)
            what = f"is of {told} in the table of models, and of {name[0]} in its file"
        problems.append(Problem(_told(name, names), what, "took what its file says"))
    for row in known:
        if row not in match.values():
            what = "is in the table of models and in no file"
            problems.append(Problem(_told(row, known), what, "left it out"))
    return match


def _match(name: Key, known: Sequence[Key]) -> Key | None:
    family, model = name
    for wanted in (_folder(model), _folder(model).partition("@")[0]):
        exact = [row for row in known if _folder(row[1]) == wanted]
        tail = wanted.rpartition("__")[2]
        last = [row for row in known if _folder(row[1]).rpartition("__")[2] == tail]
        for found in (exact, last):
            meant = [row for row in found if row[0] == family]
            meant = meant or [row for row in found if not row[0]] or found
            if len(meant) == 1:
                return meant[0]
    return None


def _others(row: Key, own: Sequence[Key]) -> list[Key]:
    """Those of the models that match a row that are not meant by it.

    Revisions of a model may share its row; models of several organisations may not, nor models of
    several families where the row is of one.
    """
    family, model = row
    if len({name.partition("@")[0] for _, name in own}) > 1:
        exact = _folder(model)
        return [name for name in own if _folder(name[1]).partition("@")[0] != exact]
    alike = Counter(name for _, name in own)
    return [name for name in own if family and alike[name[1]] > 1 and name[0] != family]


def _folder(model: str) -> str:
    return model.replace("/", "__")


def _told(name: Key, among: Sequence[Key]) -> str:
    """The model, with its family where others have its name."""
    alone = sum(model == name[1] for _, model in among) == 1
    return name[1] if alone else f"{name[0]}: {name[1]}"
