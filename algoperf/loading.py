"""Loading a submission from its file, and everything that is wrong with it."""

import contextlib
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from algoperf import registry, sources, tuning
from algoperf.errors import UserError
from algoperf.rules import Ruleset
from algoperf.submission import REQUIRED, SIGNATURES, Algorithm


@dataclass(frozen=True)
class Submission:
    """A training algorithm with its tuning protocol, as loaded from its file.

    Attributes:
        name: The file's stem; names its results folder.
        path: The file.
        sha256: Hash of the file's bytes.
        doc: First line of the file's docstring.
        search_space: None for a self-tuning submission.
        algorithm: Its functions.
        modules: The file's, and of those beside it what it imports.
    """

    name: str
    path: Path
    sha256: str
    doc: str
    search_space: tuning.SearchSpace | None
    algorithm: Algorithm
    modules: tuple[ModuleType, ...] = ()

    @property
    def ruleset(self) -> Ruleset:
        return Ruleset.SELF_TUNING if self.search_space is None else Ruleset.EXTERNAL


def load(name_or_path: str | Path) -> Submission:
    """Loads a submission by registered name or by path; the file may lie anywhere.

    Raises:
        UserError: If it does not exist, does not import, or lists all that is wrong with it.
    """
    submission, faults = examine(name_or_path)
    if faults or submission is None:
        raise UserError.of_many(f"{name_or_path} is not a valid submission:", faults)
    return submission


def examine(name_or_path: str | Path) -> tuple[Submission | None, list[str]]:
    """The submission as far as it can be used, and everything that is wrong with its file.

    Raises:
        UserError: If it does not exist or does not import.
    """
    path = registry.submission_path(str(name_or_path))
    name = registry.submission_name(path)
    faults: list[str] = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        faults.append(f"its name {name!r} cannot name a folder; use letters, digits, _, -, . or +")
    if sources.is_mlcommons(path):
        from algoperf.mlcommons.loading import parts  # which builds on this module

        modules, algorithm, space = parts(path, faults)
    else:
        modules = (module := import_file(path),)
        algorithm = _algorithm(module, faults)
        space = None
        if (raw := getattr(module, "search_space", None)) is not None:
            space, wrong = tuning.read(raw)
            faults += [f"search_space: {fault}" for fault in wrong]
    if algorithm is None:
        return None, faults
    doc = (inspect.getdoc(modules[0]) or "").partition("\n")[0]
    sha256 = registry.source_hash(path)
    return Submission(name, path, sha256, doc, space, algorithm, modules), faults


def import_file(path: Path, package: Path | None = None) -> ModuleType:
    """The submission's module, new each time.

    Args:
        path: Its file.
        package: A folder whose modules it may import as `from . import ...`.

    Raises:
        UserError: If it does not import; says where, or what is not installed.
    """
    # The same in every process: a state that holds its classes is found again by their names.
    place = hashlib.sha256(bytes(path.resolve())).hexdigest()[:16]
    module_name = f"_submission_{registry.submission_name(path)}_{place}"
    search = None if package is None else [str(package)]
    spec = importlib.util.spec_from_file_location(
        module_name, path, submodule_search_locations=search
    )
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported; a submission is a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        raise UserError(
            f"{path} imports {error.name}, which is not installed here. If it is a package: "
            f"pip install {name}"
        ) from error
    except (Exception, SystemExit) as error:
        last = traceback.format_tb(error.__traceback__)[-1:]
        # The place of a syntax error is in the error itself.
        where = [] if isinstance(error, SyntaxError) else last
        told = "".join([*where, *traceback.format_exception_only(error)]).rstrip()
        raise UserError(f"{path} fails when it is imported:\n{told}") from error
    return module


def _algorithm(module: ModuleType, faults: list[str]) -> Algorithm | None:
    own = {n: getattr(module, n) for n in SIGNATURES if hasattr(module, n)}
    short = getattr(module, "submission", None)
    faults += [
        f"`{name}` must take ({', '.join(SIGNATURES[name])}), it is {_signature(function)}"
        for name, function in own.items()
        if not _takes(function, len(SIGNATURES[name]))
    ]
    if isinstance(short, Algorithm):
        return replace(short, **own)
    if short is not None:
        faults.append("`submission` must be what `from_optax(...)` returns")
    elif missing := [name for name in REQUIRED if name not in own]:
        faults.append(
            f"it defines no {' and no '.join(f'`{name}`' for name in missing)} "
            "(or, in the short form, no `submission = from_optax(...)`)"
        )
    if faults:
        return None
    return Algorithm(**own)


def _takes(function: object, count: int) -> bool:
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def _signature(function: object) -> str:
    if callable(function):
        with contextlib.suppress(ValueError):  # a built-in may have none
            return str(inspect.signature(function))
    return f"a {type(function).__name__}"
