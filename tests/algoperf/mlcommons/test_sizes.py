from dataclasses import replace

import pytest

from algoperf import declarations, registry
from algoperf.mlcommons.sizes import asked, batch_size
from tests import tiny
from tests.algoperf.mlcommons.conftest import SUBMISSIONS

CLICKS = replace(tiny.workload, name="clicks", mirrors="criteo1tb", batch_size=8)
VARIANT = replace(CLICKS, name="clicks_layernorm", base="clicks")


def knows(**sizes):
    def get_batch_size(workload_name):
        if workload_name not in sizes:
            raise ValueError(workload_name)
        return sizes[workload_name]

    return get_batch_size


def test_its_own_name_comes_first_then_its_bases():
    assert asked(knows(clicks_layernorm=3, clicks=5), VARIANT) == (3, None)
    assert asked(knows(clicks=5, criteo1tb=7), VARIANT) == (5, None)


def test_what_it_mirrors_says_how_many_times_the_usual():
    """Half of 262,144 for the full workload is half of 8 here."""
    size, note = asked(knows(criteo1tb=131_072), VARIANT)
    assert size == 4
    assert note == (
        "get_batch_size does not know 'clicks_layernorm'; for 'criteo1tb', which that mirrors, it "
        "says 131072, 0.5 times the usual. 0.5 times 8 is 4."
    )


def test_the_variant_of_the_same_kind_comes_before_what_it_is_a_variant_of():
    size, note = asked(knows(criteo1tb_layernorm=524_288, criteo1tb=131_072), VARIANT)
    assert size == 16
    assert "'criteo1tb_layernorm'" in note


@pytest.mark.parametrize("ask", [knows(), lambda name: None, lambda name: {}[name]])
def test_a_submission_that_knows_neither_gets_the_workloads_own(ask):
    assert asked(ask, CLICKS).size == 8
    assert asked(ask, tiny.workload).note == (
        "get_batch_size does not know 'tiny', nor what that mirrors; the workload's own is 4."
    )


def test_devices_and_data_bound_what_was_found_and_not_what_was_said():
    """Two devices; tiny's training split has 10 examples."""
    full = registry.workload("criteo1tb").batch_size
    assert batch_size(knows(criteo1tb=full // 3), CLICKS) == 4  # 8 / 3 = 2.67, 3, rounded up
    assert batch_size(knows(criteo1tb=100 * full), CLICKS) == 10
    assert batch_size(knows(clicks=7), CLICKS) == 7


def test_what_is_said_of_its_batch_sizes_comes_from_another_process(tmp_path):
    names = ["digits_autoencoder", "no_such_workload"]
    (found,) = declarations.read([SUBMISSIONS / "jit_adamw"], tmp_path / "results", names)
    assert isinstance(found, declarations.Declared)
    assert found.search_space is not None
    assert list(found.notes) == ["digits_autoencoder"]
    assert "does not know 'digits_autoencoder'" in found.notes["digits_autoencoder"][0]


def test_a_batch_size_that_cannot_be_told_is_the_submissions_error(tmp_path):
    source = (SUBMISSIONS / "jit_adamw/submission.py").read_text()
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "submission.py"
    path.write_text(f"{source}\ndef get_batch_size(name): return {{}} + name\n")
    (found,) = declarations.read([path], tmp_path / "results", ["digits_autoencoder"])
    assert "gives no batch size for 'digits_autoencoder': TypeError" in str(found)
