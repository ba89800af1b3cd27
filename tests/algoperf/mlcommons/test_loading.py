import sys

import pytest

from algoperf import sources, tuning
from algoperf.errors import UserError
from algoperf.loading import examine, load
from algoperf.rules import Ruleset
from tests.algoperf.mlcommons.conftest import WORKING


def test_with_a_search_space_it_is_tuned_from_outside_and_without_one_by_itself(folder):
    assert load(folder() / "submission.py").ruleset == Ruleset.SELF_TUNING
    space = {"rate": {"min": 0.1, "max": 1.0, "scaling": "log"}, "b": {"feasible_points": [1, 2]}}
    loaded = load(folder(space=space))
    assert loaded.name == "mine"
    assert loaded.ruleset == Ruleset.EXTERNAL
    assert isinstance(loaded.search_space, tuning.Box)
    points = load(folder(space=[{"rate": 0.1}, {"rate": 0.2}])).search_space
    assert isinstance(points, tuning.Points)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ('{"rate": {"min": 0.1,}}', r"space.json is not JSON: line 1, column 22"),
        ('{"rate":\n  oops}', r"line 2, column 3"),
        ({"rate": {"min": 0.1, "max": 1.0, "scale": "log"}}, r"rate: unknown key scale"),
        ({"rate": {"min": 0.1}}, r"rate: lacks max"),
        ([{"rate": 0.1}, {"b": 0.2}], r"point 2 has the hyperparameters \['b'\]"),
    ],
)
def test_a_faulty_search_space_is_named(folder, space, said):
    with pytest.raises(UserError, match=said):
        load(folder(space=space))


def test_too_few_points_are_counted(folder):
    space = load(folder(space=[{"rate": 0.1 * n} for n in range(1, 6)])).search_space
    with pytest.raises(UserError, match="need 15 hyperparameter points; the search space gives 5"):
        tuning.draw(space, 15, 0)


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        ("import torch.nn as nn", r"is a PyTorch submission \(line 1 imports torch.nn\)"),
        ("from algoperf.pytorch_utils import pytorch_setup", r"is a PyTorch submission"),
        ("import no_such_package.part", r"not installed here.*pip install no_such_package"),
        ("from algoperf import random_utils", r"there are algoperf.spec and algoperf.jax_shard"),
        ("from algoperf.workloads.wmt import bleu", r"there are algoperf.spec and"),
        ("from algorithmic_efficiency import random_utils", r"there are algoperf.spec and"),
        ("import algorithmic_efficiency.workloads", r"there are algoperf.spec and"),
        ("import algorithmic_efficiency.pytorch_utils", r"is a PyTorch submission"),
    ],
)
def test_what_cannot_be_imported_is_named(folder, imports, said):
    with pytest.raises(UserError, match=said):
        load(folder({"submission.py": f"{imports}\nupdate_params = init_optimizer_state = None"}))


def test_requirements_are_pointed_to(folder):
    text = "import no_such_package\ninit_optimizer_state = None"
    path = folder({"submission.py": text, "requirements.txt": "no_such_package"})
    with pytest.raises(UserError, match=r"requirements.txt lists what it needs: pip install -r"):
        load(path)


def test_every_function_that_is_missing_or_cannot_be_called_is_named(folder):
    text = """
    def init_optimizer_state(workload, rng): ...
    def update_params(workload, batch): ...
    def prepare_for_eval(**arguments): ...
    """
    _, faults = examine(folder({"submission.py": text}))
    assert [fault.partition(":")[0] for fault in faults] == [
        "it defines no `get_batch_size`",
        "`init_optimizer_state` must take 5 arguments",
        "`update_params` must take workload, current_param_container, current_params_types, "
        "model_state, hyperparameters, loss_type, optimizer_state, eval_results, global_step, "
        "rng, batch",
    ]


@pytest.mark.parametrize(
    "imports",
    [
        "from helper import size",
        "from .helper import size",
        "from mine.helper import size",
        "from submissions.of_that_year.some_team.their_name.helper import size",
        "import nowhere.at_all.helper as helper; size = helper.size",
        "from nowhere.at_all import helper; size = helper.size",
    ],
)
def test_it_imports_what_lies_beside_it_and_leaves_nothing_behind(folder, imports):
    """Two submissions may each have a `helper.py`."""
    text = f"""
    {imports}
    def get_batch_size(workload_name): return size
    def init_optimizer_state(*arguments): ...
    def update_params(**arguments): ...
    """
    before, modules = list(sys.path), set(sys.modules)
    for size in (8, 16):
        files = {"submission.py": text, "helper.py": f"size = {size}", "__init__.py": ""}
        path = folder(files)
        module = load(path).algorithm.batch_size.__self__._module
        assert module.get_batch_size("tiny") == size
    assert sys.path == before
    left = sys.modules.keys() - modules
    assert not [name for name in left if name.rpartition(".")[2] == "helper"]
    assert "nowhere" not in sys.modules


def test_what_it_imports_has_to_be_kept_with_its_results(folder, tmp_path, monkeypatch):
    (tmp_path / "elsewhere.py").write_text("")
    monkeypatch.chdir(tmp_path)
    text = """
    import elsewhere
    def get_batch_size(workload_name): return 8
    def init_optimizer_state(*arguments): ...
    def update_params(**arguments): ...
    """
    with pytest.raises(UserError, match=r"elsewhere.py, which is not kept with its results"):
        load(folder({"submission.py": text}))


def test_names_of_older_rules_lead_to_the_new_ones(folder):
    text = """
    import algorithmic_efficiency.spec as by_path
    from algorithmic_efficiency import jax_sharding_utils, spec
    from algoperf import spec as new
    import chex
    import jax
    assert by_path is spec is new
    assert jax.tree_map(lambda x: x + 1, {"a": 1}) == {"a": 2}
    assert jax.tree_leaves({"a": 1}) == [1]
    def get_batch_size(workload_name): return 8
    def init_optimizer_state(*arguments): ...
    def update_params(**arguments): ...
    """
    load(folder({"submission.py": text}))


def test_a_folder_called_jax_is_named_and_tuned_by_the_one_above(folder, tmp_path):
    path = folder(name="mine") / "jax"
    folder(name="mine/jax")
    assert load(path).name == "mine"
    assert load(path).ruleset == Ruleset.SELF_TUNING
    before = load(path).sha256
    above = folder(space=[{"rate": 0.1}]) / "tuning_search_space.json"
    assert load(path).search_space == tuning.Points(({"rate": 0.1},))
    assert sources.files(path / "submission.py")[above.name] == above
    assert load(path).sha256 != before
    folder(space=[{"rate": 0.2}], name="mine/jax")  # its own comes first
    assert load(path).search_space == tuning.Points(({"rate": 0.2},))


@pytest.mark.parametrize(
    ("imports", "devices"), [("", 1), ("from algoperf import jax_sharding_utils", 0)]
)
def test_a_helper_that_mentions_pmap_makes_no_older_version(folder, imports, devices):
    files = {"submission.py": imports + WORKING, "helper.py": "import jax\njax.pmap"}
    adapter = load(folder(files)).algorithm.update.__self__
    assert bool(adapter._devices) == bool(devices)


def test_a_helper_that_is_not_kept_is_the_only_fault_of_an_older_version(folder):
    """MLCommons' algorithms of the target setting: several files, none called submission.py."""
    files = {"named.py": "import helper" + WORKING, "helper.py": "import jax\njax.pmap"}
    submission, faults = examine(folder(files) / "named.py")
    assert submission is not None
    assert submission.algorithm.update.__self__._devices
    (fault,) = faults
    assert "helper.py, which is not kept with its results" in fault


def test_packages_installed_below_the_working_folder_are_no_files_of_it(
    folder, tmp_path, monkeypatch
):
    package = tmp_path / "venv/lib/site-packages/some_package.py"
    package.parent.mkdir(parents=True)
    package.write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(package.parent)
    path = folder({"submission.py": "import some_package\n" + WORKING})
    assert load(path).name == "mine"
    assert set(sources.files(path / "submission.py").values()) == {path / "submission.py"}
