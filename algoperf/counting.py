"""Parameter counts of all workloads, remembered, since tracing every model takes ten seconds."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version

from rich.console import Console

from algoperf import machine, registry
from algoperf.disk import write_json
from algoperf.workload import Workload, count_parameters


def parameters(workloads: Mapping[str, Workload]) -> dict[str, int]:
    """Workload name to its number of parameters.

    They are kept in the machine's cache folder, and counted anew when any file of a package that
    announces workloads has changed, or flax has.
    """
    path = machine.cache_folder() / "parameters" / f"{_content()}.json"
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text())
        if kept.keys() == workloads.keys():
            return kept
    with Console(stderr=True).status("Tracing models, to count their parameters; the first time"):
        counted = {name: count_parameters(workload) for name, workload in workloads.items()}
    with suppress(OSError):  # a folder that cannot be written costs time, nothing else
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, counted)
    return counted


def _content() -> str:
    """Hash of all that decides a count."""
    found = hashlib.sha256(f"flax {version('flax')}".encode())
    for folder in registry.workload_folders():
        for file in sorted(folder.rglob("*.py")):
            found.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:16]
