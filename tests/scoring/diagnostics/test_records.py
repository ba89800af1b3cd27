"""Files of records: how they are cut into records, and what stands in records of odd files."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algoperf.errors import UserError
from scoring.diagnostics import diagnosis, files
from scoring.diagnostics.readers import jsonl
from tests.scoring.diagnostics.test_readers import (
    DATE,
    lm_eval,
    native,
    olmes,
    only,
    rows_of,
    samples,
    write,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def array(tmp_path_factory):
    """What is read of a text, as an array that is read a few characters at a time."""
    path = tmp_path_factory.mktemp("array") / "array.jsonl"

    def read(text):
        path.write_text(text, encoding="utf-8")
        with path.open(encoding="utf-8") as lines, pytest.MonkeyPatch.context() as patch:
            patch.setattr(jsonl, "CHUNK", 5)
            return [value for _, value in jsonl._array(path, lines)]

    return read


@given(values=st.lists(VALUES, max_size=5), indent=st.sampled_from([None, 2]))
def test_an_array_read_piece_by_piece_is_the_same(array, values, indent):
    assert array(json.dumps(values, indent=indent)) == values
    assert array(json.dumps(values, indent=indent, ensure_ascii=False) + "\n") == values


@given(values=st.lists(VALUES, max_size=5), data=st.data())
def test_a_cut_array_is_refused_wherever_it_ends(array, values, data):
    text = json.dumps(values)
    end = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(UserError, match="is a JSON array that is cut off or faulty at object"):
        array(text[:end])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, {"b": 2}, {"c": "long te', "at object 3: the file ends within it"),
        ('[{"a": 1}, {"b": 2}, ', "at object 3: the file ends before it"),
        ('[{"a": 1}, {"b": 2}', "at object 3: the file ends before it"),
        ('[{"a": 1} {"b": 2}]', "at object 2: there is no comma before it"),
        ('[{"a": 1}, {"b" 2}, {"c": 3}, {"d": 4}]', "at object 2: Expecting ':' delimiter"),
        ('[{"a": 1}] {"b": 2}', "at object 2: the array ends before it"),
        ('[{"a": 1}, ' + "[" * 100_000, "at object 2: it is nested too deeply"),
    ],
)
def test_the_faulty_object_of_an_array_is_told(array, text, message):
    with pytest.raises(UserError, match=message):
        array(text)


@pytest.mark.parametrize("faulty", [False, True])
def test_memory_does_not_grow_with_an_array(tmp_path, faulty):
    """Ten megabytes in 200 records: 50 kB each, of which a few are held at a time."""
    prompt = "word " * 10_000
    folder = tmp_path / "old"
    folder.mkdir()
    path = folder / "pretrained__org__tiny_boolq.jsonl"
    (folder / "results.json").write_text(json.dumps({"results": {"boolq": {}}}))
    with path.open("w") as file:
        for k in range(200):
            record = native(lm_eval(k, [-1.5, -2.25], k % 2))
            record["arguments"] = [[prompt, " no"], [prompt[:5], " yes"]]
            file.write((",\n" if k else "[") + json.dumps(record))
            if faulty and not k:
                file.write(",\n{]")
        file.write("]")
    assert path.stat().st_size > 10e6
    tracemalloc.start()
    if faulty:
        with pytest.raises(UserError, match="at object 2: Expecting property name"):
            rows_of(path)
    else:
        assert len(rows_of(path).frame) == 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


@pytest.mark.parametrize("text", ["{}\n{}\n", "[{}, {}]"])
def test_a_byte_order_mark_hides_no_record(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8-sig")
    told = []
    assert [number for number, _ in jsonl.records(path, told)] == [1, 2]
    assert told == []


HALF = "\ud800"
"""Half of a surrogate pair: JSON can hold it, as an escape, and UTF-8 cannot."""


def record(k, change):
    return change(lm_eval(k, [-1.5, -2.25], k % 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda r: r | {"doc_hash": HALF + str(r["doc_id"])},
        lambda r: r | {"doc_hash": None, "doc": {"question": HALF, "n": r["doc_id"]}},
        lambda r: r | {"doc_hash": None, "doc": None, "doc_id": f"{HALF}{r['doc_id']}"},
        lambda r: r | {"prompt_hash": HALF, "target_hash": None, "filter": HALF},
        lambda r: r | {"filter": HALF * (1 + r["doc_id"] % 2), "prompt_hash": [1]},
        lambda r: (
            lm_eval(r["doc_id"], [-1, -2], 0, (HALF, "b")) | {"target": HALF, "target_hash": ""}
        ),
        lambda r: olmes(r["doc_id"], [-1, -2], 0, native_id=f"{HALF}{r['doc_id']}"),
        lambda r: olmes(r["doc_id"], [-1, -2], HALF if r["doc_id"] else 0),
    ],
)
def test_half_of_a_surrogate_pair(tmp_path, change):
    for k in range(4):
        samples(tmp_path / "runs", f"m{k}", [record(s, change) for s in range(4)])
    found = diagnosis.diagnose([tmp_path / "runs"])
    written = files.write_report(found, tmp_path / "report")
    for path in written:
        if path.suffix in {".csv", ".json", ".html"}:
            path.read_text(encoding="utf-8")
    assert found.tables["levels"]["accuracy"].notna().all()


def test_a_choice_of_half_a_pair_has_three_bytes(tmp_path):
    """As UTF-8 would write U+D800 (1110 xxxx, 10xx xxxx, 10xx xxxx): it is above U+07FF."""
    frame = rows_of(samples(tmp_path, "m", [lm_eval(0, [-1, -2], 0, (HALF, "b"))])).frame
    assert frame["n_bytes"].tolist() == [3, 1]
    assert frame["n_chars"].tolist() == [1, 1]


@pytest.mark.parametrize("loglik", [10**400, -(10**400)])
def test_a_number_beyond_all_numbers_is_counted(tmp_path, loglik):
    for k in range(2):
        records = [native(lm_eval(s, [-1.5, -2.25], s % 2)) for s in range(4)]
        if k:
            records[0]["filtered_resps"] = [[loglik, False], [-1.0, False]]
        write(tmp_path / f"m{k}/samples_boolq.jsonl", records)
    found = diagnosis.diagnose([tmp_path])
    assert found.tables["alignment"]["faulty"].tolist() == [0, 1]
    assert found.tables["alignment"]["used"].tolist() == [3, 3]


@pytest.mark.parametrize(
    "results",
    [
        [], 5, "x", {"config": [1]}, {"config": "x"}, {"config": {"model_args": ["a"]}},
        {"config": {"model_args": 5}}, {"results": "x", "configs": 3}, {"results": [1, 2]},
        {"config": {"model_args": {"revision": "main"}, "model_revision": ["main"]}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [f"samples_boolq_{DATE}", "samples_boolq"])
def test_results_of_another_shape(tmp_path, results, name):
    path = write(tmp_path / "m" / f"{name}.jsonl", [lm_eval(0, [-1, -2], 0)])
    for beside in (f"results_{DATE}.json", "results.json"):
        (path.parent / beside).write_text(json.dumps(results))
    frame = rows_of(path).frame
    assert only(frame, "model").startswith("m")
    assert only(frame, "task") == "boolq"


@pytest.mark.parametrize("metrics", [[], {"model_config": [1]}, {"model_config": {"model": 5}}])
def test_metrics_of_olmes_of_another_shape(tmp_path, metrics):
    path = tmp_path / "m" / "task-003-arc-predictions.jsonl"
    write(path, [olmes(0, [-4.0, -3.0], 1)])
    (path.parent / "task-003-arc-metrics.json").write_text(json.dumps(metrics))
    assert only(rows_of(path).frame, "model") in {"m", "5"}


def test_what_is_nested_too_deeply_is_told(tmp_path):
    deep = json.loads("[" * 900 + "]" * 900)
    records = [lm_eval(0, [-1, -2], 0), lm_eval(1, [-1, -2], 0) | {"target": deep}]
    rows = rows_of(samples(tmp_path, "m", records))
    assert [p.problem for p in rows.problems] == ["line 2: it is nested too deeply"]
    assert len(rows.frame) == 2


def of_old(folder, arguments, task, loglik):
    """As lm-evaluation-harness 0.4.0 to 0.4.2 writes it, `=` and `/` of the arguments replaced."""
    name = arguments.replace("/", "__").replace("=", "__")
    path = folder / f"{name}_{task}.jsonl"
    path.parent.mkdir(exist_ok=True)
    records = [native(lm_eval(k, loglik, k % 2)) for k in range(3)]
    path.write_text(json.dumps(records, indent=2))
    results = {"results": {task: {}}, "config": {"model_args": arguments}}
    (folder / "results.json").write_text(json.dumps(results))
    return path


def models_of(folder):
    frame = rows_of(folder).frame
    return {
        (model, task): own["loglik_sum"].iloc[0]
        for (model, task), own in frame.groupby(["model", "task"], observed=True)
    }


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("pretrained=org/m-70", "pretrained=org/m-160", ["org__m-70", "org__m-160"]),
        ("pretrained=org/m-70,dtype=float", "dtype=float,pretrained=org/m-160",
         ["org__m-70", "org__m-160"]),
        ("pretrained=org/m,revision=step1", "pretrained=org/m,revision=step2",
         ["org__m@step1", "org__m@step2"]),
        ("pretrained=org/m", "pretrained=org/m,revision=step2", ["org__m", "org__m@step2"]),
        ("pretrained=org/m", "pretrained=org/m,peft=org/tuned", ["org__m", "org__tuned"]),
        ("pretrained=/data/m-70", "pretrained=/data/m-160", ["__data__m-70", "__data__m-160"]),
    ],
)  # fmt: skip
def test_two_models_in_one_folder_whose_results_are_of_the_last(tmp_path, first, second, names):
    folder = tmp_path / "out"
    of_old(folder, first, "arc_easy", [-1.0, -2.0])
    of_old(folder, second, "arc_easy", [-3.0, -2.0])
    one, other = names
    assert models_of(folder) == {(one, "arc_easy"): -1.0, (other, "arc_easy"): -3.0}
    assert rows_of(folder).problems == []


def test_a_task_of_a_model_is_not_given_to_the_last_one(tmp_path):
    folder = tmp_path / "out"
    of_old(folder, "pretrained=org/m-70", "arc_easy", [-1.0, -2.0])
    of_old(folder, "pretrained=org/m-160", "piqa", [-3.0, -2.0])
    # The last results know of one task alone: where the name of the other ends is not known.
    first, second = models_of(folder)
    assert first == ("org__m-160", "piqa")
    assert second == ("org__m-70_arc_easy", "pretrained__org__m-70_arc_easy")
    (problem,) = rows_of(folder).problems
    assert problem.problem == "does not tell its task, nor does a results.json beside it"
    assert "the name <model>/samples_<task>.jsonl tells both" in problem.action
    both = {"results": {"arc_easy": {}, "piqa": {}}, "config": {"model_args": "pretrained=m-160"}}
    (folder / "results.json").write_text(json.dumps(both))
    assert set(models_of(folder)) == {("org__m-70", "arc_easy"), ("org__m-160", "piqa")}
