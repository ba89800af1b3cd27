"""LibriSpeech: 960 hours of read English speech, and what was read.

Source: Panayotov et al. 2015, doi:10.1109/ICASSP.2015.7178964. Training on train-clean-100,
train-clean-360 and train-other-500, validation on dev-clean and dev-other, test on test-clean. As
in AlgoPerf (Dahl et al. 2023, arXiv:2306.07179), utterances of more than 320,000 samples (20 s at
16 kHz) or 256 letters are left out, and text is cut into 1,024 pieces. (Letters, not pieces: hardly
any has 256 pieces, and 6 % of the published training utterances were left out.)
"""

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from algoperf.errors import UserError
from algoperf.inputs.batches import Arrays, rows_of
from algoperf.inputs.conversion import Converted, Dropped, Job, Kept, Preparation, Tell
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.encoding import from_bytes, to_bytes
from algoperf.inputs.extra import require
from algoperf.inputs.stores import PreparedStore
from algoperf.spec import Split
from workloads.datasets import vocabularies

SAMPLES = 320_000
TOKENS = 256
VOCABULARY = 1024
RATE = 16_000
TRANSCRIPTS_PER_SHARD = 50

_FOLDERS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "validation": ("dev-clean", "dev-other"),
    "test": ("test-clean",),
}


def _transcripts(root: Path) -> dict[str, list[Path]]:
    """The transcripts of each part, in order."""
    place = root / "librispeech" / "LibriSpeech"
    names = [name for several in _FOLDERS.values() for name in several]
    found = {name: sorted((place / name).glob("*/*/*.trans.txt")) for name in names}
    if lacking := [str(place / name) for name, paths in found.items() if not paths]:
        raise UserError.of_many("There are no transcripts (*/*/*.trans.txt) in:", lacking)
    return {
        part: [path for name in several for path in found[name]]
        for part, several in _FOLDERS.items()
    }


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each utterance of a transcript."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}); copy it anew.") from error
    for line in filter(str.strip, lines):
        name, _, text = line.partition(" ")
        yield name, text.strip()


def _samples(path: Path) -> np.ndarray:
    """The samples of a file, float32 (samples,)."""
    soundfile = require("soundfile")
    try:
        with soundfile.SoundFile(path) as file:
            rate, channels, announced = file.samplerate, file.channels, file.frames
            found = file.read(dtype="float32")
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); copy it anew.") from error
    if rate != RATE or channels != 1:
        raise UserError(
            f"{path} has {channels} channel(s) at {rate} Hz; LibriSpeech has one at {RATE} Hz."
        )
    if len(found) != announced:
        raise UserError(f"{path} is truncated: {len(found)} samples of {announced}; copy it anew.")
    return found


def _audio_file(transcript: Path, name: str) -> Path:
    for suffix in (".flac", ".wav"):
        path = transcript.with_name(name + suffix)
        if path.is_file():
            return path
    raise UserError(f"{transcript} names {name}, but there is no {name}.flac or {name}.wav.")


def _utterances(processor: Any, transcripts: Sequence[Path]) -> Converted:
    for transcript in transcripts:
        for name, text in _lines(transcript):
            path = _audio_file(transcript, name)
            samples = len(_samples(path))  # decoded whole: a damaged file is found now
            tokens = np.array(processor.encode(text), np.int32)
            if samples > SAMPLES:
                yield Dropped(f"utterances longer than {SAMPLES:,} samples left out")
            elif len(text) > TOKENS or len(tokens) > TOKENS:
                yield Dropped(f"utterances of more than {TOKENS} letters left out")
            elif not samples or not len(tokens):
                yield Dropped("empty utterances left out")
            else:
                yield Kept(to_bytes({"audio": path.read_bytes(), "tokens": tokens}))


def plan(root: Path, folder: Path, tell: Tell) -> list[Job]:
    """Trains the vocabulary; a shard for every few transcripts."""
    transcripts = _transcripts(root)
    tell("training the vocabulary")
    texts = (text for path in transcripts["train"] for _, text in _lines(path) if text)
    processor, recipe = vocabularies.trained(folder, texts, VOCABULARY, eos=False)
    return [
        Job(
            f"{part}-{start // TRANSCRIPTS_PER_SHARD:04d}",
            part,
            paths[start : start + TRANSCRIPTS_PER_SHARD],
            partial(_utterances, processor, paths[start : start + TRANSCRIPTS_PER_SHARD]),
            recipe,
        )
        for part, paths in transcripts.items()
        for start in range(0, len(paths), TRANSCRIPTS_PER_SHARD)
    ]


def _padded(values: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The values with zeros behind, and float32 that is 1 on those zeros."""
    paddings = np.ones(length, np.float32)
    paddings[: len(values)] = 0
    return np.pad(values, (0, length - len(values))), paddings


def _example(record: Any, rng: np.random.Generator | None) -> Arrays:
    audio, _ = require("soundfile").read(io.BytesIO(record["audio"]), dtype="float32")
    inputs, input_paddings = _padded(audio, SAMPLES)
    targets, target_paddings = _padded(record["tokens"], TOKENS)
    return {
        "inputs": inputs,
        "input_paddings": input_paddings,
        "targets": targets,
        "target_paddings": target_paddings,
    }


def _spec(batch_size: int) -> Any:
    return {
        "inputs": ((batch_size, SAMPLES), np.float32),
        "input_paddings": ((batch_size, SAMPLES), np.float32),
        "targets": ((batch_size, TOKENS), np.int32),
        "target_paddings": ((batch_size, TOKENS), np.float32),
    }


_STORE = PreparedStore("librispeech", from_bytes)

librispeech = RecordDataset(
    name="librispeech",
    published={Split.TRAIN: 263_840, Split.VALIDATION: 5_348, Split.TEST: 2_472},
    exact=False,
    parts={Split(part): Part(_STORE, part) for part in _FOLDERS},
    batching=rows_of(_example),
    spec=_spec,
    packages=("grain", "array_record", "soundfile", "sentencepiece"),
    instructions=(
        "librispeech/LibriSpeech/{train-clean-100,train-clean-360,train-other-500,dev-clean,\n"
        "dev-other,test-clean}: the archives of https://www.openslr.org/12, unpacked"
    ),
    preparation=Preparation(_STORE, plan, {"train": 281_241, "validation": 5_567, "test": 2_620}),
)
"""Inputs float32 (batch, 320000), targets int32 (batch, 256), each with paddings float32, which
are 1 where it is padded. Token 0 is padding only, and free for the blank of CTC."""


def detokenize(tokens: np.ndarray, dataset: RecordDataset = librispeech) -> list[str]:
    """The text of each row of tokens, int (rows, length); 0 ends a row."""
    path = _STORE.path(dataset.data_root) / vocabularies.FILE
    return vocabularies.text_of(vocabularies.loaded(path), tokens)
