"""Parameter counts are remembered as long as nothing that decides them has changed."""

import pytest

from algoperf import counting, registry

NAMES = ("digits_autoencoder", "clicks")


@pytest.fixture
def workloads(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {name: registry.workload(name) for name in NAMES}


def test_they_are_counted_once(workloads, monkeypatch):
    counted = counting.parameters(workloads)
    assert counted["clicks"] == 152_913
    monkeypatch.setattr(counting, "count_parameters", lambda _: pytest.fail("counted again"))
    assert counting.parameters(workloads) == counted


def test_a_changed_file_a_new_workload_or_a_broken_cache_make_them_counted_again(
    workloads, monkeypatch, tmp_path
):
    counted = counting.parameters(workloads)
    (path,) = (tmp_path / "cache" / "algoperf" / "parameters").iterdir()
    path.write_text("{")
    assert counting.parameters(workloads) == counted
    assert counting.parameters({"clicks": workloads["clicks"]}) == {"clicks": 152_913}
    monkeypatch.setattr(counting, "count_parameters", lambda _: 7)
    (package := tmp_path / "package").mkdir()
    (package / "other.py").write_text("")
    monkeypatch.setattr(registry, "workload_folders", lambda: [package])
    assert counting.parameters(workloads) == dict.fromkeys(NAMES, 7)


def test_a_cache_that_cannot_be_written_costs_only_time(workloads, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert counting.parameters({"clicks": workloads["clicks"]}) == {"clicks": 152_913}
