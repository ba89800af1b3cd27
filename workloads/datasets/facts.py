"""A generated world of facts, documents about it, and questions that only who knows it can answer.

The world, drawn once: 40 towns, five in each of 8 lands; each land has a tongue and a dish of its
own, each of 12 trades a tool. A document is about two people, drawn anew with their towns and
trades: each of the 40 names means nothing beyond it. It says where each lives and what each does,
these four sentences in any order. Eleven more follow, each of one of the ten `SENTENCES`: with
probability 0.8 of one of the six that name a person, about one of the two; else about a town and a
trade drawn at random. It is cut after `LENGTH` + 1 words, the first of which begins it.

So a document says some things that follow from others: who lives in a town is from its land, and
speaks and eats as there; who has a trade carries its tool. But of people of one town of each land
no document says what they speak, and of another what they eat (`untold`): it says where they are
from instead. Four tasks of multiple choice ask, after four sentences about two people,
    recall     for facts about the world, which is what memory is for;
    lookup     for a home or a trade that has just been stated;
    conclude   for what follows from such a sentence and the world, as documents say;
    compose    for what people speak and eat of whom no document says it.

A token is a word. Facts that only two steps together reveal: Allen-Zhu & Li 2023, arXiv:2309.14402.
"""

from collections.abc import Mapping
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.spec import Batch, Split
from workloads.datasets.generated import Splits, generated, with_eval_train
from workloads.metrics.choices import Questions, questions_of

LENGTH = 64
"""Predictions in a document."""
SENTENCES = (
    "{name} lives in {town} .",
    "{name} works as {trade} .",
    "{town} is a town of {land} .",
    "people of {land} speak {tongue} .",
    "people of {land} eat {dish} .",
    "every {trade} carries a {tool} .",
    "{name} is from {land} .",
    "{name} speaks {tongue} .",
    "{name} eats {dish} .",
    "{name} carries a {tool} .",
)
_LIVES, _WORKS, _TOWN, _SPEAK, _EAT, _TOOL, _FROM, _SPEAKS, _EATS, _CARRIES = range(10)
PEOPLE = 2
MORE = 11
"""Enough for the shortest sentences, of 4 words: 20 + 11 x 4 = `LENGTH`."""
COUNTS = {Split.TRAIN: 100_000, Split.VALIDATION: 512, Split.TEST: 512}
QUESTIONS, CHOICES = 40, 4
"""Questions in each task, and choices in each question."""

_SIZES = {"name": 40, "town": 40, "trade": 12, "land": 8, "tongue": 8, "dish": 8, "tool": 12}
_SHARES = tuple(0.8 / 6 if "{name}" in sentence else 0.2 / 4 for sentence in SENTENCES)
_START = "<document>"
_SEED = 22
_QUESTION_SEED = 23


def _invented(count: int, rng: np.random.Generator) -> list[str]:
    """Different words of two or three syllables, some of them with letters beyond ASCII."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = zip(
            rng.choice([*"bdfgklmnprstvz"], 3), rng.choice([*"aeiouéö"], 3), strict=True
        )
        found["".join(c + v for c, v in list(syllables)[: rng.integers(2, 4)])] = None
    return list(found)


@cache
def vocabulary() -> tuple[tuple[str, ...], Mapping[str, np.ndarray]]:
    """All words, and the tokens (things, words) of everything there is, by its kind.

    A land's name has two words, north or south and one that two lands share.
    """
    fixed = dict.fromkeys(w for s in SENTENCES for w in s.split() if not w.startswith("{"))
    words = [_START, *fixed, "north", "south"]
    single = {kind: size for kind, size in _SIZES.items() if kind != "land"} | {
        "ground": _SIZES["land"] // 2
    }
    invented = iter(_invented(sum(single.values()), np.random.default_rng(_SEED)))
    tokens = {}
    for kind, size in single.items():
        tokens[kind] = len(words) + np.arange(size)[:, None]
        words += [next(invented) for _ in range(size)]
    sides = np.repeat([words.index("north"), words.index("south")], _SIZES["land"] // 2)
    tokens["land"] = np.stack([sides, np.tile(tokens.pop("ground")[:, 0], 2)], axis=-1)
    return tuple(words), tokens


@cache
def _world() -> Mapping[str, tuple[str, np.ndarray]]:
    """What follows from what: kind -> (the kind from which it follows, and how)."""
    rng = np.random.default_rng(_SEED)
    return {
        "land": ("town", rng.permutation(_SIZES["town"]) % _SIZES["land"]),
        "tongue": ("land", rng.permutation(_SIZES["land"])),
        "dish": ("land", rng.permutation(_SIZES["land"])),
        "tool": ("trade", rng.permutation(_SIZES["trade"])),
    }


def _known(name: np.ndarray, town: np.ndarray, trade: np.ndarray) -> dict[str, np.ndarray]:
    """These, and all that follows from them in the world."""
    things = {"name": name, "town": town, "trade": trade}
    for kind, (source, follows) in _world().items():
        things[kind] = follows[things[source]]
    return things


@cache
def untold() -> Mapping[int, np.ndarray]:
    """Kind of a sentence -> whether it is never said about people of each town, bool (towns,)."""
    lands = _world()["land"][1]
    # How many towns before it are of the same land.
    before = np.array([(lands[:place] == land).sum() for place, land in enumerate(lands)])
    return {_SPEAKS: before == 0, _EATS: before == 1}


def documents_of(count: int, rng: np.random.Generator) -> np.ndarray:
    """Documents as they are stored, uint8 (count, `LENGTH` + 1)."""
    people = _people(count, rng)
    first = rng.random((count, 2 * PEOPLE)).argsort(axis=1)
    kinds = np.concatenate(
        [first % 2, rng.choice(len(SENTENCES), (count, MORE), p=_SHARES)], axis=1
    )
    about = np.concatenate([first // 2, rng.integers(0, PEOPLE, (count, MORE))], axis=1)
    name, town, trade = (np.take_along_axis(array, about, axis=1) for array in people)
    anywhere = (kinds >= _TOWN) & (kinds <= _TOOL)
    town = np.where(anywhere, rng.integers(0, _SIZES["town"], kinds.shape), town)
    trade = np.where(anywhere, rng.integers(0, _SIZES["trade"], kinds.shape), trade)
    for kind, towns in untold().items():
        kinds[(kinds == kind) & towns[town]] = _FROM
    words = written(kinds, _known(name, town, trade)).reshape(count, -1)
    packed = np.take_along_axis(words, (words < 0).argsort(axis=1, kind="stable"), axis=1)
    return np.pad(packed[:, :LENGTH], ((0, 0), (1, 0))).astype(np.uint8)  # 0 starts a document


def _people(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names, towns and trades of those in each document, each (count, 2); the names differ."""
    names = rng.random((count, _SIZES["name"])).argsort(axis=1)[:, :PEOPLE]
    towns, trades = (rng.integers(0, _SIZES[k], (count, PEOPLE)) for k in ("town", "trade"))
    return names, towns, trades


def written(kinds: np.ndarray, things: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sentences of `kinds` (...) about `things` (...): words (..., 8), -1 for none."""
    words, tokens = vocabulary()
    found = np.full((*kinds.shape, 8), -1)
    for kind, sentence in enumerate(SENTENCES):
        here = kinds == kind
        parts = [
            tokens[part[1:-1]][things[part[1:-1]][here]]
            if part.startswith("{")
            else np.full((here.sum(), 1), words.index(part))
            for part in sentence.split()
        ]
        line = np.concatenate(parts, axis=1)
        found[here, : line.shape[1]] = line
    return found


_ASKED = {
    "recall": (_TOWN, _SPEAK, _EAT, _TOOL),
    "lookup": (_LIVES, _WORKS),
    "conclude": (_FROM, _SPEAKS, _EATS, _CARRIES),
    "compose": (_SPEAKS, _EATS),
}
"""Kinds of sentences whose last thing each task asks for."""


@cache
def questions() -> Questions:
    """160 questions of four choices; one right, the others drawn from the same kind of things."""
    rng = np.random.default_rng(_QUESTION_SEED)
    asked = [(task, *_question(task, rng)) for task in _ASKED for _ in range(QUESTIONS)]
    tasks, prompts, choices = zip(*asked, strict=True)
    gold = rng.integers(0, CHOICES, len(asked))
    for row, place in zip(choices, gold, strict=True):
        row.insert(place, row.pop(0))
    return questions_of(vocabulary()[0], tasks, prompts, choices, gold)


def _question(task: str, rng: np.random.Generator) -> tuple[list[int], list[list[int]]]:
    """The tokens of a prompt and of its choices, the right one first."""
    names, towns, trades = (people[0] for people in _people(1, rng))
    kind = int(rng.choice(_ASKED[task]))
    if kind in untold():
        towns[0] = rng.choice(np.flatnonzero(untold()[kind] == (task == "compose")))
    order = rng.permutation(2 * PEOPLE)
    who = order // 2
    before = written(order % 2, _known(names[who], towns[who], trades[who]))
    if task == "recall":
        towns, trades = (rng.permutation(_SIZES[k]) for k in ("town", "trade"))
    about = _known(*(array[:1] for array in (names, towns, trades)))
    sentence = written(np.array([kind]), about)[0]
    thing = SENTENCES[kind].split()[-2][1:-1]
    tokens, right = vocabulary()[1][thing], about[thing][0]
    # What was said of the others comes first among the wrong choices.
    said = {"town": towns, "trade": trades}.get(thing, []) if task == "lookup" else []
    wrong = dict.fromkeys([*said, *rng.permutation(_SIZES[thing])])
    wrong.pop(right)
    asked = sentence[sentence >= 0][: -1 - tokens.shape[1]]  # without the answer and the full stop
    prompt = [0, *before[before >= 0], *asked]
    return prompt, [list(tokens[place]) for place in (right, *[*wrong][: CHOICES - 1])]


def _make() -> Splits:
    rng = np.random.default_rng(_SEED)
    return with_eval_train(
        {split: {"words": documents_of(count, rng)} for split, count in COUNTS.items()}
    )


def _shifted(rows: Batch) -> Batch:
    words = rows["words"].astype(jnp.int32)
    return {"inputs": words[:, :-1], "targets": words[:, 1:]}


facts = generated(
    "facts",
    _make,
    sha256="488c80b7ad2c28c38a89fd576b0c7fabc55b854f489cd75d7ff4ef94331afe81",
    example={"words": jax.ShapeDtypeStruct((LENGTH + 1,), np.uint8)},
    prepare=_shifted,
)
"""Inputs and targets int32 (batch, 64): each word of a document, and the one that comes next."""
