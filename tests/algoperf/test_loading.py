import textwrap

import pytest

from algoperf.errors import UserError
from algoperf.loading import load
from algoperf.rules import Ruleset


@pytest.fixture
def write(tmp_path):
    """Writes a submission outside the repository; returns its path."""

    def write_(text: str, name: str = "mine.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write_


def test_the_short_form(write):
    path = write(
        '''
        """Plain gradient descent."""
        import optax
        from algoperf import from_optax
        search_space = {"learning_rate": {"min": 0.1, "max": 1.0}}
        submission = from_optax(lambda hp, workload: optax.sgd(hp.learning_rate))
        '''
    )
    loaded = load(path)
    assert loaded.name == "mine"
    assert loaded.doc == "Plain gradient descent."
    assert loaded.ruleset == Ruleset.EXTERNAL
    assert len(loaded.sha256) == 64


def test_the_long_form_with_every_function(write):
    loaded = load(
        write(
            """
            def init(workload, params, hyperparameters, key): return ()
            def update(workload, train, batch, key, progress): return train
            def batch_size(workload): return 8
            def select_batch(workload, batches, train, key, progress): return next(batches)
            def params_for_evaluation(workload, train, progress): return train.params, {}
            """
        )
    )
    assert loaded.ruleset == Ruleset.SELF_TUNING
    assert loaded.algorithm.batch_size(None) == 8


def test_a_short_form_may_choose_its_batch_size(write):
    loaded = load(
        write(
            """
            import optax
            from algoperf import from_optax
            submission = from_optax(lambda hp, workload: optax.sgd(0.1))
            def batch_size(workload): return 16
            """
        )
    )
    assert loaded.algorithm.batch_size(None) == 16


def test_a_file_named_submission_takes_its_folders_name(write, tmp_path):
    (tmp_path / "lion").mkdir()
    path = write("submission = 1", "lion/submission.py")
    with pytest.raises(UserError, match="must be what `from_optax"):
        load(path)
    path.write_text("def init(a, b, c, d): ...\ndef update(a, b, c, d, e): ...")
    assert load(path).name == "lion"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "defines no `init` and no `update`"),
        ("def init(workload, params, hyperparameters, key): ...", "defines no `update`"),
        (
            "def init(workload): ...\ndef update(a, b): ...",
            r"`init` must take \(workload, params, hyperparameters, key\), it is \(workload\)",
        ),
        ("init = 3\ndef update(a, b, c, d, e): ...", "`init` must take .* it is a int"),
        ("submission = 7", "must be what `from_optax"),
        ("import no_such_module", "which is not installed here.*pip install no_such_module"),
        ("1 / 0", r"(?s)line 1.*ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def f(:", "SyntaxError"),
        (
            "search_space = {'lr': {'min': 2, 'max': 1}}\n"
            "def init(a, b, c, d): ...\ndef update(a, b, c, d, e): ...",
            "lr: min 2 is above max 1",
        ),
    ],
)
def test_a_faulty_submission_is_refused_with_its_fault(write, text, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        load(write(text))


def test_all_faults_are_told_at_once(write):
    with pytest.raises(UserError) as caught:
        load(write("search_space = []\ndef init(): ...\ndef batch_size(a, b): ..."))
    text = str(caught.value)
    assert "`init` must take" in text
    assert "`batch_size` must take" in text
    assert "defines no `update`" in text
    assert "list of points is empty" in text


@pytest.mark.parametrize("name", ["adamx", "nadam", "mine.py", "no/such/file.py"])
def test_a_submission_that_does_not_exist(name):
    with pytest.raises(UserError, match="Unknown submission|There is no submission file"):
        load(name)


def test_a_near_name_is_suggested():
    with pytest.raises(UserError, match="Did you mean 'nesterov'"):
        load("nestrov")
