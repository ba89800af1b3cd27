"""An MLCommons submission's file and its search space, and everything that is wrong with them."""

import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from algoperf import sources, tuning
from algoperf.errors import UserError
from algoperf.loading import import_file
from algoperf.mlcommons import adapter, older
from algoperf.submission import Algorithm

_BY_NAME = (
    "workload",
    "current_param_container",
    "current_params_types",
    "model_state",
    "hyperparameters",
    "loss_type",
    "optimizer_state",
    "eval_results",
    "global_step",
    "rng",
)
_BY_POSITION = {"get_batch_size": 1, "init_optimizer_state": 5, "data_selection": 8}
_REQUIRED = ("get_batch_size", "init_optimizer_state", "update_params")
_PYTORCH = ("torch", "algoperf.pytorch_utils", f"{older.PACKAGE}.pytorch_utils")
_THEIRS = {"algoperf", older.PACKAGE}
_INSTALLED = {"site-packages", "dist-packages"}
_OFFERED = "algoperf.spec and algoperf.jax_sharding_utils"


def parts(
    path: Path, faults: list[str]
) -> tuple[tuple[ModuleType, ...], Algorithm | None, tuning.SearchSpace | None]:
    """The modules, the submission's own first; its functions as the harness calls them; its search
    space.

    Args:
        path: The submission's file.
        faults: What is wrong is added here.

    Raises:
        UserError: If it does not import, or is a PyTorch submission.
    """
    files = sources.files(path)
    _refuse_pytorch(path)
    older.offer()
    with _importable(path, set(files.values()), faults) as beside:
        module = import_file(path, package=path.parent)
    before = len(faults)
    faults += _function_faults(module)
    usable = len(faults) == before
    space, reads = _search_space(files.get(sources.SEARCH_SPACE), faults)
    python = {file for file in files.values() if file.suffix == ".py"}
    python |= {Path(str(helper.__file__)) for helper in beside}  # also where it is not kept
    spread = "algoperf.jax_sharding_utils" not in sources.modules_imported(path) and any(
        "pmap" in sources.names_used(file) for file in python
    )
    algorithm = adapter.algorithm(module, spread=spread) if usable and reads else None
    return (module, *beside), algorithm, space


def _refuse_pytorch(path: Path) -> None:
    for name, line in sources.modules_imported(path).items():
        if name.startswith(_PYTORCH):
            raise UserError(
                f"{path} is a PyTorch submission (line {line} imports {name}). Only JAX "
                "submissions run here."
            )


@contextmanager
def _importable(path: Path, files: set[Path], faults: list[str]) -> Iterator[list[ModuleType]]:
    """Within, the file may import what lies beside it, as it may at MLCommons: these are listed.

    By its name alone, or from the folder that its package lies in, or from the working folder, or
    by its name in a repository that is not here.
    Afterwards everything is as it was, so that two submissions may each have a `helper.py`.
    """
    top = path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    folders = [path.parent, top, Path.cwd()]
    kept = list(sys.path)
    imported: list[ModuleType] = []
    made, modules = [], set(sys.modules)
    sys.path += [str(folder) for folder in folders]
    try:
        made = _repository(path.parent, files)
        modules = set(sys.modules)
        yield imported
    except UserError as error:
        raise _import_error(path, error) or error from error.__cause__
    finally:
        sys.path[:] = kept
        for name in made:
            del sys.modules[name]
        for name in sys.modules.keys() - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file is None or not _beside(Path(file), name, folders):
                continue
            if Path(file) not in files:
                faults.append(
                    f"it imports {file}, which is not kept with its results: what it needs has to "
                    f"lie beside it, and the file be called {sources.SUBMISSION}"
                )
            if Path(file) != path:
                imported.append(sys.modules.pop(name))


def _repository(folder: Path, files: set[Path]) -> list[str]:
    """Makes packages of what lies beside a file and is imported by a longer name: their names.

    MLCommons' runner is started in its repository, where submissions lie: `submissions.team.helper`
    is then what lies beside. None is made where there is such a package.
    """
    made: list[str] = []
    imported = {name for f in files if f.suffix == ".py" for name in sources.modules_imported(f)}
    for name in sorted(imported):
        parts = name.split(".")
        if parts[0] in _THEIRS:
            continue
        for place in range(2, len(parts)):
            beside = folder / parts[place]
            if beside.with_suffix(".py").is_file() or (beside / "__init__.py").is_file():
                packages = [".".join(parts[:k]) for k in range(1, place + 1)]
                lacking = [package for package in packages if not _is_there(package)]
                for package in lacking:
                    sys.modules[package] = ModuleType(package)
                    sys.modules[package].__path__ = [str(folder)] if package == packages[-1] else []
                made += lacking
                break
    return made


def _is_there(package: str) -> bool:
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _beside(file: Path, name: str, folders: list[Path]) -> bool:
    """Whether a module is one of the submission's own files, and not of an installed package."""
    installed = any(file.is_relative_to(folder) for folder in (sys.prefix, sys.base_prefix))
    installed = installed or not _INSTALLED.isdisjoint(file.parts)
    own = name.partition(".")[0] == "algoperf"
    return not installed and not own and any(file.is_relative_to(f) for f in folders)


def _import_error(path: Path, error: UserError) -> UserError | None:
    """A better word for an import that cannot succeed here."""
    cause = error.__cause__
    if not isinstance(cause, ImportError):
        return None
    name = cause.name or ""
    if name.startswith("torch"):
        return UserError(f"{path} needs PyTorch. Only JAX submissions run here.")
    if name.partition(".")[0] in _THEIRS:
        return UserError(
            f"{path} does not import: {cause}. Of MLCommons' modules there are {_OFFERED} here."
        )
    listed = path.parent / "requirements.txt"
    if isinstance(cause, ModuleNotFoundError) and listed.is_file():
        return UserError(f"{error}\n{listed} lists what it needs: pip install -r {listed}")
    return None


def _function_faults(module: ModuleType) -> Iterator[str]:
    for name in (*_BY_POSITION, "update_params", "prepare_for_eval"):
        function = getattr(module, name, None)
        if function is None:
            if name in _REQUIRED:
                yield f"it defines no `{name}`"
            continue
        named = (*_BY_NAME, "batch") if name == "update_params" else _BY_NAME
        positional = range(_BY_POSITION.get(name, 0))
        keywords = dict[str, None]() if name in _BY_POSITION else dict.fromkeys(map(str, named))
        try:
            signature = inspect.signature(function)
            if name == "update_params" and "train_state" in signature.parameters:
                keywords["train_state"] = None
            signature.bind(*positional, **keywords)
        except TypeError as error:
            wanted = f"{len(positional)} arguments" if positional else ", ".join(named)
            yield f"`{name}` must take {wanted}: {error}"


def _search_space(file: Path | None, faults: list[str]) -> tuple[tuning.SearchSpace | None, bool]:
    """The search space, None where there is none; and whether it could be read."""
    if file is None:
        return None, True
    try:
        raw = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        faults.append(f"{file} is not JSON: {where}: {error.msg}")
        return None, False
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{file} cannot be read: {error}")
        return None, False
    space, wrong = tuning.read(raw)
    faults += [f"{file.name}: {fault}" for fault in wrong]
    return space, True
