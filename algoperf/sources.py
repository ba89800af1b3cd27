"""The files that a submission consists of: what is hashed, and kept with its results. No jax.

A submission of our own form is one file. One in MLCommons' form is `submission.py` with all that
lies beside it, or a file of another name with `tuning_search_space.json`.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from algoperf.errors import UserError

SUBMISSION = "submission.py"
SEARCH_SPACE = "tuning_search_space.json"

FRAMEWORK = "jax"
"""MLCommons' layout may have a folder for each framework within a submission's own."""

MOST_FILES = 100
MOST_BYTES = 20_000_000
"""What a submission's folder may hold; beyond it, the folder is taken to be another's too."""


def is_mlcommons(path: Path) -> bool:
    """Whether the file is in MLCommons' form: it defines or imports `init_optimizer_state`."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False  # whoever imports it will say what is wrong
    return "init_optimizer_state" in {name for node in tree.body for name in _bound(node)}


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement at the top of a file binds."""
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def files(path: Path) -> dict[str, Path]:
    """Every file of a submission, by its name relative to the folder; its own comes first.

    Beside an MLCommons `submission.py` these are the files in its folder and in Python packages
    below it, but for hidden ones and caches; and a search space above a folder called `jax`.

    Raises:
        UserError: If there are far more than a submission has.
    """
    found = {path.name: path}
    if not is_mlcommons(path):
        return found
    folder = path.parent
    if path.name != SUBMISSION:
        beside = folder / SEARCH_SPACE
        return found | ({beside.name: beside} if beside.is_file() else {})
    size = 0
    for file in _below(folder):
        found.setdefault(str(file.relative_to(folder)), file)
        size += file.stat().st_size
        if len(found) > MOST_FILES or size > MOST_BYTES:
            raise UserError(
                f"{folder} holds more than {MOST_FILES} files or {MOST_BYTES // 1_000_000} MB. All "
                f"that lies beside an MLCommons {SUBMISSION} belongs to the submission: give it a "
                "folder of its own."
            )
    above = folder.parent / SEARCH_SPACE
    if SEARCH_SPACE not in found and folder.name == FRAMEWORK and above.is_file():
        found[SEARCH_SPACE] = above
    return found


def root(path: Path) -> Path:
    """What all of a submission's files lie in: its folder, or its only file."""
    return path.parent if path.name == SUBMISSION and is_mlcommons(path) else path


def _below(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__pycache__")):
            continue
        if entry.is_file():
            yield entry
        elif (entry / "__init__.py").is_file():
            yield from _below(entry)


def read(path: Path) -> dict[str, bytes]:
    """The content of every file of a submission; raises as `files` does, and `OSError`."""
    return {name: file.read_bytes() for name, file in files(path).items()}


def digest(contents: Mapping[str, bytes]) -> str:
    """SHA-256 of a submission: of its file, or of names and contents where there are several."""
    if len(contents) == 1:
        return hashlib.sha256(*contents.values()).hexdigest()
    whole = hashlib.sha256()
    for name, content in sorted(contents.items()):
        whole.update(f"{name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()


def modules_imported(path: Path) -> dict[str, int]:
    """Full names of the modules that the file imports anywhere, and the line of the first time."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found.setdefault(name, node.lineno)
    return found


def names_used(path: Path) -> set[str]:
    """Every name and attribute that the file mentions."""
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    imported = {
        alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return names | imported | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
