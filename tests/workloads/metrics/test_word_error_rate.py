import jax
import numpy as np
import pytest

from workloads.metrics.word_error_rate import best_path, word_error_rate

WORDS = " abcd"


def one_hot(*rows: str) -> np.ndarray:
    """Logits whose best tokens are these; '-' is the blank."""
    tokens = np.array([["-abcd".index(letter) for letter in row] for row in rows])
    return np.eye(5, dtype=np.float32)[tokens]


def detokenize(rows) -> list[str]:
    return [" ".join(WORDS[token] for token in row if token) for row in rows]


def test_repetitions_merge_unless_a_blank_lies_between():
    logits = one_hot("aab--bb-", "-cc-ddaa")
    paddings = np.array([[0] * 8, [0] * 6 + [1] * 2], np.float32)
    found = best_path(logits, paddings)
    assert found.tolist() == [[1, 2, 2, 0, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0, 0, 0]]


def test_errors_are_counted_over_the_corpus_and_without_padding():
    # a b / a b c: one missing of 3. d d / d: one too much, of 1. The third row is padding.
    # 2 errors over 4 words; a mean of the utterances' rates would be 2/3.
    logits = one_hot("a-b-", "d-d-", "cccc")
    batch = {
        "targets": np.array([[1, 2, 3], [4, 9, 9], [1, 1, 1]], np.int32),
        "target_paddings": np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]], np.float32),
        "weights": np.array([1, 1, 0], np.float32),
    }
    metric = word_error_rate(detokenize)
    paddings = np.zeros((3, 4), np.float32)
    part = metric.reduce(metric.per_example((logits, paddings), batch))
    assert metric.finish(metric.combine([jax.device_get(part)])) == pytest.approx(0.5)


def test_nothing_said_is_every_word_missed():
    metric = word_error_rate(detokenize)
    batch = {
        "targets": np.array([[1, 2]], np.int32),
        "target_paddings": np.zeros((1, 2), np.float32),
    }
    part = metric.per_example((one_hot("----"), np.zeros((1, 4), np.float32)), batch)
    assert metric.finish(metric.combine([jax.device_get(part)])) == 1.0
