import hashlib

import pytest

from algoperf import registry, sources
from algoperf.errors import UserError
from tests.algoperf.mlcommons.conftest import WORKING


def test_a_file_of_our_own_form_is_alone_and_hashed_as_its_bytes(tmp_path):
    path = tmp_path / "submission.py"
    path.write_text("def init(): ...")
    (tmp_path / "notes.txt").write_text("not a part of it")
    assert list(sources.files(path)) == ["submission.py"]
    assert registry.source_hash(path) == hashlib.sha256(b"def init(): ...").hexdigest()


def test_all_that_lies_beside_an_mlcommons_submission_belongs_to_it(folder):
    files = {"helper.py": "", "part/__init__.py": "", "part/more.py": "", "results/a.csv": ""}
    path = folder(files, space={}) / "submission.py"
    (path.parent / ".hidden").write_text("")
    found = ["submission.py", "helper.py", "part/__init__.py", "part/more.py"]
    assert list(sources.files(path)) == [*found, "tuning_search_space.json"]


def test_the_hash_changes_with_every_file_and_with_its_name(folder):
    path = folder({"helper.py": "a = 1"}, space={}) / "submission.py"
    seen = {registry.source_hash(path)}
    (path.parent / "tuning_search_space.json").write_text("[]")
    seen.add(registry.source_hash(path))
    (path.parent / "helper.py").rename(path.parent / "helpers.py")
    seen.add(registry.source_hash(path))
    (path.parent / "helpers.py").write_text("a = 2")
    seen.add(registry.source_hash(path))
    assert len(seen) == 4


def test_a_file_of_another_name_has_only_its_search_space_beside_it(folder):
    path = folder({"jax_adamw.py": WORKING, "jax_lamb.py": WORKING}, space={}) / "jax_adamw.py"
    assert list(sources.files(path)) == ["jax_adamw.py", "tuning_search_space.json"]
    assert registry.submission_name(path) == "jax_adamw"


def test_functions_may_be_imported(tmp_path):
    path = tmp_path / "submission.py"
    path.write_text("from base import init_optimizer_state, update_params")
    assert sources.is_mlcommons(path)
    path.write_text("this is no Python")
    assert not sources.is_mlcommons(path)


def test_a_folder_with_too_much_in_it_is_refused(folder):
    path = folder({f"{number}.txt": "" for number in range(100)}) / "submission.py"
    with pytest.raises(UserError, match="give it a folder of its own"):
        registry.source_hash(path)


def test_a_folder_stands_for_the_submission_in_it(folder, monkeypatch):
    path = folder()
    assert registry.submission_path(str(path)) == path / "submission.py"
    monkeypatch.chdir(path.parent)
    assert registry.submission_path("mine") == path / "submission.py"
    monkeypatch.chdir(path)
    assert registry.submission_path(".") == path / "submission.py"
    assert registry.submission_name(path / "submission.py") == "mine"
