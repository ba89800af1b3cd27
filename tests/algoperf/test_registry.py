import pytest

from algoperf import registry, rulesets
from algoperf.errors import UserError


def test_a_workload_lives_in_the_file_whose_name_begins_its_own():
    for name, workload in registry.workloads().items():
        module = registry.workload_module(name)
        assert module.rpartition(".")[2] == workload.base_name
        assert registry.workload(name) is workload


def test_unknown_names_come_with_a_way_out():
    with pytest.raises(UserError, match="Did you mean .*'digits_vit'.*algoperf list workloads"):
        registry.workload("digits_vti")
    with pytest.raises(UserError, match="Known: .*See 'algoperf list rules'"):
        rulesets.load("xyzzy")
    with pytest.raises(UserError, match="Unknown suite 'quik'. Did you mean 'quick'"):
        rulesets.of_suite("quik")


UNSCORED = {"mnist", "cifar", "finewebedu_lm", "digits_continued"}
"""For development, or without a budget."""


def test_every_workload_has_its_numbers_and_every_number_its_workload():
    workloads = registry.workloads()
    for suite in ("quick", "full"):
        rules = rulesets.of_suite(suite)
        own = {name: w for name, w in workloads.items() if w.suite == suite}
        assert set(rules.workloads) == set(own)
        bases = [name for name, workload in own.items() if workload.base is None]
        assert list(rules.base_workloads) == [n for n in bases if n not in UNSCORED]
        for name, workload in own.items():
            assert workload.validation == rules.workloads[name].validation, name
            assert workload.validation.metric in workload.metrics


@pytest.mark.parametrize("base", rulesets.load("quick").base_workloads)
def test_every_base_of_the_quick_suite_has_two_variants(base):
    assert sum(w.base == base for w in registry.workloads().values()) >= 2
