"""Files as lm-evaluation-harness and OLMES write them, with the traps that they hold."""

import hashlib
import json
import math

import numpy as np
import pandas as pd
import pytest

from algoperf.errors import UserError
from scoring.diagnostics import diagnosis, readers

DATE = "2024-06-01T10-00-00.123456"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def lm_eval(number, loglik, target, texts=("no", "yes"), **more):
    """A record as lm-evaluation-harness 0.4.3 to 0.4.9 writes it: numbers are strings."""
    doc = {"question": f"question {number}", "label": target}
    hit = more.pop("acc", None)
    if hit is None and isinstance(target, int):
        hit = float(int(np.argmax(loglik)) == target)
    return {
        "doc_id": number,
        "doc": doc,
        "target": str(target),
        "arguments": {
            f"gen_args_{k}": {"arg_0": f"Question: {number}\nAnswer:", "arg_1": f" {text}"}
            for k, text in enumerate(texts)
        },
        "resps": [[[str(ll), "False"]] for ll in loglik],
        "filtered_resps": [[str(ll), "False"] for ll in loglik],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": sha(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": sha(f"Question: {number}\nAnswer:"),
        "target_hash": sha(str(target)),
        "acc": hit,
    } | more


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def samples(folder, model, records, task="boolq"):
    return write(folder / model / f"samples_{task}_{DATE}.jsonl", records)


def rows_of(path):
    rows = readers.read([path]).rows
    assert rows is not None
    return rows


def only(frame, column):
    (value,) = set(frame[column])
    return value


def test_a_file_of_lm_eval(tmp_path):
    path = samples(
        tmp_path, "org__tiny", [lm_eval(0, [-1.5, -2.25], 1), lm_eval(1, [-0.5, -3], 0, ("é", "b"))]
    )
    frame = rows_of(path).frame
    assert (only(frame, "model"), only(frame, "task")) == ("org__tiny", "boolq")
    assert frame["loglik_sum"].tolist() == [-1.5, -2.25, -0.5, -3.0]
    assert frame["choice_idx"].tolist() == [0, 1, 0, 1]
    assert frame["is_gold"].tolist() == [False, True, True, False]
    # The delimiter before the choice is not counted.
    assert frame["n_chars"].tolist() == [2, 3, 1, 1]
    assert frame["n_bytes"].tolist() == [2, 3, 2, 1]


def native(record):
    """The same record as before 0.4.3: native numbers, requests as lists, no hashes."""
    record = {k: v for k, v in record.items() if not k.endswith("_hash")}
    record["arguments"] = [list(each.values()) for each in record["arguments"].values()]
    record["filtered_resps"] = [[float(ll), False] for ll, _ in record["filtered_resps"]]
    record["resps"] = [[pair] for pair in record["filtered_resps"]]
    record["target"] = record["doc"]["label"]
    return record


def test_files_before_and_after_0_4_3_agree(tmp_path):
    records = [lm_eval(k, [-1.5 - k, -2.25], k % 2) for k in range(4)]
    new = rows_of(samples(tmp_path / "new", "org__tiny", records)).frame
    old = tmp_path / "old" / "pretrained__org__tiny,dtype__float_boolq.jsonl"
    old.parent.mkdir()
    old.write_text(json.dumps([native(record) for record in records], indent=2))
    (tmp_path / "old/results.json").write_text(
        json.dumps({"results": {"boolq": {}}, "config": {"model_args": "pretrained=org/tiny"}})
    )
    pd.testing.assert_frame_equal(rows_of(old).frame, new)


def test_the_results_beside_name_the_model_and_its_revision(tmp_path):
    path = samples(tmp_path, "outputs", [lm_eval(0, [-1, -2], 0)])
    (path.parent / f"results_{DATE}.json").write_text(
        json.dumps({"config": {"model_args": "pretrained=org/tiny,revision=step3"}})
    )
    assert only(rows_of(path).frame, "model") == "org__tiny@step3"


@pytest.mark.parametrize(
    ("target", "texts", "loglik", "acc", "gold"),
    [
        ("0", ("a", "b"), [-1, -2], 1.0, [0]),
        ("True", ("True", "Neither", "False"), [-3, -2, -1], 0.0, [0]),  # anli
        ("yes", ("yes", "no", "maybe"), [-1, -2, -3], 1.0, [0]),  # pubmedqa
        ("[1]", ("a", "b"), [-1, -2], 0.0, [1]),
        ("[0, 1]", ("a", "b"), [-1, -2], 1.0, [0, 1]),
        # "1" is the text of choice 0: the record says that the first choice was correct.
        ("1", ("1", "2"), [-1, -2], 1.0, [0]),
        ("1", ("1", "2"), [-1, -2], 0.0, [1]),
        ("7", ("a", "b"), [-1, -2], 0.0, []),
        ("-1", ("a", "b"), [-1, -2], 0.0, []),
        ("1.0", ("a", "b"), [-1, -2], None, [1]),
    ],
)
def test_what_a_target_means(tmp_path, target, texts, loglik, acc, gold):
    path = samples(tmp_path, "m", [lm_eval(0, loglik, target, texts, acc=acc)])
    assert np.flatnonzero(rows_of(path).frame["is_gold"]).tolist() == gold


@pytest.mark.parametrize(("acc", "gold"), [(1.0, 1), (0.0, 0)])
def test_winogrande_asks_with_the_choice_in_the_prompt(tmp_path, acc, gold):
    record = lm_eval(0, [-4, -3], "was too big.", ("was too big.", "was too big."), acc=acc)
    for k in (0, 1):
        record["arguments"][f"gen_args_{k}"]["arg_0"] = f"It would not fit, as the {'ab'[k]}"
    frame = rows_of(samples(tmp_path, "m", [record])).frame
    assert np.flatnonzero(frame["is_gold"]).tolist() == [gold]


def test_mutual_information_doubles_the_requests(tmp_path):
    record = lm_eval(0, [-1, -2, -5, -4], "0", ("a", "b", "a", "b"), acc=1.0, acc_mutual_info=1.0)
    for k in (2, 3):
        record["arguments"][f"gen_args_{k}"]["arg_0"] = ""
    frame = rows_of(samples(tmp_path, "m", [record])).frame
    assert frame["loglik_sum"].tolist() == [-1, -2]
    assert frame["loglik_uncond"].tolist() == [-5, -4]


def test_a_truncated_line_is_told_with_its_number(tmp_path):
    path = samples(tmp_path, "m", [lm_eval(k, [-1, -2], 0) for k in range(3)])
    path.write_text(path.read_text()[:-200])
    rows = rows_of(path)
    assert len(rows.frame) == 4
    assert "line 3 is truncated or no JSON" in rows.problems[0].problem


def test_of_several_filters_one_is_taken(tmp_path):
    records = [lm_eval(0, [-1, -2], 0), lm_eval(0, [-1, -2], 0, filter="strict")]
    rows = rows_of(samples(tmp_path, "m", records))
    assert len(rows.frame) == 2
    assert rows.problems[0].problem == "has 2 filters (none, strict)"


def family(tmp_path, change=lambda k, records: records):
    """Four models of four questions each, in distributed order; and a table of the models."""
    rng = np.random.default_rng(0)
    for k in range(4):
        records = [lm_eval(s, rng.normal(-9 + k, 1, 2).round(3).tolist(), s % 2) for s in range(4)]
        samples(tmp_path / "runs", f"org__m{k}", change(k, records)[::-1])
    pd.DataFrame(
        {"model": [f"org/m{k}" for k in range(4)], "family": "m",
         "parameters": 10.0 ** np.arange(6, 10),
         "tokens": 1e9}
    ).to_csv(tmp_path / "models.csv", index=False)  # fmt: skip
    return diagnosis.diagnose([tmp_path / "runs"], tmp_path / "models.csv")


def test_a_family_is_joined_by_document(tmp_path):
    found = family(tmp_path)
    assert found.problems == []
    rows = found.tables["correlations"]
    assert set(rows["n_samples"]) == {4}
    assert set(rows["family"]) == {"m"}
    assert found.tables["levels"]["compute"].tolist() == [6e15 * 10**k for k in range(4)] * 3


def changed(records, **values):
    return [records[0] | values, *records[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k, r: r + r[:2] if k == 1 else r, "m, boolq: org__m1: 2 of its samples are there"),
        (lambda k, r: r[1:] if k == 1 else r, "m, boolq: org__m1: lacks 1 of the task's samples"),
        (lambda k, r: changed(r, prompt_hash="other") if k == 1 else r,
         "1 samples have another prompt than the first model's ("),
        (lambda k, r: changed(r, target="5", acc=0.0, target_hash=sha("5")),
         "do not have exactly one gold choice"),
        (lambda k, r: changed(r, filtered_resps=[["nan", "False"], ["-1", "True"]]),
         "1 samples have a value that is NaN"),
        (lambda k, r: changed(r, filtered_resps=[["0.7", "False"], ["-1", "True"]], acc=0.0),
         "a log-likelihood above 0"),
        (lambda k, r: changed(r, acc=1 - r[0]["acc"]), "its acc contradicts its target"),
        (lambda k, r: [*r, {"doc_id": 9, "resps": [["text"]], "filtered_resps": ["text"]}],
         "no log-likelihoods of choices (is the task multiple choice?)"),
    ],
)  # fmt: skip
def test_faults_are_told(tmp_path, change, message):
    found = family(tmp_path, change)
    told = "\n".join(f"{p.path}: {p.problem}; {p.action}" for p in found.problems)
    assert message in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k, r: [*r, lm_eval(0, [-1, -1], 0)], "contradict themselves"),
        (lambda k, r: changed(r, target="1", target_hash="1", acc=None) if k == 2 else r,
         "the target of 1 samples is not the same for all models"),
        (lambda k, r: changed(r, target_hash="other") if k == 2 else r, "is not the same for all"),
    ],
)  # fmt: skip
def test_what_would_be_wrong_is_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        family(tmp_path, change)


def test_documents_that_are_alike_are_told_apart(tmp_path):
    found = family(tmp_path, lambda k, r: [*r, r[0] | {"doc_id": 11}])
    assert set(found.tables["alignment"]["used"]) == {5}


def olmes(number, loglik, gold, **more):
    """A record as OLMES writes it."""
    return {
        "doc_id": number,
        "native_id": f"Mercury_{number}",
        "metrics": {"acc_raw": 1, "correct_choice": gold},
        "model_output": [
            {"sum_logits": ll, "num_tokens": 2, "num_chars": 8, "is_greedy": False,
             "logits_per_token": ll / 2, "logits_per_char": ll / 8,
             "logits_per_byte": -ll / 10 / math.log(2), "sum_logits_uncond": -7.0}
            for ll in loglik
        ],
    } | more  # fmt: skip


@pytest.mark.parametrize("gold", [2, "2"])
def test_a_file_of_olmes(tmp_path, gold):
    path = tmp_path / "OLMo-1B" / "task-003-arc_challenge-predictions.jsonl"
    frame = rows_of(write(path, [olmes(0, [-4.0, -3.0, -2.0], gold)])).frame
    assert (only(frame, "model"), only(frame, "task")) == ("OLMo-1B", "arc_challenge")
    assert frame["is_gold"].tolist() == [False, False, True]
    for name, value in {"n_tokens": 2, "n_chars": 8, "n_bytes": 10, "loglik_uncond": -7}.items():
        assert frame[name].tolist() == [value] * 3


def test_a_gold_choice_of_olmes_that_is_none(tmp_path):
    path = tmp_path / "m" / "task-003-arc-predictions.jsonl"
    frame = rows_of(write(path, [olmes(0, [-4.0, -3.0], 4)])).frame
    assert not frame["is_gold"].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"loss": 1}\n', "is of another tool"),
        ("not json\n", "holds no record: line 1 is truncated or no JSON"),
        ("", "is empty"),
        (json.dumps({"doc_id": 1, "resps": [["word"]]}) + "\n", "no multiple-choice samples"),
    ],
)
def test_files_that_hold_nothing_to_diagnose(tmp_path, text, message):
    path = tmp_path / "samples.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        readers.read([path])


def test_in_a_folder_other_files_are_told(tmp_path):
    samples(tmp_path, "m", [lm_eval(0, [-1, -2], 0)])
    (tmp_path / "m/log.jsonl").write_text('{"loss": 1}\n')
    rows = rows_of(tmp_path)
    assert [p.problem for p in rows.problems] == ["is of another tool"]
    assert len(rows.frame) == 2
