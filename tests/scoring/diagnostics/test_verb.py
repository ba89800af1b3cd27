"""`algoperf diagnose` as a person meets it: what it prints and writes, messages, exit status."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from algoperf.errors import UserError
from scoring.diagnostics import diagnosis
from tests.scoring.diagnostics.families import tidy, trend

TOOL = Path(sys.executable).parent / "algoperf"


def tool(*arguments, cwd):
    return subprocess.run(
        [TOOL, "diagnose", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, check=False,
        env=os.environ | {"COLUMNS": "160"},
    )  # fmt: skip


def test_one_file_is_enough(tmp_path):
    tidy(*trend()).to_csv(tmp_path / "choices.csv", index=False)
    result = tool("choices.csv", "--json", "a/out.json", "--out", "report", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "log p_vocab" in result.stdout
    assert "glyph-5" in result.stdout
    assert "of: the highest mean that ties allow" in " ".join(result.stdout.split())
    assert re.search(r"accuracy +│ +\d\.\d{3} of 0\.\d{3} ", result.stdout)
    found = json.loads((tmp_path / "a/out.json").read_text())
    assert {"correlations", "flips", "forecast", "fits", "problems"} <= set(found)
    assert json.loads((tmp_path / "report/diagnosis.json").read_text()) == found
    for name in ("correlations", "ccdf", "ccdf_null", "levels", "alignment"):
        assert (tmp_path / f"report/{name}.csv").read_text().count("\n") > 1
    for name in ("ccdf", "levels", "masses", "attribution", "reliability"):
        assert (tmp_path / f"report/{name}.svg").read_text().count("letters") > 0
        assert (tmp_path / f"report/{name}.png").stat().st_size > 1000


NAME = r"a$\frac$b"


@pytest.mark.slow
def test_a_name_may_hold_what_would_be_mathematics(tmp_path):
    frame = tidy(*trend(models=4, samples=10), family=NAME, task=f"_{NAME}")
    frame["model"] = "_" + NAME + frame["model"]
    frame.to_csv(tmp_path / "choices.csv", index=False)
    result = tool("choices.csv", "--out", "report", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("ccdf", "levels", "masses", "attribution", "reliability"):
        assert f"{NAME}, _{NAME}<" in (tmp_path / f"report/{name}.svg").read_text()
    # The legend names all four models as they are.
    drawn = (tmp_path / "report/reliability.svg").read_text()
    assert all(f"_{NAME}{NAME}-{k}<" in drawn for k in range(4))


@pytest.mark.slow
def test_an_untrained_model_is_drawn_like_any_other(tmp_path):
    frame = tidy(*trend(models=4, samples=10), compute=[0.0, 1e18, 1e19, 1e20])
    frame.to_csv(tmp_path / "choices.csv", index=False)
    result = tool("choices.csv", "--out", "report", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.csv"], "There is no file or folder 'absent.csv'"),
        (["good.csv", "--models", "absent.csv"], "There is no file or folder 'absent.csv'"),
        (["other.csv"], "is no tidy choice table: it lacks model"),
        (["good.csv", "--normalisation", "per_tokn"], "Did you mean 'per_token'"),
        (["good.csv", "--json", "good.csv/x.json"], "Cannot write good.csv/x.json"),
    ],
)
def test_a_mistake_gets_one_message_and_status_2(tmp_path, arguments, message):
    tidy(*trend(models=3, samples=3)).to_csv(tmp_path / "good.csv", index=False)
    (tmp_path / "other.csv").write_text("step,loss\n1,2\n")
    result = tool(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr


def test_a_normalisation_that_the_file_does_not_allow_is_a_mistake(tmp_path):
    path = tmp_path / "choices.csv"
    tidy(*trend(models=3, samples=10)).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"allows no normalisation that was asked for \(per_char\)"):
        diagnosis.diagnose([path], None, ["per_char"])
