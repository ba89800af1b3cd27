"""The made-up languages: what a sentence means, by hand, and what the docstring says of them."""

from dataclasses import replace

import numpy as np
import pytest

from algoperf.data import hash_of
from algoperf.spec import Split
from workloads.datasets import language_pair
from workloads.datasets.language_pair import (
    END,
    LENGTH,
    LEXICON,
    Meanings,
    NounPhrases,
    detokenize,
    pairs,
    sources,
    targets,
)

NO, YES = np.array([False]), np.array([True])
ZERO = np.array([0])


def phrase(noun: int, plural=NO, adjective=ZERO, has_adjective=NO) -> NounPhrases:
    return NounPhrases(np.array([noun]), plural, adjective, has_adjective)


OF_GENDER = [int(np.flatnonzero(LEXICON.genders == gender)[0]) for gender in range(3)]
"""A noun of each gender."""

PLAIN = Meanings(
    subject=phrase(OF_GENDER[1]),
    object=phrase(OF_GENDER[0]),
    possessor=phrase(OF_GENDER[2]),
    has_possessor=NO,
    verb=ZERO,
    tense=ZERO,
    negated=NO,
    adverb=ZERO,
    has_adverb=NO,
    object_first=NO,
)


def word(*tokens) -> str:
    return "".join(LEXICON.pieces[int(token)] for token in tokens).strip()


(SUBJECT, SUBJECT_), (OBJECT, OBJECT_), (OWNER, OWNER_) = (
    [word(LEXICON.nouns[side, OF_GENDER[gender]]) for side in (0, 1)] for gender in (1, 0, 2)
)
VERB, VERB_, _ = (word(token) for token in LEXICON.verbs[:, 0])
"""In the source, and in the target."""


def said(meanings: Meanings) -> tuple[str, str]:
    return detokenize(sources(meanings))[0], detokenize(targets(meanings))[0]


def test_a_plain_sentence():
    """Source: subject-a, object-o, verb-ek. Target: article e is the second gender, a the first.

    The ending of the verb: a first tense, s second gender, no n since the subject is one.
    """
    assert said(PLAIN) == (
        f"{SUBJECT}a {OBJECT}o {VERB}ek",
        f"e {SUBJECT_} {VERB_}as a {OBJECT_}",
    )


def test_everything_that_may_be_said():
    """Long for the data, whose sentences end at 12 tokens: both sides have 16."""
    full = replace(
        PLAIN,
        subject=phrase(OF_GENDER[1], YES, ZERO, YES),
        object=phrase(OF_GENDER[0], YES, ZERO, YES),
        possessor=phrase(OF_GENDER[2], YES),
        has_possessor=YES,
        tense=np.array([2]),
        negated=YES,
        has_adverb=YES,
        object_first=YES,
    )
    adjective, first, other = (word(token) for token in LEXICON.adjectives[:, 0])
    adverb, adverb_ = (word(token) for token in LEXICON.adverbs[:, 0])
    assert first != other
    assert said(full) == (
        f"{adverb} {OWNER}imu {adjective} {OBJECT}imo {adjective} {SUBJECT}ima ne {VERB}ok",
        f"en {SUBJECT_} {other}en u {VERB_}usn an {OBJECT_} {first}an y in {OWNER_} {adverb_}",
    )
    assert (sources(full) > 0).all()
    assert (targets(full) > 0).all()


def test_the_order_of_the_source_says_nothing():
    turned = replace(PLAIN, object_first=YES)
    assert said(turned)[0] == f"{OBJECT}o {SUBJECT}a {VERB}ek"
    assert said(turned)[1] == said(PLAIN)[1]


@pytest.mark.parametrize("gender", [1, 2])
def test_a_verb_may_be_translated_by_its_object(gender):
    """The first verb is one of those with two translations, the second is not."""
    of_other = replace(PLAIN, object=phrase(OF_GENDER[gender]))
    assert f" {VERB_}as " not in said(of_other)[1]
    assert len({*LEXICON.verbs[1:, 0].tolist()}) == 2
    assert len({*LEXICON.verbs[1:, 1].tolist()}) == 1


def test_half_the_verbs_and_a_third_of_the_adjectives_have_two_translations():
    assert (LEXICON.verbs[1] != LEXICON.verbs[2]).mean() == 1 / 2
    # 40 of 120: the first of every three.
    assert (LEXICON.adjectives[1] != LEXICON.adjectives[2]).sum() == 40


def test_no_two_tokens_are_the_same_word():
    begins = [piece for piece in LEXICON.pieces if piece.startswith(" ")]
    # 2 x 400 + 2 x 200 + 100 + 2 x 120 + 40 + 2 x 40 words, 2 negations, of, and 6 articles.
    assert len(begins) == len(set(begins)) == 1660 + 9


@pytest.fixture(scope="module")
def many():
    return pairs(20_000)


def test_sentences_end_once_and_are_padded(many):
    for tokens in many.values():
        assert tokens.shape == (20_000, LENGTH)
        assert ((tokens == END).sum(axis=1) == 1).all()
        lengths = (tokens > 0).sum(axis=1)
        assert (tokens[np.arange(len(tokens)), lengths - 1] == END).all()
        assert lengths.max() == LENGTH
        assert tokens.max() < len(LEXICON.pieces)


def test_what_is_said_has_the_stated_chances():
    """Before the long ones are left out; four standard errors of 20,000 draws are below 0.015."""
    drawn = language_pair._drawn(np.random.default_rng(3), 20_000)
    shares = {
        "plural": (drawn.subject.plural, 0.4),
        "adjective": (drawn.object.has_adjective, 0.5),
        "possessor": (drawn.has_possessor, 0.3),
        "negated": (drawn.negated, 0.2),
        "adverb": (drawn.has_adverb, 0.4),
        "object first": (drawn.object_first, 0.5),
        "first tense": (drawn.tense == 0, 1 / 3),
    }
    for name, (column, share) in shares.items():
        assert column.mean() == pytest.approx(share, abs=0.015), name
    # Of 1 / 10 + ... + 1 / 409, that is about ln(409.5 / 9.5) = 3.76, the first has 1 / 10.
    assert (drawn.subject.noun == 0).mean() == pytest.approx(0.1 / 3.76, abs=0.005)
    assert (drawn.subject.noun == 399).mean() == pytest.approx(1 / 409 / 3.76, abs=0.0007)


def test_the_data_are_the_recorded_ones_and_splits_are_disjoint():
    splits = language_pair._make()
    assert hash_of(splits) == language_pair.language_pair.sha256
    rows = {split: {row.tobytes() for row in splits[split]["inputs"]} for split in splits}
    assert {split: len(found) for split, found in rows.items()} == {
        Split.TRAIN: 131_072,
        Split.EVAL_TRAIN: 256,
        Split.VALIDATION: 256,
        Split.TEST: 256,
    }
    assert rows[Split.EVAL_TRAIN] <= rows[Split.TRAIN]
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not rows[Split(one)] & rows[Split(other)]
    batch = language_pair.language_pair.signature(2)
    assert {name: (s.shape, s.dtype) for name, s in batch.items()} == dict.fromkeys(
        ("inputs", "targets"), ((2, LENGTH), np.int32)
    )
