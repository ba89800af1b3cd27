"""FineWeb-Edu, sample-10BT: pages of the web that teach something, 10 billion tokens.

Source: Penedo et al. 2024, arXiv:2406.17557. Text is cut by GPT-2's byte-pair encoding (Radford et
al. 2019), which its publisher provides as two files; each document is ended by a token of its own.
A tenth of the documents, drawn once, is held out: the validation split, and the test split too,
since none is published. Documents follow each other and are cut into sequences of 1,024 tokens,
each with the token that comes next.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from algoperf.disk import file_sha256
from algoperf.errors import UserError
from algoperf.inputs.batches import Arrays, rows_of
from algoperf.inputs.conversion import Converted, Dropped, Job, Kept, Preparation, Tell, files_of
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.extra import require
from algoperf.inputs.stores import PreparedStore
from algoperf.spec import Split

LENGTH = 1024
VOCABULARY = 50_257
END = "<|endoftext|>"
HELD_OUT = 0.1
_SPLIT_SEED = 0
_DOCUMENTS_AT_ONCE = 256


def tokenizer(folder: Path, vocabulary: int) -> tuple[Any, int, str]:
    """GPT-2's encoding, the token that ends a document, and the hash of its files.

    Raises:
        UserError: If its files are missing, or not of so many tokens.
    """
    files = [folder / "vocab.json", folder / "merges.txt"]
    if lacking := [str(path) for path in files if not path.is_file()]:
        raise UserError(f"GPT-2's encoding is missing: {', '.join(lacking)}.")
    library = require("tokenizers")
    try:
        encoding = library.ByteLevelBPETokenizer(*map(str, files))
    except Exception as error:  # the library raises no narrower one
        raise UserError(f"{files[0]} or {files[1]} cannot be read: {error}") from error
    end = encoding.token_to_id(END)
    if end is None or encoding.get_vocab_size() != vocabulary:
        raise UserError(
            f"{files[0]} has {encoding.get_vocab_size():,} tokens; GPT-2's has {vocabulary:,}, "
            f"{END} among them."
        )
    return encoding, end, "".join(map(file_sha256, files))


def _texts(path: Path) -> Iterator[str | None]:
    """The field `text` of every row of a Parquet or JSON-lines file."""
    if path.suffix == ".parquet":
        yield from _of_parquet(path)
        return
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield json.loads(line)["text"]
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        f"{path}, line {number}: no JSON object with a `text`."
                    ) from error
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise UserError(f"{path} is truncated or not UTF-8: {error}; copy it anew.") from error


def _of_parquet(path: Path) -> Iterator[str | None]:
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            if "text" not in file.schema_arrow.names:
                raise UserError(f"{path} has no column `text`: {file.schema_arrow.names}.")
            for batch in file.iter_batches(_DOCUMENTS_AT_ONCE, columns=["text"]):
                yield from batch.column(0).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise UserError(
            f"{path} is truncated or no Parquet file: {error}; copy it anew."
        ) from error


def _documents(path: Path, *, held_out: bool) -> Iterator[str | None]:
    """The documents of a file that are held out, or the others; the file's name draws them."""
    rng = np.random.default_rng((_SPLIT_SEED, zlib.crc32(path.name.encode())))
    for text in _texts(path):
        if (rng.random() < HELD_OUT) == held_out:
            yield text


def _sequences(encoding: Any, end: int, path: Path, *, held_out: bool) -> Converted:
    left = np.zeros(0, np.uint16)
    waiting: list[str] = []

    def encoded() -> np.ndarray:
        ids = [token for e in encoding.encode_batch(waiting) for token in [*e.ids, end]]
        waiting.clear()
        return np.array(ids, np.uint16)

    for text in _documents(path, held_out=held_out):
        if not isinstance(text, str) or not text.strip():
            yield Dropped("empty documents left out")
            continue
        waiting.append(text)
        if len(waiting) == _DOCUMENTS_AT_ONCE:
            left = np.concatenate([left, encoded()])
            yield from _cut(left)
            left = left[max(len(left) - 1, 0) // LENGTH * LENGTH :]
    left = np.concatenate([left, encoded()])
    yield from _cut(left)
    if rest := max(len(left) - 1, 0) % LENGTH:
        yield Dropped("tokens after the last whole sequence of a file left out", rest)


def _cut(tokens: np.ndarray) -> Iterator[Kept]:
    """Whole sequences and the token after each; the last token of one is the first of the next."""
    for start in range(0, len(tokens) - LENGTH, LENGTH):
        yield Kept(tokens[start : start + LENGTH + 1].astype("<u2").tobytes())


def plan(root: Path, vocabulary: int) -> list[Job]:
    """Two shards for each file: its training documents, and those held out."""
    folder = root / "fineweb"
    encoding, end, recipe = tokenizer(folder, vocabulary)
    paths = [
        path
        for path in files_of(folder, "**/*.*", "Parquet or JSON-lines file")
        if path.name.endswith((".parquet", ".jsonl", ".jsonl.gz"))
    ]
    if not paths:
        raise UserError(f"There is no .parquet, .jsonl or .jsonl.gz file in {folder}.")
    if len({path.name for path in paths}) < len(paths):
        raise UserError(f"Two files below {folder} have the same name; their names draw the split.")
    return [
        Job(
            f"{part}-{path.name}",
            part,
            [path],
            partial(_sequences, encoding, end, path, held_out=part == "validation"),
            recipe,
        )
        for part in ("train", "validation")
        for path in paths
    ]


def _plan(root: Path, _: Path, __: Tell) -> list[Job]:
    return plan(root, VOCABULARY)


def _example(record: np.ndarray, rng: np.random.Generator | None) -> Arrays:
    tokens = record.astype(np.int32)
    return {"inputs": tokens[:-1], "targets": tokens[1:]}


def _parse(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, "<u2")


def _spec(batch_size: int) -> Any:
    return dict.fromkeys(("inputs", "targets"), ((batch_size, LENGTH), np.int32))


_STORE = PreparedStore("fineweb", _parse)

fineweb = RecordDataset(
    name="fineweb",
    published={},
    parts={
        Split.TRAIN: Part(_STORE, "train"),
        Split.VALIDATION: Part(_STORE, "validation"),
        Split.TEST: Part(_STORE, "validation"),
    },
    batching=rows_of(_example),
    spec=_spec,
    packages=("grain", "array_record", "pyarrow", "tokenizers"),
    instructions=(
        "fineweb/sample/10BT/*.parquet (or *.jsonl, *.jsonl.gz with the field `text`):\n"
        "https://huggingface.co/datasets/HuggingFaceFW/fineweb-edu, config sample-10BT\n"
        "fineweb/vocab.json, fineweb/merges.txt: GPT-2's encoding,\n"
        "https://huggingface.co/openai-community/gpt2"
    ),
    preparation=Preparation(_STORE, _plan),
)
"""Inputs and targets int32 (batch, 1024): tokens, and those that come next."""
