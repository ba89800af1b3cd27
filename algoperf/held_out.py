"""Variants that are drawn after the submissions are frozen: one per data set, as in AlgoPerf v0.5.

The pool is data (`held_out_pool` in a rules' file: groups, each in a fixed order), so that a seed
means the same draw for ever. Seed 3438810845 gives the six of v0.5 over the full suite.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from algoperf.disk import recording, write_json
from algoperf.errors import UserError
from algoperf.rules import Rules

FILE = "held_out.json"
"""In a results folder: which seed was drawn, and what it gave."""


def draw(pool: Mapping[str, Sequence[str]], seed: int) -> tuple[str, ...]:
    """One variant of each group, in the order of the groups.

    Args:
        pool: Group to its variants.
        seed: Of `numpy.random.default_rng`; one `integers(len)` a group.
    """
    generator = np.random.default_rng(seed)
    return tuple(variants[int(generator.integers(len(variants)))] for variants in pool.values())


def drawn(rules: Rules, seed: int) -> Rules:
    """The rules with the variants that `seed` draws in place of what they hold out.

    Raises:
        UserError: If the rules have no pool, or the seed is negative.
    """
    if not rules.held_out_pool:
        raise UserError(
            f"The rules {rules.name!r} have no `held_out_pool` to draw held-out variants from."
        )
    if seed < 0:
        raise UserError(f"--held-out is {seed}; a seed is a whole number of at least 0.")
    return replace(rules, held_out=draw(rules.held_out_pool, seed))


def keep(results: Path, rules: Rules, seed: int) -> None:
    """Notes the draw in the results folder, so that it is scored as it was drawn.

    Raises:
        UserError: If another seed or other rules were drawn there before.
        CannotRecord: If the folder cannot be written.
    """
    if (before := _read(results)) is not None and before != (rules.name, seed):
        name, earlier = before
        raise UserError(
            f"In {results} the held-out variants of {name!r} were drawn with the seed {earlier}, "
            "and results with two draws do not mix: give that seed, or another folder with "
            "--results."
        )
    if before is None:
        record = {"rules": rules.name, "seed": seed, "held_out": list(rules.held_out)}
        with recording(results):
            results.mkdir(parents=True, exist_ok=True)
            write_json(results / FILE, record)


def as_recorded(rules: Rules, folders: Iterable[Path]) -> Rules:
    """The rules with what was drawn in these results folders; unchanged where nothing was.

    Raises:
        UserError: If two folders were run with different draws.
    """
    found = {
        folder: kept[1]
        for folder in folders
        if (kept := _read(folder)) is not None and kept[0] == rules.name
    }
    if len(set(found.values())) > 1:
        raise UserError.of_many(
            "Results with different draws of held-out variants cannot be ranked together:",
            [f"{folder}: seed {seed}" for folder, seed in found.items()],
        )
    return drawn(rules, next(iter(found.values()))) if found else rules


def _read(results: Path) -> tuple[str, int] | None:
    """Rules and seed of the draw in a results folder; None if there was none.

    Raises:
        UserError: If the file is not in the form in which it was written.
    """
    path = results / FILE
    try:
        record = json.loads(path.read_text())
        return str(record["rules"]), int(record["seed"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}. It notes the draw; mend it.") from None
