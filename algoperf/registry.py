"""Name or path to object. A file's existence registers it; names are resolved lazily.

Packages announce themselves through the entry point groups `algoperf.workloads`,
`algoperf.datasets`, `algoperf.submissions` and `algoperf.rules`; the
built-in ones come in through the same door.
"""

import difflib
import importlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from algoperf import sources
from algoperf.errors import UserError

if TYPE_CHECKING:
    from algoperf.inputs.dataset import RecordDataset
    from algoperf.workload import Workload


def unknown(kind: str, name: str, known: Iterable[str], see: str) -> UserError:
    """The error for a name that nothing bears, with the nearest names that exist."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    listed = f" Known: {', '.join(known)}." if not near and known else ""
    return UserError(f"Unknown {kind} {name!r}.{hint}{listed} See '{see}'.")


@cache
def _folders(group: str) -> tuple[tuple[str, Path], ...]:
    """(package name, folder) of every package announced in `group`, without importing it."""
    found: list[tuple[str, Path]] = []
    for package in sorted({point.value for point in entry_points(group=group)}):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            found += [(package, Path(place)) for place in spec.submodule_search_locations]
    return tuple(found)


def _modules(group: str) -> dict[str, str]:
    """File stem to module name, of every registered file in `group`."""
    return {
        file.stem: f"{package}.{file.stem}"
        for package, folder in _folders(group)
        for file in sorted(folder.glob("*.py"))
        if not file.stem.startswith("_")
    }


def workloads() -> "dict[str, Workload]":
    """Every workload there is, bases before their variants; imports all of their files."""
    from algoperf.workload import Workload

    found: dict[str, Workload] = {}
    for stem, module in _modules("algoperf.workloads").items():
        for value in vars(importlib.import_module(module)).values():
            # What a file takes from another one is that one's.
            if isinstance(value, Workload) and value.name.startswith(stem):
                found[value.name] = value
    return found


def workload_folders() -> list[Path]:
    """The folders of all packages that announce workloads."""
    return [folder for _, folder in _folders("algoperf.workloads")]


def workload_module(name: str) -> str | None:
    """The module whose file name is the longest prefix of the workload's name."""
    modules = _modules("algoperf.workloads")
    fitting = [stem for stem in modules if name.startswith(stem)]
    return modules[max(fitting, key=len)] if fitting else None


def workload(name: str) -> "Workload":
    """The workload `name`; imports only the file whose name is the longest prefix of it.

    Raises:
        UserError: If there is none; names the nearest.
    """
    from algoperf.workload import Workload

    module = workload_module(name)
    value = getattr(importlib.import_module(module), name, None) if module else None
    if isinstance(value, Workload):
        return value
    raise unknown("workload", name, workloads(), "algoperf list workloads")


def check_workload(name: str) -> None:
    """Complains about a name that no file can define, without importing one.

    Raises:
        UserError: If there is none; names the nearest.
    """
    if workload_module(name) is None:
        workload(name)


def datasets() -> "dict[str, RecordDataset]":
    """Every data set that is read from disk; imports their files, not what reads them."""
    from algoperf.inputs.dataset import RecordDataset

    values = [
        value
        for module in _modules("algoperf.datasets").values()
        for value in vars(importlib.import_module(module)).values()
    ]
    return {value.name: value for value in values if isinstance(value, RecordDataset)}


def dataset(name: str) -> "RecordDataset":
    """The data set `name`.

    Raises:
        UserError: If there is none; names the nearest.
    """
    found = datasets()
    if name not in found:
        raise unknown("data set", name, found, "algoperf data")
    return found[name]


def submission_names() -> list[str]:
    """Names of the submissions that can be run without a path."""
    return sorted(_modules("algoperf.submissions"))


def submission_path(name_or_path: str) -> Path:
    """The file of a submission, given by its registered name or by a path.

    A folder stands for the `submission.py` in it.

    Raises:
        UserError: If there is no such name or file.
    """
    path = Path(name_or_path)
    inside = path / sources.SUBMISSION
    if inside.is_file() and (len(path.parts) != 1 or name_or_path not in submission_names()):
        return inside.resolve()
    if path.suffix == ".py" or len(path.parts) > 1:
        if not path.is_file():
            raise UserError(
                f"There is no submission file {name_or_path!r}. Give a path to one, or a name that "
                "`algoperf list submissions` shows."
            )
        return path.resolve()
    for _, folder in _folders("algoperf.submissions"):
        file = folder / f"{name_or_path}.py"
        if file.is_file() and not name_or_path.startswith("_"):
            return file
    if path.with_suffix(".py").is_file():
        raise UserError(f"{name_or_path!r} is no registered name. For the file: {name_or_path}.py")
    raise unknown("submission", name_or_path, submission_names(), "algoperf list submissions")


def submission_name(path: Path) -> str:
    """A submission's name: its file's, or its folder's where the file is `submission.py`.

    Of a folder `jax`, which MLCommons' submissions have within their own, it is the one above.
    """
    if path.stem != "submission":
        return path.stem
    folder = path.parent
    return (folder.parent if folder.name == sources.FRAMEWORK else folder).name


def source_hash(path: Path) -> str:
    """SHA-256 of a submission's file, or of all its files where it has several."""
    return sources.digest(sources.read(path))


def rules_files() -> dict[str, Path]:
    """Name of a set of rules to its file."""
    return {
        file.stem: file
        for _, folder in _folders("algoperf.rules")
        for file in sorted(folder.glob("*.json"))
    }
