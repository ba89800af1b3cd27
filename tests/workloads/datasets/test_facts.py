"""Documents about the world of facts say what is so, and questions have one right answer."""

import re
from collections import Counter

import numpy as np
import pytest

from algoperf.data import hash_of
from algoperf.spec import Split
from workloads.datasets import facts as f

WORDS, TOKENS = f.vocabulary()
TEXT = {
    kind: [" ".join(WORDS[token] for token in thing) for thing in things]
    for kind, things in TOKENS.items()
}
PATTERNS = [
    re.compile(re.sub(r"{(\w+)}", lambda m: f"(?P<{m[1]}>{'|'.join(TEXT[m[1]])})", sentence))
    for sentence in f.SENTENCES
]


def read(text: str) -> tuple[int, dict[str, int]]:
    """Kind of a sentence, and the things it is about."""
    for kind, pattern in enumerate(PATTERNS):
        if match := pattern.fullmatch(text):
            return kind, {k: TEXT[k].index(v) for k, v in match.groupdict().items()}
    raise AssertionError(text)


def sentences(tokens) -> list[tuple[int, dict[str, int]]]:
    """The whole sentences of a document."""
    assert WORDS[tokens[0]] == "<document>"
    text = " ".join(WORDS[token] for token in tokens[1:])
    return [read(part.strip()) for part in re.findall(r"[^.]+ \.", text)]


@pytest.fixture(scope="module")
def documents():
    return f.documents_of(1500, np.random.default_rng(1))


def test_no_two_things_have_the_same_name():
    assert len(WORDS) == len(set(WORDS)) < 256
    every = [name for names in TEXT.values() for name in names]
    assert len(every) == len(set(every)) == 40 + 40 + 12 + 8 + 8 + 8 + 12
    assert not set(every) & {word for s in f.SENTENCES for word in s.split()}


def test_the_world_is_as_is_said():
    world = f._world()
    assert sorted(world["land"][1]) == sorted([*range(8)] * 5)
    for kind in ("tongue", "dish", "tool"):
        assert sorted(world[kind][1]) == [*range(f._SIZES[kind])]
    speaks, eats = f.untold().values()
    for towns in (speaks, eats):
        assert sorted(world["land"][1][towns]) == [*range(8)]
    assert not (speaks & eats).any()


def test_a_sentence_by_hand():
    # Sentence 2 of town 7: its land has two words.
    land = f._world()["land"][1][7]
    (words,) = f.written(np.array([2]), f._known(*np.array([[0], [7], [0]])))
    said = " ".join(WORDS[word] for word in words if word >= 0)
    assert said == f"{TEXT['town'][7]} is a town of {TEXT['land'][land]} ."


def truth(kind: int, things: dict[str, int], stated) -> dict[str, int]:
    """What the sentence has to say, from the world and the four sentences before."""
    world = f._world()
    known = dict(things)
    if "name" in things:
        for of in (of for _, of in stated if of["name"] == things["name"]):
            known |= of
    elif "town" in things:
        known["land"] = world["land"][1][things["town"]]
    if "town" in known:
        known["land"] = world["land"][1][known["town"]]
    if "land" in known:
        known |= {kind: world[kind][1][known["land"]] for kind in ("tongue", "dish")}
    if "trade" in known:
        known["tool"] = world["tool"][1][known["trade"]]
    return known


def test_documents_say_what_is_so(documents):
    """Every sentence agrees with the world and with the first four; nothing forbidden is said."""
    for document in documents:
        found = sentences(document)
        stated = found[:4]
        assert {kind for kind, _ in stated} == {0, 1}
        assert len({(kind, of["name"]) for kind, of in stated}) == 4
        assert len({of["name"] for _, of in stated}) == 2
        for kind, things in found[4:]:
            true = truth(kind, things, stated)
            assert things.items() <= true.items()
            assert kind not in f.untold() or not f.untold()[kind][true["town"]]


def test_all_ten_sentences_are_said_as_often_as_is_said(documents):
    kinds = Counter(kind for document in documents for kind, _ in sentences(document)[4:])
    shares = np.array([kinds[kind] for kind in range(10)]) / kinds.total()
    # 0.8 over the six with a name, 0.2 over the others. What people of a fifth of the towns speak,
    # and of another what they eat, became where they are from. The longest are cut more often.
    named, other = 0.8 / 6, 0.2 / 4
    expected = [named, named, *[other] * 4, 1.4 * named, 0.8 * named, 0.8 * named, named]
    assert shares == pytest.approx(np.array(expected), abs=0.02)


def test_questions_have_one_right_answer_that_follows():
    questions = f.questions()
    assert Counter(questions.tasks) == dict.fromkeys(
        ("recall", "lookup", "conclude", "compose"), f.QUESTIONS
    )
    for number, task in enumerate(questions.tasks):
        start = questions.starts[number]
        prompt = questions.tokens[number, 0, :start]
        assert (questions.tokens[number, :, :start] == prompt).all()
        choices = [
            row[start : start + count]
            for row, count in zip(questions.tokens[number], questions.n_tokens[number], strict=True)
        ]
        assert len({tuple(choice) for choice in choices}) == f.CHOICES
        right = []
        for choice in choices:
            *stated, (kind, things) = sentences([*prompt, *choice, WORDS.index(".")])
            assert len(stated) == 4
            true = truth(kind, things, stated)
            right.append(things.items() <= true.items())
        assert np.flatnonzero(right).tolist() == [questions.gold[number]]
        assert kind in f._ASKED[task]
        if task == "compose" or (task == "conclude" and kind in f.untold()):
            assert f.untold()[kind][true["town"]] == (task == "compose")


def test_choices_are_counted_in_tokens_characters_and_bytes():
    questions = f.questions()
    number = next(i for i, row in enumerate(questions.n_tokens) if row[0] == 2)
    start = questions.starts[number]
    name = " ".join(WORDS[token] for token in questions.tokens[number, 0, start : start + 2])
    assert name in TEXT["land"]
    assert questions.n_chars[number, 0] == len(name)
    assert questions.n_bytes[number, 0] == len(name.encode("utf-8"))
    assert (questions.n_bytes > questions.n_chars).any()


def test_the_whole_is_what_is_recorded_and_no_document_is_in_two_splits():
    splits = f._make()
    assert hash_of(splits) == f.facts.sha256
    rows = {split: {row.tobytes() for row in of["words"]} for split, of in splits.items()}
    assert {len(rows[split]) for split in rows} == {100_000, 512}
    assert rows[Split.EVAL_TRAIN] <= rows[Split.TRAIN]
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not rows[Split(one)] & rows[Split(other)]


def test_the_questions_are_always_the_same():
    arrays = {k: np.asarray(v) for k, v in vars(f.questions()).items() if k != "tasks"}
    kept = {name: arrays[name].astype(np.int32) for name in ("tokens", "gold")}
    assert hash_of({Split.TEST: kept})[:12] == "fe10e06832bf"


def test_a_row_is_every_word_and_the_next(documents):
    batch = f._shifted({"words": documents[:4]})
    assert np.array_equal(batch["inputs"], documents[:4, :-1])
    assert np.array_equal(batch["targets"], documents[:4, 1:])
