"""The arrows of the design point down only; what is said in the README is true."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import algoperf
from algoperf import arguments, cli

ROOT = Path(__file__).parent.parent
ROOMS = ("algoperf", "workloads", "submissions", "scoring")
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]

MAY_IMPORT = {
    "algoperf": {"algoperf"},
    "workloads": {"algoperf", "workloads"},
    "submissions": {"algoperf", "submissions"},
    "scoring": {"algoperf", "scoring"},
}


def imported(path: Path) -> set[str]:
    """First names of everything that the file imports, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    room = path.relative_to(ROOT).parts[0]
    allowed = set(ROOMS) if path.parent.name == "cli" else MAY_IMPORT[room]
    assert imported(path) & set(ROOMS) <= allowed
    if room == "scoring":
        assert not imported(path) & {"jax", "flax", "optax"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_map_has_every_module_and_no_other():
    lines = [line[20:] for line in algoperf.__doc__.splitlines() if line.startswith("    ")]
    named = ", ".join(line.rstrip(",") for line in lines).split(", ")
    there = {path.stem for path in (ROOT / "algoperf").glob("*.py")} - {"__init__"}
    there |= {f"{path.parent.name}/" for path in (ROOT / "algoperf").glob("*/__init__.py")}
    assert sorted(named) == sorted(there)


def test_algoperf_knows_no_workload_and_no_submission_by_name():
    names = {p.stem for p in FILES if p.parent.name in ("workloads", "submissions")} - {"__init__"}
    names -= {"losses"}
    for path in (ROOT / "algoperf").rglob("*.py"):
        strings = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not strings & names, path


def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_the_commands_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = set(re.findall(r"^make ([a-z-]+)", readme(), re.MULTILINE))
    assert {"score", "test"} <= said <= targets
    shown = "\n".join(re.findall(r"```sh(.*?)```", readme(), re.DOTALL))
    lines = re.findall(r"^(algoperf .*)", shown, re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        arguments.parse(shlex.split(line, comments=True))


def test_the_picture_of_the_readme_is_of_its_board():
    picture = (ROOT / "docs/quick/profile.svg").read_text()
    rows = re.findall(r"│ +\d=? +│ (\w+) +│ (\d\.\d{4})", readme())
    assert len(rows) == 4
    for name, score in rows:
        assert f"{name} ({float(score):.3f})" in picture


def test_links_of_the_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


@pytest.mark.slow
def test_the_readmes_optimizer_trains(tmp_path, easy_rules, monkeypatch):
    """The 15 lines, copied as a reader would, outside the repository."""
    code = re.search(r"```python\n(.*?)```", readme(), re.DOTALL)
    assert code is not None
    assert len(code[1].strip().splitlines()) <= 15
    (tmp_path / "my_optimizer.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    cli.run(["my_optimizer.py"], workloads=["digits_autoencoder"], rules=str(easy_rules), studies=1)
    trials = list((tmp_path / "results/easy/my_optimizer").glob("study_1/*/trial_*"))
    assert len(trials) == 2
    cli.score([tmp_path / "results/easy"], rules=str(easy_rules), json=tmp_path / "out.json")
    assert '"my_optimizer"' in (tmp_path / "out.json").read_text()
