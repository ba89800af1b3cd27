"""Two made-up languages: sentences in the one, and what they mean in the other.

Made from seeds alone (NumPy's PCG64). A sentence says who (subject) does what (verb) to whom
(object), each drawn by itself:

- Words: 400 nouns, 200 verbs, 120 adjectives, 40 adverbs; word r of its kind, from 0, has a chance
  in proportion to 1 / (r + 10). Subject and object are plural with chance 0.4, and have an
  adjective with 0.5; the object has a possessor (a noun, plural with 0.4) with 0.3; the verb has
  one of three tenses, is negated with 0.2 and has an adverb with 0.4.
- Source: adverb, then subject and object in either order with chance 0.5, negation, verb and
  tense. Before a noun its possessor, with the ending of the genitive, and its adjective; after it
  the ending of the plural, then that of its case: it alone tells subject and object apart.
- Target: subject, negation, verb, object, adverb. Each noun has one of three genders. A noun phrase
  is article, noun, adjective, possessor (`of`, article, noun). Articles and endings of adjectives
  agree with the noun in gender and number, the ending of the verb with the subject in both, and
  says the tense. Number is on the article alone.
- Choice of words: every second verb is translated in one way where its object is of the first
  gender, and in another elsewhere; so is every third adjective, by the gender of its noun.

A sentence has one translation, so a BLEU of 100 is possible. Sentences that are longer than 12
tokens in either language, or that were drawn before, are left out.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.data import Arrays
from algoperf.spec import Batch, Split
from workloads.datasets.generated import Splits, generated, with_eval_train

LENGTH = 12
"""Tokens of the longest sentence, in both languages, its end included."""
END = 1
NOUNS, VERBS, ADJECTIVES, ADVERBS = 400, 200, 120, 40
GENDERS, TENSES = 3, 3

_SEED = 20_002
_SIZES = {Split.TRAIN: 131_072, Split.VALIDATION: 256, Split.TEST: 256}
_SURPLUS = 1.5
"""How many more sentences are drawn than are kept."""


@dataclass(frozen=True)
class Lexicon:
    """Tokens of words, endings and particles, and the genders of nouns, as integer arrays.

    Attributes:
        pieces: The text of each token; what begins a word begins with a space.
        nouns: (2 languages, nouns).
        verbs: Source, target with an object of the first gender, target with another: (3, verbs).
        adjectives: In the same way, by the gender of the noun: (3, adjectives).
        adverbs: (2, adverbs).
        genders: Of the nouns, (nouns,).
        negations: (2 languages,).
        plural: Ending of the source, ().
        cases: Endings of the source: nominative, accusative, genitive, (3,).
        tenses: Endings of the source, (tenses,).
        of: Before a possessor in the target, ().
        articles: (genders, numbers).
        adjective_endings: (genders, numbers).
        verb_endings: (tenses, genders, numbers).
    """

    pieces: tuple[str, ...]
    nouns: np.ndarray
    verbs: np.ndarray
    adjectives: np.ndarray
    adverbs: np.ndarray
    genders: np.ndarray
    negations: np.ndarray
    plural: np.ndarray
    cases: np.ndarray
    tenses: np.ndarray
    of: np.ndarray
    articles: np.ndarray
    adjective_endings: np.ndarray
    verb_endings: np.ndarray


def _stems(rng: np.random.Generator, count: int) -> list[str]:
    """Different words of three letters, a vowel between consonants."""
    consonants, vowels = "bcdfghjklmnpqrstvwxz", "aeiou"
    short = [" " + a + v + b for a in consonants for v in vowels for b in consonants]
    return [short[place] for place in rng.choice(len(short), count, replace=False)]


def _lexicon() -> Lexicon:
    rng = np.random.default_rng(_SEED)
    pieces = ["", ""]  # padding and the end

    def new(texts: list[str], *shape: int) -> np.ndarray:
        first = len(pieces)
        pieces.extend(texts)
        return np.arange(first, len(pieces)).reshape(shape)

    stems = iter(_stems(rng, 2 * NOUNS + 3 * VERBS + 3 * ADJECTIVES + 2 * ADVERBS))

    def words(*shape: int) -> np.ndarray:
        return new([next(stems) for _ in range(int(np.prod(shape)))], *shape)

    def with_choice(count: int, each: int) -> np.ndarray:
        found = words(2, count)
        other = found[1].copy()
        other[::each] = words(len(other[::each]))
        return np.stack([*found, other])

    numbers = ("", "n")
    return Lexicon(
        nouns=words(2, NOUNS),
        verbs=with_choice(VERBS, 2),
        adjectives=with_choice(ADJECTIVES, 3),
        adverbs=words(2, ADVERBS),
        genders=rng.integers(0, GENDERS, NOUNS),
        negations=new([" ne", " u"], 2),
        plural=new(["im"]),
        cases=new(["a", "o", "u"], 3),
        tenses=new(["ek", "ak", "ok"], TENSES),
        of=new([" y"]),
        articles=new([" " + g + n for g in "aei" for n in numbers], GENDERS, 2),
        adjective_endings=new([g + n for g in "aei" for n in numbers], GENDERS, 2),
        verb_endings=new(
            [t + g + n for t in "aiu" for g in "rst" for n in numbers], TENSES, GENDERS, 2
        ),
        pieces=tuple(pieces),
    )


LEXICON = _lexicon()


@dataclass(frozen=True)
class NounPhrases:
    """Columns, one for each sentence: int for words, bool for the rest."""

    noun: np.ndarray
    plural: np.ndarray
    adjective: np.ndarray
    has_adjective: np.ndarray


@dataclass(frozen=True)
class Meanings:
    """What sentences say; columns as in `NounPhrases`.

    Attributes:
        subject: Who does it.
        object: To whom.
        possessor: Whose the object is; its adjectives are not said.
        has_possessor: Whether it is anybody's.
        verb: What is done.
        tense: When.
        negated: Whether it is not done.
        adverb: How.
        has_adverb: Whether that is said.
        object_first: Whether the source names the object first.
    """

    subject: NounPhrases
    object: NounPhrases
    possessor: NounPhrases
    has_possessor: np.ndarray
    verb: np.ndarray
    tense: np.ndarray
    negated: np.ndarray
    adverb: np.ndarray
    has_adverb: np.ndarray
    object_first: np.ndarray


def _drawn(rng: np.random.Generator, count: int) -> Meanings:
    def words(kind: int) -> np.ndarray:
        chances = 1 / (np.arange(kind) + 10)
        return rng.choice(kind, count, p=chances / chances.sum())

    def chance(share: float) -> np.ndarray:
        return rng.random(count) < share

    def phrases() -> NounPhrases:
        return NounPhrases(words(NOUNS), chance(0.4), words(ADJECTIVES), chance(0.5))

    return Meanings(
        subject=phrases(),
        object=phrases(),
        possessor=phrases(),
        has_possessor=chance(0.3),
        verb=words(VERBS),
        tense=rng.integers(0, TENSES, count),
        negated=chance(0.2),
        adverb=words(ADVERBS),
        has_adverb=chance(0.4),
        object_first=chance(0.5),
    )


def _only(said: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return np.where(said, tokens, 0)


def _compact(columns: list[np.ndarray]) -> np.ndarray:
    """Tokens int16 (sentences, columns + 1), 0 behind the end; in the columns, 0 is nothing."""
    tokens = np.stack([*columns, np.full(len(columns[0]), END)], axis=1)
    order = np.argsort(tokens == 0, axis=1, kind="stable")
    return np.take_along_axis(tokens, order, axis=1).astype(np.int16)


def _source_phrase(phrases: NounPhrases, case: int) -> list[np.ndarray]:
    lexicon = LEXICON
    return [
        _only(phrases.has_adjective, lexicon.adjectives[0, phrases.adjective]),
        lexicon.nouns[0, phrases.noun],
        _only(phrases.plural, lexicon.plural),
        np.full(len(phrases.noun), lexicon.cases[case]),
    ]


def sources(said: Meanings) -> np.ndarray:
    """Sentences of the source language, int16 (sentences, 16), with their ends."""
    lexicon, owner = LEXICON, said.possessor
    subjects = _source_phrase(said.subject, 0)
    objects = [
        _only(said.has_possessor, lexicon.nouns[0, owner.noun]),
        _only(said.has_possessor & owner.plural, lexicon.plural),
        _only(said.has_possessor, lexicon.cases[2]),
        *_source_phrase(said.object, 1),
    ]
    first = np.stack([*subjects, *objects])
    other = np.stack([*objects, *subjects])
    return _compact(
        [
            _only(said.has_adverb, lexicon.adverbs[0, said.adverb]),
            *np.where(said.object_first, other, first),
            _only(said.negated, lexicon.negations[0]),
            lexicon.verbs[0, said.verb],
            lexicon.tenses[said.tense],
        ]
    )


def _target_phrase(phrases: NounPhrases) -> list[np.ndarray]:
    lexicon = LEXICON
    gender, number = lexicon.genders[phrases.noun], phrases.plural.astype(int)
    adjective = lexicon.adjectives[np.where(gender == 0, 1, 2), phrases.adjective]
    return [
        lexicon.articles[gender, number],
        lexicon.nouns[1, phrases.noun],
        _only(phrases.has_adjective, adjective),
        _only(phrases.has_adjective, lexicon.adjective_endings[gender, number]),
    ]


def targets(said: Meanings) -> np.ndarray:
    """The same sentences in the target language, int16 (sentences, 16), with their ends."""
    lexicon = LEXICON
    gender, number = lexicon.genders[said.subject.noun], said.subject.plural.astype(int)
    kind = np.where(lexicon.genders[said.object.noun] == 0, 1, 2)
    owners = _target_phrase(said.possessor)[:2]
    return _compact(
        [
            *_target_phrase(said.subject),
            _only(said.negated, lexicon.negations[1]),
            lexicon.verbs[kind, said.verb],
            lexicon.verb_endings[said.tense, gender, number],
            *_target_phrase(said.object),
            _only(said.has_possessor, lexicon.of),
            *(_only(said.has_possessor, column) for column in owners),
            _only(said.has_adverb, lexicon.adverbs[1, said.adverb]),
        ]
    )


def pairs(count: int) -> Arrays:
    """`count` sentences and their translations, `inputs` and `targets`, int16 (count, 12)."""
    said = _drawn(np.random.default_rng([_SEED, 1]), round(_SURPLUS * count))
    inputs, outputs = sources(said), targets(said)
    _, first = np.unique(inputs, axis=0, return_index=True)
    first.sort()
    short = (inputs[first] > 0).sum(axis=1) <= LENGTH
    short &= (outputs[first] > 0).sum(axis=1) <= LENGTH
    kept = first[short][:count]
    return {"inputs": inputs[kept, :LENGTH], "targets": outputs[kept, :LENGTH]}


def _make() -> Splits:
    every = pairs(sum(_SIZES.values()))
    ends = np.cumsum(list(_SIZES.values()))
    splits = {
        split: {name: array[end - size : end] for name, array in every.items()}
        for (split, size), end in zip(_SIZES.items(), ends, strict=True)
    }
    return with_eval_train(splits)


def detokenize(tokens: np.ndarray) -> list[str]:
    """The text of each row of tokens, int (rows, length), up to its end."""
    texts = []
    for row in np.asarray(tokens).tolist():
        stop = next((place for place, token in enumerate(row) if token <= END), len(row))
        texts.append("".join(LEXICON.pieces[token] for token in row[:stop]).strip())
    return texts


def _prepare(rows: Batch) -> Batch:
    return {name: tokens.astype(jnp.int32) for name, tokens in rows.items()}


language_pair = generated(
    "language_pair",
    _make,
    "81a874a9211e1a02501f11517bc32c3022d027d8a3425c31f9fdbcacbcf314df",
    example=dict.fromkeys(("inputs", "targets"), jax.ShapeDtypeStruct((LENGTH,), np.int16)),
    prepare=_prepare,
)
"""Inputs and targets int32 (batch, 12), each sentence ended by `END`, padded with 0."""
