"""Which choice is the correct one: what a target may mean, and what it cannot."""

import numpy as np
import pytest

from algoperf.errors import UserError
from scoring.diagnostics import diagnosis
from tests.scoring.diagnostics.test_messages import told
from tests.scoring.diagnostics.test_readers import (
    family,
    lm_eval,
    native,
    olmes,
    rows_of,
    samples,
    write,
)


def golds(path):
    return np.flatnonzero(rows_of(path).frame["is_gold"]).tolist()


def problems(path):
    return [f"{p.problem}; {p.action}" for p in rows_of(path).problems]


@pytest.mark.parametrize(
    ("target", "texts", "loglik", "acc", "gold"),
    [
        # doc_to_target returned a truth: False is the first choice, as an index 0.
        ("False", ("no", "yes"), [-1, -2], 1.0, [0]),
        ("True", ("no", "yes"), [-1, -2], 0.0, [1]),
        ("true", ("no", "yes"), [-1, -2], None, [1]),
        ("false", ("no", "yes"), [-1, -2], None, [0]),
        # A choice's text is likelier than an index, but acc decides.
        ("True", ("True", "False"), [-1, -2], None, [0]),
        ("True", ("True", "False"), [-1, -2], 1.0, [0]),
        ("True", ("True", "False"), [-1, -2], 0.0, [1]),
        ("B", ("one", "two", "three"), [-1, -2, -3], None, [1]),
        ("B", ("one", "two", "three"), [-1, -2, -3], 0.0, [1]),
        ("B", ("A", "B"), [-1, -2], 0.0, [1]),
        ("A", ("B", "A"), [-1, -2], None, [1]),
        ("A", ("B", "A"), [-1, -2], 1.0, [0]),
        # Two choices are called so: which one is meant is not known.
        ("B", ("B", "B"), [-1, -2], None, []),
        ("C", ("one", "two"), [-1, -2], None, []),
    ],
)
def test_truths_and_letters(tmp_path, target, texts, loglik, acc, gold):
    record = lm_eval(0, loglik, target, texts) | {"acc": acc}
    assert golds(samples(tmp_path, "m", [record])) == gold


def test_a_truth_before_0_4_3(tmp_path):
    record = native(lm_eval(0, [-1, -2], True) | {"acc": 0.0})
    assert golds(write(tmp_path / "m/samples_boolq.jsonl", [record])) == [1]


def test_a_letter_that_acc_contradicts_is_told(tmp_path):
    path = samples(tmp_path, "m", [lm_eval(0, [-1, -2], "B", ("one", "two")) | {"acc": 1.0}])
    assert golds(path) == [1]
    assert problems(path) == [
        "line 1: its acc contradicts its target and log-likelihoods; took the target's word"
    ]


@pytest.mark.parametrize(("gold", "place"), [("B", 1), ("D", None), (True, 1)])
def test_a_letter_of_olmes(tmp_path, gold, place):
    path = tmp_path / "m" / "task-003-arc-predictions.jsonl"
    assert golds(write(path, [olmes(0, [-4.0, -3.0, -2.0], gold)])) == (
        [] if place is None else [place]
    )


def winogrande(answer, acc):
    record = lm_eval(0, [-4, -3], "was too big.", ("was too big.", "was too big.")) | {"acc": acc}
    for k in (0, 1):
        record["arguments"][f"gen_args_{k}"]["arg_0"] = f"It would not fit, as the {'ab'[k]}"
    record["doc"] = {"sentence": "_", "option1": "a", "option2": "b", "answer": answer}
    return record


@pytest.mark.parametrize(
    ("answer", "acc", "gold"),
    [("1", None, [0]), ("2", None, [1]), (1, None, [0]), ("1", 0.0, [0]), ("", None, [])],
)
def test_winogrande_without_acc(tmp_path, answer, acc, gold):
    path = samples(tmp_path, "m", [winogrande(answer, acc)])
    assert golds(path) == gold
    assert bool(problems(path)) == (gold == [])


def test_winogrande_whose_acc_contradicts_its_answer(tmp_path):
    """The second choice is the likelier one: with acc 1 it would be the correct one."""
    path = samples(tmp_path, "m", [winogrande("1", 1.0)])
    assert golds(path) == [0]
    assert "its acc contradicts its target" in problems(path)[0]


def truthfulqa(number, loglik):
    """As `truthfulqa_mc2` is logged: acc is the probability of all true choices."""
    labels = [1, 1, 0, 0]
    choices = list("abcd")
    p = np.exp(loglik) / np.exp(loglik).sum()
    record = lm_eval(number, loglik, 0, choices)
    return record | {
        "doc": {"question": number, "mc2_targets": {"choices": choices, "labels": labels}},
        "acc": float(p @ np.array(labels)),
    }


def test_several_true_choices_are_left_out(tmp_path):
    # Equal log-likelihoods: half of the mass is on the two true ones of four.
    records = [truthfulqa(0, [-2.0] * 4), truthfulqa(1, [-1.0, -2.0, -3.0, -4.0])]
    path = samples(tmp_path, "m", records, task="truthfulqa_mc2")
    assert golds(path) == []
    (what,) = problems(path)
    assert what == (
        "line 1 and 1 more: its acc is 0.5, neither 0 nor 1: it has no single correct choice, as "
        "is needed; left out"
    )
    with pytest.raises(UserError, match="its acc is 0.5, neither 0 nor 1"):
        diagnosis.diagnose([path])
    samples(tmp_path, "m", [lm_eval(0, [-1, -2], 0)])
    found = diagnosis.diagnose([tmp_path])
    audit = found.tables["alignment"].set_index("task")
    assert audit.loc["truthfulqa_mc2", ["samples", "no_gold", "used"]].tolist() == [2, 2, 0]
    assert "unnamed, truthfulqa_mc2: no sample is left; left the task out" in told(found)
    assert set(found.tables["levels"]["task"]) == {"boolq"}


def test_several_true_choices_are_known_by_their_labels(tmp_path):
    """All mass is on the first true choice: acc is 1, as it is where one choice is correct."""
    record = truthfulqa(0, [-1.0, -800.0, -800.0, -800.0])
    assert record["acc"] == 1
    path = samples(tmp_path, "m", [record])
    assert golds(path) == [0, 1]
    assert problems(path) == ["line 1: 2 of its choices are correct, and one is needed; left out"]


def test_a_fraction_leaves_its_sample_out_alone(tmp_path):
    def change(model, records):
        return [records[0] | {"acc": 0.25}, *records[1:]]

    found = family(tmp_path, change)
    assert found.tables["alignment"]["no_gold"].tolist() == [1] * 4
    assert found.tables["alignment"]["used"].tolist() == [3] * 4


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("7", "its target is '7', which is none of its 2 choices (0 to 1, or the letter or text of "
         "one); left out"),
        ("-1", "its target is '-1', which is none of its 2 choices (0 to 1,"),
        ("x" * 90, f"its target is '{'x' * 39}..., which is none of its 2 choices"),
        ("[]", "its target is '[]', which is none of its 2 choices"),
        ("[{[1]: 2}]", "its target is '[{[1]: 2}]', which is none of its 2 choices"),
        ("[0, 1]", "2 of its choices are correct, and one is needed; left out"),
    ],
)  # fmt: skip
def test_a_target_that_is_no_choice_is_told(tmp_path, target, what):
    path = samples(tmp_path, "m", [lm_eval(0, [-1, -2], target, acc=0.0)])
    assert f"line 1: {what}" in problems(path)[0]


def test_a_gold_choice_of_olmes_out_of_range_is_told(tmp_path):
    path = tmp_path / "m" / "task-003-arc-predictions.jsonl"
    write(path, [olmes(0, [-4.0, -3.0], 1), olmes(1, [-4.0, -3.0], 4), olmes(2, [-4.0, -3.0], 5)])
    assert problems(path) == [
        "line 2 and 1 more: its target is 4, which is none of its 2 choices (0 to 1, or the letter "
        "or text of one); left out"
    ]
