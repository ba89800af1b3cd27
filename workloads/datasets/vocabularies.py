"""SentencePiece vocabularies, trained on the data when they are prepared.

Source: Kudo, Richardson 2018, arXiv:1808.06226; unigram model, Kudo 2018, arXiv:1804.10959.
"""

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from algoperf.disk import file_sha256, replacing
from algoperf.errors import UserError
from algoperf.inputs.extra import require

FILE = "vocabulary.model"
PAD, EOS, UNKNOWN = 0, 1, 2


def trained(folder: Path, texts: Iterable[str], size: int, *, eos: bool) -> tuple[Any, str]:
    """The vocabulary in `folder`, trained if it is not there, and its hash.

    Number 0 is never a piece (padding, or the blank of CTC). With few texts there may be fewer
    pieces than asked for.

    Args:
        folder: Where it is kept.
        texts: What it is trained on, in an order that does not change.
        size: How many pieces.
        eos: Whether number 1 ends a sentence.
    """
    path = folder / FILE
    if not path.is_file():
        model = io.BytesIO()
        ids = {"eos_id": EOS, "unk_id": UNKNOWN} if eos else {"eos_id": -1, "unk_id": 1}
        try:
            require("sentencepiece").SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                vocab_size=size,
                model_type="unigram",
                pad_id=PAD,
                bos_id=-1,
                hard_vocab_limit=False,
                num_threads=4,  # fixed, since sums depend on how they are divided
                minloglevel=2,
                **ids,
            )
        except RuntimeError as error:
            raise UserError(f"No vocabulary of {size} pieces can be trained: {error}") from error
        with replacing(path) as file:
            file.write(model.getvalue())
    return loaded(path), file_sha256(path)


@cache
def loaded(path: Path) -> Any:
    """The processor of a vocabulary's file.

    Raises:
        UserError: If there is none.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; prepare the data set (`algoperf data`) first.")
    return require("sentencepiece").SentencePieceProcessor(model_file=str(path))


def text_of(processor: Any, tokens: np.ndarray) -> list[str]:
    """The text of each row of tokens, int (rows, length), up to the end of its sentence.

    A model may have more outputs than a small vocabulary has pieces: what is none is unknown.
    """
    ends = {PAD, processor.eos_id()}
    rows = []
    pieces = processor.get_piece_size()
    for row in np.where(np.asarray(tokens) < pieces, tokens, processor.unk_id()).tolist():
        stop = next((place for place, token in enumerate(row) if token in ends), len(row))
        rows.append(row[:stop])
    return processor.decode(rows)
