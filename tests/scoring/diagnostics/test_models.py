"""Tables of models: what they may hold, and which model of a file a row means."""

import re

import pandas as pd
import pytest

from algoperf.errors import UserError
from scoring.diagnostics import diagnosis
from tests.scoring.diagnostics.families import tidy, trend
from tests.scoring.diagnostics.test_messages import told


@pytest.fixture
def diagnose(tmp_path):
    def call(frame, models):
        frame.to_csv(tmp_path / "choices.csv", index=False)
        (tmp_path / "models.csv").write_text(models)
        return diagnosis.diagnose([tmp_path / "choices.csv"], tmp_path / "models.csv")

    return call


def glyphs():
    return tidy(*trend(models=2, samples=6)).drop(columns="compute")


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("parameters", "-1", "a finite number above 0"),
        ("parameters", "0", "a finite number above 0"),
        ("parameters", "inf", "a finite number above 0"),
        ("parameters", "many", "a finite number above 0"),
        ("tokens", "-5", "a finite number of at least 0"),
        ("tokens", "-inf", "a finite number of at least 0"),
        ("compute", "big", "a number"),
    ],
)
def test_a_number_that_no_model_has(diagnose, column, value, allowed):
    told = f"{column} of glyph-1 is {value!r} in row 3 (the header is row 1); it must be {allowed}"
    with pytest.raises(UserError, match=re.escape(f"models.csv: {told}, or empty.")):
        diagnose(glyphs(), f"model,{column}\nglyph-0,1\nglyph-1,{value}\n")


@pytest.mark.parametrize(("column", "value"), [("parameters", -1.0), ("tokens", float("inf"))])
def test_a_number_that_no_model_has_in_a_table_of_choices(diagnose, column, value):
    message = f"{column} of the model glyph-0 (glyph) is {value:g}; it must be a finite number"
    with pytest.raises(UserError, match=re.escape(message)):
        diagnose(glyphs().assign(**{column: value}), "model\nglyph-0\n")


def test_a_model_that_has_seen_nothing_has_compute_0(diagnose):
    found = diagnose(glyphs(), "model,parameters,tokens\nglyph-0,1e6,0\nglyph-1,1e6,\n")
    compute = found.tables["models"].set_index("model")["compute"]
    assert compute["glyph-0"] == 0
    assert "glyph: glyph-0: has a compute that is not above 0" in "\n".join(told(found))
    assert "glyph: glyph-1: has no compute" in "\n".join(told(found))


def two_families():
    """Models m0 and m1 of a family a, and of a family b."""
    frames = [
        tidy(*trend(models=2, samples=6, seed=k), family=family) for k, family in enumerate("ab")
    ]
    frame = pd.concat(frames).drop(columns="compute")
    return frame.assign(model="m" + frame["model"].str[-1])


def compute_of(found):
    return found.tables["models"].set_index(["family", "model"])["compute"].to_dict()


def test_two_families_may_have_models_of_one_name(diagnose):
    rows = "model,family,compute\nm0,a,1e18\nm1,a,1e19\nm0,b,1e20\nm1,b,1e21\n"
    found = diagnose(two_families(), rows)
    assert compute_of(found) == {
        ("a", "m0"): 1e18, ("a", "m1"): 1e19, ("b", "m0"): 1e20, ("b", "m1"): 1e21,
    }  # fmt: skip
    assert [line for line in told(found) if "table of models" in line] == []


def test_a_row_without_a_family_is_of_all_that_have_none_of_their_own(diagnose):
    found = diagnose(two_families(), "model,family,compute\nm0,,1e18\nm1,,1e19\nm1,b,1e20\n")
    assert compute_of(found) == {
        ("a", "m0"): 1e18, ("a", "m1"): 1e19, ("b", "m0"): 1e18, ("b", "m1"): 1e20,
    }  # fmt: skip


def test_a_row_of_one_family_is_not_another_familys(diagnose):
    found = diagnose(two_families(), "model,family,compute\nm0,a,1e18\nm1,c,1e19\n")
    lines = told(found)
    assert compute_of(found)["a", "m0"] == 1e18
    assert pd.isna([v for k, v in compute_of(found).items() if k != ("a", "m0")]).all()
    assert "m0: could mean a: m0 or b: m0; did not take it for b: m0" in lines
    assert "m1: could mean a: m1 or b: m1; did not take it for a: m1, b: m1" in lines
    assert "b: m0: is not in the table of models; took what its file says" in lines


def test_a_model_of_an_unknown_family_that_could_be_of_two(diagnose):
    frame = glyphs().drop(columns="family")
    found = diagnose(frame, "model,family,compute\nglyph-0,a,1\nglyph-0,b,2\nglyph-1,b,3\n")
    assert (
        "glyph-0: is of a and of b in the table of models, and of unnamed in its file; "
        "took what its file says"
    ) in told(found)
    assert "a: glyph-0: is in the table of models and in no file; left it out" in told(found)
    assert compute_of(found)["b", "glyph-1"] == 3


@pytest.mark.parametrize(
    ("rows", "twice"),
    [("m,a,1\nm,a,2\n", "m of a"), ("m,,1\nm,,2\n", "m"), ("m,a,1\nn,a,1\nm,a,1\n", "m of a")],
)
def test_a_model_that_is_there_twice(diagnose, rows, twice):
    with pytest.raises(UserError, match=f"models.csv has the model {twice} more than once"):
        diagnose(glyphs(), f"model,family,compute\n{rows}")
