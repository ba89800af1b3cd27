"""What a submission's source gives away about the rules: read, not run.

A program finds what is written plainly; who hides it is for a reader to find (docs/rules.md says
which rule is whose).
"""

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PUBLIC = frozenset(
    {
        "algoperf",
        "algoperf.averaging",
        "algoperf.errors",
        "algoperf.features",
        "algoperf.jax_sharding_utils",
        "algoperf.preconditioning",
        "algoperf.schedules",
        "algoperf.selection",
        "algoperf.spec",
        "algoperf.submission",
    }
)
"""Modules of the harness that a submission may import."""

_OURS = ("algoperf", "workloads", "scoring")
_CONCURRENT = {
    "_thread", "asyncio", "concurrent", "multiprocessing", "sched", "signal", "subprocess",
    "threading",
}  # fmt: skip
_PROCESSES = {"os.fork", "os.forkpty", "os.popen", "os.posix_spawn", "os.spawnv", "os.system"}
_CALLED_AS = {"os.environ", "os.getenv", "os.putenv", "sys.argv", "sys.flags"}
_TO_BE_READ = {
    "__import__", "compile", "ctypes", "eval", "exec", "gc", "globals", "importlib", "inspect",
    "jax._src", "jax.config", "jax.debug.callback", "jax.experimental.io_callback",
    "jax.monitoring", "jax.pure_callback", "open", "pickle", "requests", "socket",
    "sys._getframe", "sys.modules", "unittest.mock", "urllib",
}  # fmt: skip
_FOR_NAMES = {"get_batch_size", "get_eval_batch_size"}
"""The functions that are told the workload's name (MLCommons' form)."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something in a source.

    Attributes:
        file: Its name.
        line: From 1.
        what: What stands there, and the rule that it breaks or touches.
        breaks: Whether it breaks a rule; otherwise somebody has to read it.
    """

    file: str
    line: int
    what: str
    breaks: bool

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.what}"


def inspect_source(
    path: Path, workloads: Collection[str], words: Collection[str] = ()
) -> list[Finding]:
    """Everything found in one file, in order of lines.

    Args:
        path: A Python file.
        workloads: Names that no submission may look for.
        words: Those of them that other things are called too.

    Raises:
        SyntaxError: If it is not Python.
    """
    tree = ast.parse(path.read_bytes(), str(path))
    found = {
        Finding(path.name, line, what, breaks)
        for line, what, breaks in (
            *_imports(tree),
            *_uses(tree, _aliases(tree)),
            *_names_of_workloads(tree, frozenset(workloads), frozenset(words)),
            *_search_spaces(tree),
        )
    }
    return sorted(found)


def unread(path: Path, hyperparameters: Sequence[str]) -> list[str]:
    """Hyperparameters whose names stand nowhere in the file but in its search space.

    Empty where the file takes a point apart as a whole (`_asdict`), since it may read any then.
    """
    tree = ast.parse(path.read_bytes(), str(path))
    elsewhere = [node for node in tree.body if not _assigns(node, "search_space")]
    read: set[str] = set()
    for node in (inner for outer in elsewhere for inner in ast.walk(outer)):
        if isinstance(node, ast.Attribute):
            read.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            read.add(node.value)
    if read & {"_asdict", "_fields"}:
        return []
    return [name for name in hyperparameters if name not in read]


_Raw = Iterator[tuple[int, str, bool]]


def _imports(tree: ast.Module) -> _Raw:
    """Modules that lead to what a submission may not have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module]
            if node.module == "algoperf":  # `from algoperf import spec`
                modules = [f"algoperf.{alias.name}" for alias in node.names]
                modules = [m for m in modules if m not in PUBLIC and _is_module(m)]
        else:
            continue
        for module in modules:
            root = module.partition(".")[0]
            if root in _OURS and module not in PUBLIC:
                yield node.lineno, f"imports {module}: not for submissions, which get a view", True
            elif root in _CONCURRENT:
                yield node.lineno, f"imports {module}: no threads or processes", True
            elif any(f"{module}.".startswith(f"{name}.") for name in _TO_BE_READ):
                yield node.lineno, f"imports {module}: somebody has to read why", False


def _is_module(name: str) -> bool:
    place = Path(__file__).parent / name.removeprefix("algoperf.")
    return place.is_dir() or place.with_suffix(".py").is_file()


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Local name to what was imported under it."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    found[alias.asname] = alias.name
                else:
                    root = alias.name.partition(".")[0]
                    found[root] = root
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str | None:
    """`np.random.seed` as `numpy.random.seed`; None for what is not a chain of imported names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or (node.id not in aliases and parts):
        return None
    return ".".join([aliases.get(node.id, node.id), *reversed(parts)])


def _uses(tree: ast.Module, aliases: dict[str, str]) -> _Raw:
    """Sleeping, processes, the environment, foreign functions replaced, the test split."""
    shadowed = _shadowed(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = _dotted(node, aliases)
            if name == "time.sleep":
                yield node.lineno, "sleeps: no waiting on the clock", True
            elif name in _PROCESSES:
                yield node.lineno, f"uses {name}: no processes of its own", True
            elif name in _CALLED_AS:
                yield node.lineno, f"reads {name}: the same algorithm for every workload", True
            elif name in _TO_BE_READ:
                yield node.lineno, f"uses {name}: somebody has to read why", False
            elif isinstance(node, ast.Attribute) and name and name.endswith("Split.TEST"):
                yield node.lineno, "names the test split: not for training", True
        for target in _targets(node):
            name = isinstance(target, ast.Attribute | ast.Subscript) and _dotted(
                target.value, aliases
            )
            if name and target not in shadowed and _is_imported(name, aliases):
                yield target.lineno, f"changes {name}: nothing of others may be replaced", True
        if isinstance(node, ast.Call) and _dotted(node.func, aliases) in {"setattr", "delattr"}:
            changed = _dotted(node.args[0], aliases) if node.args else None
            if changed and _is_imported(changed, aliases):
                yield node.lineno, f"changes {changed}: nothing of others may be replaced", True


_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def _declared_global(function: ast.AST) -> set[str]:
    return {n for node in ast.walk(function) if isinstance(node, ast.Global) for n in node.names}


def _shadowed(tree: ast.Module) -> set[ast.AST]:
    """Targets `name[...]` and `name.x` in functions where `name` is a local variable."""
    found: set[ast.AST] = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, _FUNCTION)):
        inner = list(ast.walk(function))
        local = {node.arg for node in inner if isinstance(node, ast.arg)}
        local |= {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        local -= _declared_global(function)
        for target in (target for node in inner for target in _targets(node)):
            root: ast.AST = target
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if isinstance(root, ast.Name) and root.id in local:
                found.add(target)
    return found


def _is_imported(name: str, aliases: dict[str, str]) -> bool:
    return any(f"{name}.".startswith(f"{module}.") for module in aliases.values())


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign | ast.Delete):
        return node.targets
    return [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []


def _names_of_workloads(tree: ast.Module, workloads: frozenset[str], words: frozenset[str]) -> _Raw:
    """Text that is a workload's name, where no docstring and no `get_batch_size` excuses it."""
    excused: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in _FOR_NAMES:
            excused.update(ast.walk(node))
        elif isinstance(node, ast.Expr):
            excused.add(node.value)
    for node in tree.body:
        if _is_for(node, tree, excused):
            excused.update(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in excused and node.value in workloads:
            breaks = node.value not in words
            yield node.lineno, f"names the workload {node.value!r}: one algorithm for all", breaks


def _is_for(node: ast.stmt, tree: ast.Module, functions: Collection[ast.AST]) -> bool:
    """Whether a statement gives a name to what is read within these functions only."""
    targets = _targets(node)
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    if not targets or len(names) != len(targets):
        return False
    places = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in names]
    reads = [n for n in places if isinstance(n.ctx, ast.Load)]
    return bool(reads) and all(n in functions for n in reads)


def _assigns(node: ast.AST, name: str) -> bool:
    return any(isinstance(t, ast.Name) and t.id == name for t in _targets(node))


def _search_spaces(tree: ast.Module) -> _Raw:
    """A search space that is more than a value written down once."""
    local = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, _FUNCTION) and "search_space" not in _declared_global(node)
        for inner in ast.walk(node)
    }
    places = [
        node for node in ast.walk(tree) if _assigns(node, "search_space") and node not in local
    ]
    for node in places[1:] + [place for place in places[:1] if place not in tree.body]:
        line = node.lineno if isinstance(node, ast.stmt) else 1
        yield line, "decides on the search space while it runs: one for all workloads", True
