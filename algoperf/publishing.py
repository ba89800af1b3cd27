"""A trial that has ended becomes final: only what belongs to it stays in its folder. No jax."""

from pathlib import Path

from algoperf import origin, slowed
from algoperf.disk import entries, remove, sync
from algoperf.records import (
    MANIFEST,
    META_DATA,
    OUTPUT,
    PARAMETERS,
    TRACEBACK,
    Ending,
    TrialSpec,
    aside,
    is_of,
    read_manifest,
)
from algoperf.spec import Status

KEPT = origin.FILES | {MANIFEST, META_DATA, OUTPUT, PARAMETERS, TRACEBACK}
"""What a finished trial's folder holds, besides tables."""


def ending_of(folder: Path, spec: TrialSpec) -> Ending | None:
    """How the trial ended by the record in `folder`; None if that is not the trial's."""
    manifest = read_manifest(folder)
    if manifest is None or not is_of(manifest, spec) or not origin.is_own(folder, spec):
        return None
    ending = manifest["ending"]
    return Ending(Status(ending["status"]), ending["reason"], ending.get("steps"))


def publish(ended: Path, final: Path, spec: TrialSpec) -> None:
    """Makes the trial final, or lays it aside; raises `OSError`.

    Args:
        ended: Its folder. What else is there than belongs to it is of no use.
        final: The folder's name when it is final. Where a repeated trial has a record there
            already, the one during which the machine was less slow gets the name.
        spec: The trial.
    """
    for path in entries(ended):
        if path.name not in KEPT and not (path.suffix == ".csv" and path.is_file()):
            remove(path)
    sync(ended)
    if spec.repeat and final.exists():
        kept = aside(final, spec.repeat)
        if slowed.less(read_manifest(ended), read_manifest(final)):
            # Cut off between the two moves, the next run does the second, by `conclude`.
            final.rename(kept)
            ended.rename(final)
        else:
            ended.rename(kept)
    else:
        ended.rename(final)
    sync(final.parent)
