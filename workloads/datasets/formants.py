"""Synthesised speech: short utterances of 120 made-up words, and the letters of what is said.

An utterance is made from seeds alone (NumPy's PCG64), at 8 kHz, for at most 1.2 s, like this:

- Lexicon: 120 different words out of 5 vowels and 15 consonants, each sound a letter: 24 of the
  form CV, 60 CVC, 36 CVCV. An utterance says 2 or 3 of them, drawn evenly.
- Time: sounds, the gaps after words (30 to 70 ms) and the silence before (10 to 60 ms) last whole
  frames of 5 ms. Vowels are drawn from 70 to 130 ms, consonants from 50 to 90 ms; all times a rate
  per utterance of 0.8 to 1.2, and shortened in proportion where they would not fit.
- Sound: a cascade of three resonators (formants; Klatt 1980, doi:10.1121/1.383940) driven by
  pulses, and beside it a resonator driven by noise, for fricatives and the bursts of stops, whose
  first 60 % are closure. Vowels have the mean formants of Peterson & Barney 1952
  (doi:10.1121/1.1906875, men). Parameters are averaged over 45 ms (formants) and 15 ms (strengths),
  so that sounds blend into each other.
- Speaker, drawn for every utterance: a factor of 0.8 to 1.25 on all formants and one within 5 % on
  each, a pitch of 90 to 250 Hz that falls by a fifth, and a tilt (each sample plus -0.5 to 0.5
  times the one before).
- Noise: white, 3 to 20 dB below the utterance's mean power, the sum scaled to a root mean square
  of 10 to 25 of 127, rounded to bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.data import Arrays
from algoperf.spec import Batch, Split
from workloads.datasets.generated import Splits, generated, with_eval_train
from workloads.models.speech import LogMel

RATE_HZ = 8_000
SAMPLES = 9_600
WORDS = 3
"""Most words in an utterance."""
TOKENS = 14
"""Most letters and spaces: three words of four letters, and two spaces."""

_SEED = 20_001
_SIZES = {Split.TRAIN: 16_384, Split.VALIDATION: 512, Split.TEST: 512}
_CHUNK = 1_024
"""Utterances that are made together."""

_STEP = 40
"""Samples for which all parameters stay as they are: 5 ms."""
_STEPS = SAMPLES // _STEP
_LETTERS = 4
"""Most letters in a word."""

VOWELS = "aeiou"
CONSONANTS = "ptkbdgsxfzmnlrw"
ALPHABET = f" {VOWELS}{CONSONANTS}"
"""Token t is letter t - 1; token 0 is padding, and the blank of CTC."""
OUTPUTS = 1 + len(ALPHABET)
LOG_MEL = LogMel(
    rate_hz=RATE_HZ,
    frame=200,
    hop=80,
    fft=256,
    bins=40,
    high_hz=3800.0,
    mean=(-1.4,),
    standard_deviation=(2.5,),
)
"""25 ms and 10 ms as in the full suite; the mean and deviation of all features of this data."""


@dataclass(frozen=True)
class _Sound:
    """Formants [Hz], and for both parts: strengths of pulses and noise, centre of the noise [Hz].

    A stop is silent in its first part; other sounds have two equal parts.
    """

    formants: tuple[float, float, float]
    pulses: float = 0.0
    noise: float = 0.0
    noise_hz: float = 2000.0
    stop: bool = False


_SILENCE = _Sound((500, 1500, 2500))
_SOUNDS = {
    " ": _SILENCE,
    "a": _Sound((730, 1090, 2440), 1.0),
    "e": _Sound((530, 1840, 2480), 1.0),
    "i": _Sound((270, 2290, 3010), 1.0),
    "o": _Sound((570, 840, 2410), 1.0),
    "u": _Sound((300, 870, 2240), 1.0),
    "p": _Sound((300, 800, 2200), 0.0, 0.4, 900, stop=True),
    "t": _Sound((300, 1800, 2700), 0.0, 0.4, 3300, stop=True),
    "k": _Sound((300, 2000, 2300), 0.0, 0.4, 1900, stop=True),
    "b": _Sound((300, 800, 2200), 0.4, 0.2, 900, stop=True),
    "d": _Sound((300, 1800, 2700), 0.4, 0.2, 3300, stop=True),
    "g": _Sound((300, 2000, 2300), 0.4, 0.2, 1900, stop=True),
    "s": _Sound((300, 1700, 2600), 0.0, 0.5, 3600),
    "x": _Sound((300, 1900, 2600), 0.0, 0.5, 2500),
    "f": _Sound((300, 1000, 2200), 0.0, 0.3, 1400),
    "z": _Sound((300, 1700, 2600), 0.4, 0.3, 3600),
    "m": _Sound((250, 1000, 2200), 0.5),
    "n": _Sound((250, 1600, 2600), 0.5),
    "l": _Sound((350, 1050, 2900), 0.6),
    "r": _Sound((350, 1200, 1700), 0.6),
    "w": _Sound((300, 650, 2200), 0.6),
}

_CLOSURE = 0.6
"""Share of a stop that is closure."""
_BANDWIDTHS_HZ = np.array([80.0, 100.0, 150.0, 400.0])[:, None]
"""Of the three formants and of the noise."""


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Of each letter: resonances [Hz] (letters, 4), strengths (letters, 2 parts, 2)."""
    sounds = [_SOUNDS[letter] for letter in ALPHABET]
    resonances = np.array([(*s.formants, s.noise_hz) for s in sounds])
    later = np.array([(s.pulses, s.noise) for s in sounds])
    # What sounds in the closure of a voiced stop is weak.
    earlier = np.array([(0.4 * s.pulses, 0.0) if s.stop else (s.pulses, s.noise) for s in sounds])
    return resonances, np.stack([earlier, later], axis=1)


def _lexicon() -> np.ndarray:
    """Places in the alphabet, int64 (words, 4), 0 behind the end of a word."""
    rng = np.random.default_rng(_SEED)
    first = len(VOWELS) + 1
    consonants, vowels = len(CONSONANTS), len(VOWELS)

    def words(count: int, sounds: int) -> np.ndarray:
        shape = (consonants, vowels, consonants, vowels)[:sounds]
        chosen = rng.choice(np.prod(shape), count, replace=False)
        places = np.stack(np.unravel_index(chosen, shape), axis=1)
        places += np.array([first, 1, first, 1])[:sounds]
        return np.pad(places, ((0, 0), (0, _LETTERS - sounds)))

    return np.concatenate([words(24, 2), words(60, 3), words(36, 4)])


LEXICON = _lexicon()


def spell(words: np.ndarray) -> list[str]:
    """The text of rows of words, int (rows, words), -1 for none."""
    spelt = ["".join(ALPHABET[p] for p in word if p) for word in LEXICON] + [""]
    return [" ".join(spelt[word] for word in row).strip() for row in words]


def detokenize(tokens: np.ndarray) -> list[str]:
    """The text of each row of tokens, int (rows, length); 0 ends a row."""
    letters = "\0" + ALPHABET
    texts = ("".join(letters[token] for token in row) for row in np.asarray(tokens).tolist())
    return [text.partition("\0")[0] for text in texts]


def _uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> np.ndarray:
    return rng.uniform(low, high, shape)


def _timing(rng: np.random.Generator, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What sounds and for how long.

    Args:
        rng: Draws durations.
        words: int (utterances, 3), -1 for none.

    Returns:
        Places in the alphabet and steps of 5 ms, both int (utterances, 16): silence, then for each
        word four letters and a gap.
    """
    count = len(words)
    letters = np.where(words[..., None] >= 0, LEXICON[words], 0)
    gapped = np.pad(letters, ((0, 0), (0, 0), (0, 1))).reshape(count, -1)
    sounds = np.pad(gapped, ((0, 0), (1, 0)))
    drawn = _uniform(rng, 0, 1, *sounds.shape)
    is_vowel = sounds <= len(VOWELS)
    steps = np.where(is_vowel, 14 + 12 * drawn, 10 + 8 * drawn)
    gap = np.arange(sounds.shape[1]) % (_LETTERS + 1) == 0
    steps = np.where(gap, 6 + 8 * drawn, steps)
    steps[:, 0] = 2 + 10 * drawn[:, 0]
    spoken = np.repeat(words >= 0, _LETTERS + 1, axis=1) & (gap[1:] | (gapped > 0))
    steps[:, 1:] *= spoken
    steps *= _uniform(rng, 0.8, 1.2, count, 1)
    steps *= np.minimum(1.0, (_STEPS - sounds.shape[1]) / steps.sum(axis=1, keepdims=True))
    return sounds, np.ceil(steps).astype(np.int64)


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Means over `width` steps around each, along the last axis."""
    half = width // 2
    ends = [(0, 0)] * (values.ndim - 1)
    sums = np.pad(values, [*ends, (half + 1, half)], mode="edge").cumsum(axis=-1)
    return (sums[..., width:] - sums[..., :-width]) / width


def _parameters(sounds: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resonances [Hz] (4, utterances, 240) and strengths (2, utterances, 240), step by step."""
    resonances, strengths = _tables()
    ends = steps.cumsum(axis=1)
    now = np.arange(_STEPS)
    place = (now >= ends[..., None]).sum(axis=1)
    over = place == sounds.shape[1]
    place = np.minimum(place, sounds.shape[1] - 1)
    sound, end, length = (np.take_along_axis(a, place, axis=1) for a in (sounds, ends, steps))
    later = (now - (end - length) >= _CLOSURE * length).astype(np.int64)
    strength = np.where(over[..., None], 0.0, strengths[sound, later])
    return (
        _smooth(np.moveaxis(resonances[sound], -1, 0), 9),
        _smooth(np.moveaxis(strength, -1, 0), 3),
    )


def _filters(resonances: np.ndarray) -> Iterator[np.ndarray]:
    """Of each step: factors of a resonator's input and its last two outputs, (3, 4, utterances)."""
    decay = np.exp(-np.pi * _BANDWIDTHS_HZ / RATE_HZ)
    for step in range(_STEPS):
        last = 2 * decay * np.cos(2 * np.pi * resonances[..., step] / RATE_HZ)
        before = np.broadcast_to(-(decay**2), last.shape)
        yield np.stack([1 - last - before, last, before])


def _synthesised(
    rng: np.random.Generator, resonances: np.ndarray, strengths: np.ndarray
) -> np.ndarray:
    """Sound without noise, float64 (samples, utterances)."""
    count = resonances.shape[1]
    audio = np.empty((SAMPLES, count))
    phase, pitch = _uniform(rng, 0, 1, count), _uniform(rng, 90, 250, count)
    one, two, fresh, inputs = (np.zeros((4, count)) for _ in range(4))
    for step, (gain, last, before) in enumerate(_filters(resonances)):
        ticks = np.arange(_STEP + 1)[:, None] * pitch * (1 - 0.2 * step / _STEPS) / RATE_HZ + phase
        pulses = np.diff(np.floor(ticks), axis=0) * (8 * strengths[0, :, step])
        noise = rng.integers(-127, 128, (_STEP, count), dtype=np.int8) / 127
        noise = noise * strengths[1, :, step]
        phase = ticks[-1] % 1.0
        for sample in range(_STEP):
            # A stage takes what the one before it gave a sample ago: the cascade is only delayed.
            inputs[0], inputs[1:3], inputs[3] = pulses[sample], one[:2], noise[sample]
            np.multiply(gain, inputs, out=fresh)
            np.multiply(before, two, out=two)
            fresh += two
            np.multiply(last, one, out=two)
            fresh += two
            one, two, fresh = fresh, one, two
            np.add(one[2], one[3], out=audio[step * _STEP + sample])
    return audio


def _utterances(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    words = rng.integers(0, len(LEXICON), (count, WORDS))
    words[rng.integers(0, 2, count) == 0, WORDS - 1] = -1
    sounds, steps = _timing(rng, words)
    resonances, strengths = _parameters(sounds, steps)
    resonances[:3] *= _uniform(rng, 0.8, 1.25, count, 1) * _uniform(rng, 0.95, 1.05, 3, count, 1)
    audio = _synthesised(rng, resonances, strengths)
    audio[1:] += _uniform(rng, -0.5, 0.5, count) * audio[:-1]
    lengths = _STEP * steps.sum(axis=1)
    real = np.arange(SAMPLES)[:, None] < lengths
    audio *= real
    noise = rng.integers(-127, 128, audio.shape, dtype=np.int8)
    # The mean power of these integers is 127 x 128 / 3.
    power = np.square(audio).sum(axis=0) / lengths
    audio += noise * np.sqrt(power / (127 * 128 / 3) * 10 ** (-_uniform(rng, 3, 20, count) / 10))
    audio *= real * _uniform(rng, 10, 25, count) / np.sqrt(np.square(audio).sum(axis=0) / lengths)
    return {
        "audio": np.clip(np.rint(audio), -127, 127).astype(np.int8).T,
        "lengths": lengths.astype(np.int32),
        "words": words.astype(np.int16),
    }


def _tokens(words: np.ndarray) -> np.ndarray:
    """Letters and spaces of rows of words, int8 (rows, 14), 0 behind the last."""
    rows = [[1 + ALPHABET.index(letter) for letter in text] for text in spell(words)]
    return np.array([row + [0] * (TOKENS - len(row)) for row in rows], np.int8)


def utterances(split: Split, count: int) -> Arrays:
    """`count` utterances of a split.

    They are made 1,024 at a time, each time with a seed of its own: those of a smaller count are
    the first of a larger one only where both are multiples of that.

    Returns:
        `audio` int8 (count, 9600), 0 behind the end; `lengths` int32 (count,) [samples]; `targets`
        int8 (count, 14).
    """
    chunks = [
        _utterances(np.random.default_rng([_SEED, list(Split).index(split), start]), size)
        for start in range(0, count, _CHUNK)
        for size in [min(_CHUNK, count - start)]
    ]
    made = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return {
        "audio": np.ascontiguousarray(made["audio"]),
        "lengths": made["lengths"],
        "targets": _tokens(made["words"]),
    }


def _make() -> Splits:
    return with_eval_train({split: utterances(split, count) for split, count in _SIZES.items()})


def _prepare(rows: Batch) -> Batch:
    audio, targets = rows["audio"], rows["targets"]
    behind = jnp.arange(SAMPLES)[None] >= rows["lengths"][:, None]
    return {
        "inputs": audio.astype(jnp.float32) / 128,
        "input_paddings": behind.astype(jnp.float32),
        "targets": targets.astype(jnp.int32),
        "target_paddings": (targets == 0).astype(jnp.float32),
    }


formants = generated(
    "formants",
    _make,
    "434304a5cbb01b8ce91b4f0989356535bb36d5fa1648627d8d2485736f544c27",
    example={
        "audio": jax.ShapeDtypeStruct((SAMPLES,), np.int8),
        "lengths": jax.ShapeDtypeStruct((), np.int32),
        "targets": jax.ShapeDtypeStruct((TOKENS,), np.int8),
    },
    prepare=_prepare,
)
"""Inputs float32 (batch, 9600) in [-1, 1], targets int32 (batch, 14), each with paddings float32,
which are 1 where it is padded. Token 0 is padding only, and free for the blank of CTC."""
