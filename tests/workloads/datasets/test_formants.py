"""Synthesised speech: sounds by hand, and what the docstring says of the utterances."""

import numpy as np
import pytest

from algoperf.data import hash_of
from algoperf.spec import Split
from workloads.datasets import formants
from workloads.datasets.formants import (
    ALPHABET,
    CONSONANTS,
    LEXICON,
    LOG_MEL,
    RATE_HZ,
    SAMPLES,
    TOKENS,
    VOWELS,
    detokenize,
    spell,
    utterances,
)

COUNT = 600


@pytest.fixture(scope="module")
def spoken():
    return utterances(Split.VALIDATION, COUNT)


def test_words_have_the_stated_forms():
    words = spell(np.arange(len(LEXICON))[:, None])
    forms = ["".join("V" if letter in VOWELS else "C" for letter in word) for word in words]
    assert {form: forms.count(form) for form in forms} == {"CV": 24, "CVC": 60, "CVCV": 36}
    assert len(set(words)) == 120
    assert set("".join(words)) == set(VOWELS + CONSONANTS)


def test_tokens_are_letters():
    """Token 0 ends a row; 1 is the space; vowels and consonants follow: a is 2, p 7, t 8."""
    assert detokenize(np.array([[7, 2, 1, 8, 6, 0, 7], [0, 0, 0, 0, 0, 0, 0]])) == ["pa tu", ""]
    assert spell(np.array([[0, -1]])) == ["".join(ALPHABET[place] for place in LEXICON[0] if place)]


def test_a_vowel_is_loud_at_its_formants():
    """An unchanging e in 200 voices, of all pitches: on average, louder at its formants."""
    resonances = np.broadcast_to(
        np.array([530.0, 1840.0, 2480.0, 2000.0])[:, None, None], (4, 200, formants._STEPS)
    )
    strengths = np.stack([np.ones((200, formants._STEPS)), np.zeros((200, formants._STEPS))])
    audio = formants._synthesised(np.random.default_rng(0), resonances, strengths)
    assert audio.shape == (SAMPLES, 200)
    power = np.square(np.abs(np.fft.rfft(audio, axis=0))).mean(axis=1)
    hertz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)

    def near(centre):
        return power[np.abs(hertz - centre) < 50].mean()

    assert near(530) > 3 * max(near(250), near(1100))
    assert near(1840) > 3 * max(near(1300), near(2200))
    assert near(2480) > 1.5 * near(2200)
    # Above its formants it is weak: each takes 12 dB an octave.
    assert near(3700) < 1e-2 * near(2480)


def test_noise_is_where_it_is_asked_for():
    resonances = np.full((4, 20, formants._STEPS), 3300.0)
    strengths = np.stack([np.zeros((20, formants._STEPS)), np.ones((20, formants._STEPS))])
    audio = formants._synthesised(np.random.default_rng(0), resonances, strengths)
    power = np.square(np.abs(np.fft.rfft(audio, axis=0))).mean(axis=1)
    hertz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    assert (power * hertz).sum() / power.sum() == pytest.approx(3300, abs=150)


def test_a_stop_is_silent_and_then_noisy():
    """Word `p?`: after the silence a closure of 60 % without a sound, then the burst."""
    word = next(place for place, text in enumerate(LEXICON) if ALPHABET[text[0]] == "p")
    words = np.array([[word, -1, -1]])
    sounds, steps = formants._timing(np.random.default_rng(0), words)
    _, (pulses, noise) = formants._parameters(sounds, steps)
    start, length = steps[0, 0], steps[0, 1]
    closed = slice(start + 1, start + int(0.6 * length) - 1)
    assert length >= 8
    assert not pulses[0, closed].any()
    assert not noise[0, closed].any()
    burst = slice(start + int(np.ceil(0.6 * length)) + 1, start + length - 1)
    assert noise[0, burst] == pytest.approx(0.4)
    # Nothing is heard behind the vowel and the gap after it.
    assert not pulses[0, steps.sum() + 1 :].any()


def test_times_are_within_their_limits():
    rng = np.random.default_rng(1)
    words = rng.integers(0, len(LEXICON), (400, 3))
    sounds, steps = formants._timing(rng, words)
    assert sounds.shape == steps.shape == (400, 16)
    assert steps.sum(axis=1).max() <= formants._STEPS
    vowels = steps[(sounds > 0) & (sounds <= len(VOWELS))]
    consonants = steps[sounds > len(VOWELS)]
    # In steps of 5 ms, times 0.8 to 1.2; some are shortened.
    assert vowels.max() <= np.ceil(1.2 * 26)
    assert vowels.min() >= 8
    assert consonants.max() <= np.ceil(1.2 * 18)
    assert consonants.min() >= 6
    assert 4 <= steps[:, [5, 10, 15]].min() <= steps[:, [5, 10, 15]].max() <= np.ceil(1.2 * 14)


def test_words_are_evenly_spread(spoken):
    texts = [text.split() for text in detokenize(spoken["targets"])]
    numbers = np.array([len(words) for words in texts])
    assert set(numbers) == {2, 3}
    # Four standard errors of 600 draws of one half.
    assert (numbers == 3).mean() == pytest.approx(0.5, abs=0.082)
    said = np.unique([word for words in texts for word in words], return_counts=True)[1]
    # About 1500 words, 12.5 of each of 120.
    assert len(said) == 120
    assert said.max() < 12.5 + 5 * np.sqrt(12.5)


def test_the_root_mean_square_is_in_its_range_and_silence_follows(spoken):
    audio, lengths = spoken["audio"].astype(float), spoken["lengths"]
    behind = np.arange(SAMPLES) >= lengths[:, None]
    assert not audio[behind].any()
    assert lengths.max() <= SAMPLES
    assert (np.abs(audio) == 127).mean() < 0.005
    loudness = np.sqrt(np.square(audio).sum(axis=1) / lengths)
    # Rounding adds at most a little, clipping takes at most a tenth.
    assert loudness.min() > 9
    assert loudness.max() < 25.2


def test_there_are_output_frames_enough_for_every_text(spoken):
    """CTC needs a frame for each token, and one more between two that are equal."""
    targets = spoken["targets"]
    repeated = ((targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] > 0)).sum(axis=1)
    frames = -(-spoken["lengths"] // LOG_MEL.hop)  # a frame is real if its first sample is
    frames = np.minimum(frames, (SAMPLES - LOG_MEL.frame) // LOG_MEL.hop + 1)
    outputs = -(-frames // 4)
    assert (outputs >= (targets > 0).sum(axis=1) + repeated).all()


def test_a_batch_is_what_the_model_takes(spoken):
    batch = formants._prepare({name: array[:3] for name, array in spoken.items()})
    assert np.array_equal(batch["inputs"] * 128, spoken["audio"][:3].astype(np.float32))
    assert np.array_equal((1 - batch["input_paddings"]).sum(axis=1), spoken["lengths"][:3])
    assert np.array_equal(batch["targets"], spoken["targets"][:3])
    assert np.array_equal(batch["target_paddings"] == 1, spoken["targets"][:3] == 0)
    assert {name: (s.shape, s.dtype) for name, s in formants.formants.signature(2).items()} == {
        "inputs": ((2, SAMPLES), np.float32),
        "input_paddings": ((2, SAMPLES), np.float32),
        "targets": ((2, TOKENS), np.int32),
        "target_paddings": ((2, TOKENS), np.float32),
    }


def test_the_same_utterances_are_made_again():
    one, again = (utterances(Split.TEST, 3) for _ in range(2))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["audio"], utterances(Split.TRAIN, 3)["audio"])


@pytest.mark.slow
def test_the_data_are_the_recorded_ones_and_splits_are_disjoint():
    splits = formants._make()
    assert hash_of(splits) == formants.formants.sha256
    rows = {split: {row.tobytes() for row in splits[split]["audio"]} for split in splits}
    assert {split: len(found) for split, found in rows.items()} == {
        Split.TRAIN: 16_384,
        Split.EVAL_TRAIN: 512,
        Split.VALIDATION: 512,
        Split.TEST: 512,
    }
    assert rows[Split.EVAL_TRAIN] <= rows[Split.TRAIN]
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not rows[Split(one)] & rows[Split(other)]
