"""What a user is told: of every fault the file, the place, the value and what would be right."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from algoperf import arguments, cli
from algoperf.errors import UserError
from scoring.diagnostics import diagnosis, text
from tests.scoring.diagnostics.families import tidy, trend
from tests.scoring.diagnostics.test_readers import lm_eval, olmes, samples, write

HEADER = "model,task,sample_id,choice_idx,loglik_sum,is_gold\n"


@pytest.fixture
def refused(capsys):
    """Runs the command on a file that it has to refuse, and returns what it says."""

    def call(*files):
        asked = arguments.parse(["algoperf", "diagnose", *map(str, files)])
        assert cli._dispatch(asked) == 2
        said = capsys.readouterr()
        assert said.out == ""
        return said.err

    return call


def told(found):
    return [f"{p.path}: {p.problem}; {p.action}" for p in found.problems]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("m,t,s,0,-1,1\nm,t,s,1,high,0\n", "loglik_sum is 'high' in row 3 (the header is row 1); it"
         " must be a number"),
        ('m,t,s,0,"-1,5",1\n', "loglik_sum is '-1,5' in row 2"),
        ("m,t,s,0,-1,yes\n", "is_gold is 'yes' in row 2 (the header is row 1); it must be 1 or 0"),
        ("m,t,s,0,-1,2\n", "is_gold is '2' in row 2"),
        ("m,t,s,0,-1,1\nm,t,s,1,-1,\n", "is_gold is empty in 1 rows, the first is row 3"),
        ("m,t,s,0,-1,1\nm,t,,1,-1,0\n", "1 of 2 rows have no sample_id, the first is row 3"),
        ("m,t,s,0,-1,1\nm,t,s\n", "row 3 (the header is row 1) has 3 columns and the header 6"),
        ("m,t,s,0,-1,1,5\n", "row 2 (the header is row 1) has 7 columns and the header 6"),
    ],
)  # fmt: skip
def test_a_faulty_csv_file(refused, tmp_path, rows, message):
    path = tmp_path / "choices.csv"
    path.write_text(HEADER + rows)
    assert f"{path}: {message}" in refused(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER.replace(",", ";").encode(), "columns of a .csv file are separated by ','"),
        (HEADER.replace(",", ", ").encode(), "a name has no spaces around it"),
        ((HEADER + "m,t,é,0,-1,1\n").encode("latin-1"), "is not text in UTF-8"),
        (HEADER.encode("utf-16"), "is not text in UTF-8"),
        # Beyond what is read for the header, where another reader finds it.
        ((HEADER + "m,t,s,0,-1,1\n" * 9000 + "m,t,é,1,-1,0\n").encode("latin-1"),
         "sample_id in row 9002 (the header is row 1) is not text in UTF-8"),
        (b"", "it has none"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_csv_file(refused, tmp_path, content, message):
    path = tmp_path / "choices.csv"
    path.write_bytes(content)
    assert message in refused(path)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("loglik_sum", ["-1", "high"], "loglik_sum is 'high' in row 2; it must be a number"),
        ("loglik_sum", [[1.0], [2.0]], "the column loglik_sum is of type list<"),
        ("is_gold", [1, 2], "is_gold is '2' in row 2; it must be 1 or 0"),
        ("is_gold", ["True", None], "is_gold is empty in 1 rows, the first is row 2"),
        ("sample_id", [[1], [2]], "the column sample_id is of type list<"),
    ],
)
def test_a_faulty_parquet_file(refused, tmp_path, column, values, message):
    table = {
        "model": ["m", "m"], "task": ["t", "t"], "sample_id": ["s", "s"], "choice_idx": [0, 1],
        "loglik_sum": [-1.0, -2.0], "is_gold": [True, False],
    }  # fmt: skip
    path = tmp_path / "choices.parquet"
    pq.write_table(pa.table(table | {column: values}), path)
    assert message in refused(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "is no Parquet file, or is cut off" in refused(path)


def test_parquet_may_hold_numbers_and_truths_as_text(tmp_path):
    table = {
        "model": ["m"] * 4, "task": ["t"] * 4, "sample_id": ["a", "a", "b", "b"],
        "choice_idx": ["0", "1", "0", "1"], "loglik_sum": ["-1", "-inf", "-2.5", "-3e0"],
        "is_gold": ["True", "false", "1.0", "0"],
    }  # fmt: skip
    path = tmp_path / "choices.parquet"
    pq.write_table(pa.table(table), path)
    (row,) = diagnosis.diagnose([path]).tables["levels"].to_dict("records")
    assert row["log_p_vocab_correct"] == -1.75
    assert row["accuracy"] == 1


def test_a_folder_that_holds_nothing_is_named(refused, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    assert f"{folder}: is a folder without a .jsonl file and without trials" in refused(folder)
    (folder / "choices_a.csv").write_text(HEADER)
    assert "name its tables one by one (choices_a.csv)" in refused(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes.txt", "notes.txt is a .txt file, which is not read. Known are samples of lm-eval"),
        ("samples", "samples has no ending that tells what it is"),
        ("samples.jsonl.gz", "is a .gz file, which is not read"),
    ],
)
def test_a_file_of_an_unknown_kind(refused, tmp_path, name, message):
    (tmp_path / name).write_text("{}")
    assert message in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (lm_eval(0, [-1, -2], 0, arguments={"a": 1}), "line 1: requests that are not of a prompt"),
        (lm_eval(0, [-1, -2], 0, arguments={"gen_args_0": "x"}), "line 1: requests that are not"),
        (lm_eval(0, [-1, -2], 0, arguments=5), "line 1: requests that are not of a prompt"),
        (lm_eval(0, [-1, -2], 0, filtered_resps={"a": 1}), "line 1: no log-likelihoods of choices"),
        (lm_eval(0, [-1, -2], 0, filtered_resps=[[None, None]]), "line 1: no log-likelihoods"),
        (olmes(0, [], 0), "line 1: no choices"),
        (olmes(0, [], 0, model_output=[1]), "line 1: no log-likelihoods of choices"),
        (olmes(0, [-1, -2], 0, doc_id=None, native_id=None), "line 1: neither a doc_id nor a nat"),
        (olmes(0, [-1, -2], 0, metrics=5), "1 samples do not have exactly one gold choice (Merc"),
    ],
)  # fmt: skip
def test_a_record_that_is_none(refused, tmp_path, record, message):
    path = tmp_path / "m" / "task-000-letters-predictions.jsonl"
    assert message in refused(write(path, [record]))


def test_what_is_no_object_in_an_array_is_told(tmp_path):
    path = tmp_path / "pretrained__m_boolq.jsonl"
    path.write_text(json.dumps([lm_eval(0, [-1, -2], 0), 5, None]))
    found = told(diagnosis.diagnose([path]))
    assert f"{path}: object 2 is truncated or no JSON (not an object); left the object out" in found
    path.write_text(path.read_text()[:-9])
    with pytest.raises(UserError, match="is a JSON array that is cut off or faulty"):
        diagnosis.diagnose([path])


@pytest.fixture
def diagnose(tmp_path):
    def call(frame, models=None):
        path = tmp_path / "choices.csv"
        frame.to_csv(path, index=False)
        given = None
        if models is not None:
            given = tmp_path / "models.csv"
            given.write_text(models)
        return diagnosis.diagnose([path], given)

    return call


def test_faulty_samples_are_named(diagnose):
    frame = tidy(*trend(models=3, samples=8))
    # Five samples, of which three are named; a hash by what it begins with.
    long = "0123456789abcdef0123"
    frame["sample_id"] = frame["sample_id"].replace("s0", long)
    bad = frame["sample_id"].isin([long, "s2", "s3", "s5", "s7"]) & (frame["model"] == "glyph-1")
    found = told(diagnose(frame.assign(loglik_sum=frame["loglik_sum"].where(~bad, 0.5))))
    (line,) = [line for line in found if "glyph-1" in line]
    named = line.partition("below -1e100 (")[2].partition(")")[0]
    first, _, more = named.partition(" and ")
    assert more == "2 more"
    assert set(first.split(", ")) < {"0123456789abcdef...", "s2", "s3", "s5", "s7"}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        # exp of these is 0 or no number, and so is their square.
        (lambda f: f.assign(loglik_sum=f["loglik_sum"].where(f.index != 0, -1e300)),
         "glyph-0: 1 samples have a value that is NaN or a log-likelihood above 0 or below -1e100"),
        (lambda f: f.assign(n_tokens=np.where(f["sample_id"] == "s2", 0, 2)),
         "n_tokens of a choice is not above 0 in 1 samples; left them out of per_token"),
        (lambda f: f.assign(cluster=np.where(f["sample_id"] == "s2", "", "a")),
         "1 samples have no cluster (s2); did without clusters"),
        (lambda f: f.assign(loglik_sum=f["loglik_sum"].where(
            (f["sample_id"] != "s2") | (f["model"] != "glyph-1"), -np.inf)),
         "a model finds every choice of 1 samples impossible (s2); kept them: p_choices"),
    ],
)  # fmt: skip
def test_what_else_is_left_out_is_told(diagnose, fault, message):
    found = diagnose(fault(tidy(*trend(models=3, samples=6))))
    assert message in "\n".join(told(found))


def test_a_sample_of_two_clusters_is_refused(diagnose):
    frame = tidy(*trend(models=3, samples=6))
    frame["cluster"] = np.where(frame.index == 0, "a", "b")
    with pytest.raises(UserError, match="1 samples are in more than one cluster, the first"):
        diagnose(frame)


def test_models_and_rows_without_each_other_are_told(diagnose):
    frame = tidy(*trend(models=3, samples=6)).drop(columns="compute")
    models = "model,compute\nglyph-0,1e18\nglyph-1,1e19\nglyph-7,1e20\n"
    found = told(diagnose(frame, models))
    assert "glyph-7: is in the table of models and in no file; left it out" in found
    assert "glyph-2: is not in the table of models; took what its file says" in found


def test_a_row_that_could_mean_two_models_is_taken_for_neither(diagnose):
    frame = tidy(*trend(models=3, samples=6)).drop(columns="compute")
    names = {"glyph-0": "a__m", "glyph-1": "b__m", "glyph-2": "a__m@step9"}
    frame["model"] = frame["model"].replace(names)
    found = diagnose(frame, "model,compute\nm,1e18\n")
    action = "did not take it for a__m, b__m, a__m@step9"
    assert f"m: could mean a__m or b__m or a__m@step9; {action}" in told(found)
    assert found.tables["models"]["compute"].isna().all()
    # Where an organisation is named, the row is that one's and its revisions'.
    found = diagnose(frame, "model,compute\na/m,1e18\n").tables["models"].set_index("model")
    assert found["compute"].notna().to_dict() == {"a__m": True, "b__m": False, "a__m@step9": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model,compute\nglyph-0,1e18,5\n", r"row 2 \(the header is row 1\) has 3 columns and the"),
        ("model;compute\nglyph-0;1e18\n", "which are to be separated by ','"),
        ("", "has no column model; it is empty"),
        ("model,compute\n", "has a header and no rows"),
        ('model,compute\n"glyph-0,1e18\n', "is no CSV file, or is cut off"),
        ("model,model\na,b\n", "has the column model twice"),
    ],
)
def test_a_table_of_models_that_is_none(diagnose, content, message):
    with pytest.raises(UserError, match=message):
        diagnose(tidy(*trend(models=3, samples=6)), content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('concept,frequency,accuracy\n"a,1,0.5\n', "is no CSV file, or is cut off"),
        ("concept,frequency,accuracy\n", "has a header and no rows"),
        ("concept,frequency,accuracy\na,often,0.5\n", "frequency of 'a' (row 1) is 'often'"),
        ("model,sample_id,token_logprobs\nm,a,[-1 -2]\n", "token_logprobs of row 1 is no list"),
        ("model,sample_id,token_logprobs\nm,a\n", "has 2 columns and the header 3"),
    ],
)
def test_a_faulty_table_of_frequencies_or_tokens(refused, tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_text(content)
    assert message in refused(path)


def test_notes_are_about_what_is_there(diagnose):
    frame = tidy(*trend(models=4, samples=8))
    notes = "\n".join(diagnose(frame).notes)
    assert "Brier is negated" in notes
    assert "unnamed" not in notes
    frame = frame[frame["choice_idx"] == 0].drop(columns=["family", "loglik_sum", "is_gold"])
    notes = "\n".join(diagnose(frame.assign(score=np.arange(len(frame)) % 5)).notes)
    assert "Brier" not in notes
    assert "is shown as 'unnamed': a column family in their file or in that of --models" in notes


def test_a_score_that_is_none_is_told(diagnose):
    frame = tidy(*trend(models=4, samples=8))[lambda f: f["choice_idx"] == 0]
    score = np.where(frame["sample_id"] == "s3", np.inf, np.arange(len(frame)) % 5)
    found = told(diagnose(frame.drop(columns=["loglik_sum", "is_gold"]).assign(score=score)))
    assert (
        "glyph, letters: glyph-0: 1 samples have a score that is NaN or infinite (s3)" in found[0]
    )


def test_a_fit_of_too_few_points_says_so_wherever_it_is_shown(diagnose, capsys):
    """Of four models three are seen: a line through them has 3 - 2 = 1 degree of freedom."""
    found = diagnose(tidy(*trend(models=4, samples=30, noise=2.0)))
    tests = found.tables["backtests"].set_index("method")
    few = "1 degree of freedom: too few points"
    assert tests.loc["per_choice", "status"] == few
    assert (tests["n_unsound"] == tests["n_forecasts"]).all()
    text.terminal(found, Console(width=200))
    shown = capsys.readouterr().out.splitlines()
    assert any("per_choice" in line and few in line for line in shown)
    # Of six models five are seen, and the line has three.
    found = diagnose(tidy(*trend(models=6, samples=30, noise=2.0)))
    tests = found.tables["backtests"].set_index(["method", "held_out"])
    assert tests.loc[("per_choice", 1), "status"] == "ok"
    assert tests.loc[("per_choice", 1), "n_unsound"] == 0


def test_a_folder_of_the_harness_with_one_broken_file_goes_on_without_it(tmp_path):
    for k in range(3):
        samples(tmp_path, f"m{k}", [lm_eval(s, [-1.0 - k, -2.0], s % 2) for s in range(4)])
    broken = samples(tmp_path, "m3", [])
    broken.write_text('{"doc_id": 1, "filt')
    found = diagnosis.diagnose([tmp_path])
    assert f"{broken}: holds no record: line 1 is truncated or no JSON" in "\n".join(told(found))
    assert set(found.tables["levels"]["model"]) == {"m0", "m1", "m2"}


@pytest.mark.parametrize(
    ("logliks", "expected", "message"),
    [
        # exp(-10_000) is 0 in floating point; 1 / (1 + e) is left of it.
        ([-10_001, -10_000], {"p_choices_correct": (1 / (1 + np.e) + np.e / (1 + np.e)) / 2}, ""),
        # The first of equals wins: right for one question of two, and half right by chance.
        ([-5, -5], {"accuracy": 0.5, "accuracy_expected": 0.5, "accuracy_pessimistic": 0}, ""),
        # Margins are -inf and inf, which have no mean.
        (["-inf", -2], {"accuracy": 0.5, "p_choices_correct": 0.5, "margin": None}, ""),
        (["-inf", "-inf"], {"accuracy": None, "p_choices_correct": None, "n_undefined": 2},
         "a model finds every choice of 2 samples impossible"),
    ],
)  # fmt: skip
def test_hard_numbers_of_the_harness_through_the_command(
    tmp_path, capsys, logliks, expected, message
):
    for k in range(2):
        # Of two questions the first choice is the correct one once.
        records = [lm_eval(s, logliks, s, acc=None) for s in range(2)]
        samples(tmp_path / "runs", f"m{k}", records)
    models = tmp_path / "models.csv"
    models.write_text("model,family,compute\nm0,m,0\nm1,m,1e18\n")
    asked = ["diagnose", tmp_path / "runs", "--models", models, "--json", tmp_path / "out.json"]
    assert cli._dispatch(arguments.parse(["algoperf", *map(str, asked)])) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "m: m0: has a compute that is not above 0; left it out" in said
    assert message in said
    levels = json.loads((tmp_path / "out.json").read_text())["levels"]
    for row in levels:
        if row["normalisation"] == "raw":
            for name, value in expected.items():
                assert row[name] == (value if value is None else pytest.approx(value))
