"""WMT 2017 German to English for training, newstest 2013 and 2014 of WMT 2014 for evaluation.

Source: Bojar et al. 2017, doi:10.18653/v1/W17-4717; Bojar et al. 2014, doi:10.3115/v1/W14-3302. One
vocabulary of 32,000 SentencePiece pieces for both languages. Training pairs of more than 256 tokens
on a side are left out; the others are packed, several in a row. In an evaluation a row is a pair.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from algoperf.inputs.batches import Arrays, Batching, MakeBatch, passes, stack
from algoperf.inputs.conversion import (
    Converted,
    Dropped,
    Job,
    Kept,
    Preparation,
    Tell,
    open_tfds,
    pieces,
)
from algoperf.inputs.dataset import EVAL_TRAIN_SEED, Part, RecordDataset
from algoperf.inputs.encoding import from_bytes, to_bytes
from algoperf.inputs.order import Order, PackedOrder
from algoperf.inputs.shards import Records
from algoperf.inputs.stores import PreparedStore, TfdsStore
from algoperf.spec import Split
from workloads.datasets import vocabularies

LENGTH = 256
VOCABULARY = 32_000
PAD, EOS = vocabularies.PAD, vocabularies.EOS
SENTENCES_FOR_VOCABULARY = 1_000_000
PAIRS_PER_SHARD = 65_536

_WMT17 = TfdsStore("wmt/wmt17_translate/de-en", "1.0.0")
_WMT14 = TfdsStore("wmt/wmt14_translate/de-en", "1.0.0")
_SIDES = {"inputs": "de", "targets": "en"}
_SOURCES = {
    "train": (_WMT17, "train"),
    "validation": (_WMT14, "validation"),
    "test": (_WMT14, "test"),
}


def _texts(pair: Any) -> dict[str, str]:
    return {side: pair[language].decode("utf-8").strip() for side, language in _SIDES.items()}


def _sample(records: Records) -> Iterator[str]:
    """Sentences of both languages, of pairs evenly spread over all."""
    count = min(len(records), SENTENCES_FOR_VOCABULARY // 2)
    rows = np.linspace(0, len(records) - 1, count).astype(int)
    for start in range(0, count, 256):
        for pair in records.take(rows[start : start + 256]):
            yield from _texts(pair).values()


def _pairs(processor: Any, part: str, records: Records) -> Converted:
    for pair in records.each():
        texts = _texts(pair)
        tokens = {side: [*processor.encode(text), EOS] for side, text in texts.items()}
        longest = max(map(len, tokens.values()))
        note = None
        if not all(texts.values()):
            yield Dropped("pairs with an empty side left out")
            continue
        if longest > LENGTH and part == "train":
            yield Dropped(f"pairs of more than {LENGTH} tokens on a side left out")
            continue
        if longest > LENGTH:
            note = f"pairs cut to {LENGTH} tokens on a side"
            tokens = {side: [*t[:-1][: LENGTH - 1], EOS] for side, t in tokens.items()}
        record = {side: np.array(t, np.uint16) for side, t in tokens.items()}
        size = tuple(len(t) for t in tokens.values())
        yield Kept(to_bytes({**record, "reference": texts["targets"]}), size, note=note)


def plan(root: Path, folder: Path, tell: Tell) -> list[Job]:
    """Trains the vocabulary; a shard for every 65,536 pairs."""
    sources = open_tfds(root, _SOURCES)
    tell("training the vocabulary")
    processor, recipe = vocabularies.trained(
        folder, _sample(sources["train"]), VOCABULARY, eos=True
    )
    return [
        job
        for part, records in sources.items()
        for job in pieces(
            part,
            part,
            records,
            partial(_pairs, processor, part),
            size=PAIRS_PER_SHARD,
            recipe=recipe,
        )
    ]


def packed_row(pairs: Sequence[Any]) -> Arrays:
    """Pairs one after the other in a row of each side, int32 (256,).

    `segments` count the pairs from 1, and are 0 on padding; `positions` count the tokens of each
    pair from 0.
    """
    row = {}
    for side in _SIDES:
        tokens = [pair[side] for pair in pairs]
        lengths = [len(t) for t in tokens]
        segments = np.repeat(np.arange(1, len(pairs) + 1), lengths)
        positions = np.concatenate([np.arange(length) for length in lengths])
        columns = {"": np.concatenate(tokens), "_positions": positions, "_segments": segments}
        row |= {side + name: _padded(column) for name, column in columns.items()}
    return row


def _padded(tokens: np.ndarray) -> np.ndarray:
    return np.pad(tokens.astype(np.int32), (0, LENGTH - len(tokens)))


def _training(records: Records, batch_size: int, seed: int) -> MakeBatch:
    order = PackedOrder(records.sizes, (LENGTH, LENGTH), seed)

    def make(position: int) -> Arrays:
        groups = order.take(position * batch_size, (position + 1) * batch_size)
        pairs = iter(records.take(np.concatenate(groups)))
        rows = (packed_row([next(pairs) for _ in group]) for group in groups)
        return stack(rows, batch_size)

    return make


def _evaluated(records: Records, rows: np.ndarray) -> Arrays:
    pairs = records.take(rows)
    return stack(({side: _padded(pair[side]) for side in _SIDES} for pair in pairs), len(rows))


def _spec(batch_size: int) -> Any:
    names = [side + name for side in _SIDES for name in ("", "_positions", "_segments")]
    return dict.fromkeys(names, ((batch_size, LENGTH), np.int32))


_STORE = PreparedStore("wmt", from_bytes)

wmt = RecordDataset(
    name="wmt",
    published={Split.TRAIN: 5_906_184, Split.VALIDATION: 3_000, Split.TEST: 3_003},
    exact=False,
    parts={Split(part): Part(_STORE, part) for part in _SOURCES},
    batching=Batching(_training, passes(_evaluated)),
    spec=_spec,
    packages=("grain", "array_record", "tensorflow_datasets", "sentencepiece"),
    instructions=(
        "wmt/wmt17_translate/de-en/1.0.0 and wmt/wmt14_translate/de-en/1.0.0: the folders that\n"
        "TensorFlow Datasets builds, in the format array_record:\n"
        "tfds build wmt17_translate/de-en --data_dir=DATA/wmt --file_format=array_record\n"
        "tfds build wmt14_translate/de-en --data_dir=DATA/wmt --file_format=array_record"
    ),
    preparation=Preparation(_STORE, plan, {"train": 5_906_184, "validation": 3_000, "test": 3_003}),
)
"""Inputs (German) and targets (English) int32 (batch, 256), each sentence ended by `EOS`, padded
with 0; in training packed, with positions and segments."""


def detokenize(tokens: np.ndarray, dataset: RecordDataset = wmt) -> list[str]:
    """The text of each row of tokens, int (rows, length), up to its first `EOS`."""
    path = _STORE.path(dataset.data_root) / vocabularies.FILE
    return vocabularies.text_of(vocabularies.loaded(path), tokens)


def references(split: Split, dataset: RecordDataset = wmt) -> list[str]:
    """The English sentences of a split as they were written, in the order of its evaluation."""
    records = dataset.records(split)
    rows = np.arange(dataset.sizes[split])
    if split == Split.EVAL_TRAIN:
        rows = Order(len(records), EVAL_TRAIN_SEED).take(0, len(rows))
    return [pair["reference"] for pair in records.take(rows)]
