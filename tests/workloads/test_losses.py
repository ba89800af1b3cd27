"""Hand-worked values; ln 2 = 0.6931, softplus(1) = 1.3133, softplus(-1) = 0.3133."""

import math
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from workloads import losses
from workloads.metrics.perplexity import perplexity

LOG2 = math.log(2)


def array(values) -> np.ndarray:
    return np.array(values, np.float32)


def test_mixed_classes_are_weighed_by_their_shares():
    logits = array([[0, 0], [2, 0]])
    numbers = losses.softmax_cross_entropy(logits, {"targets": np.array([0, 1])})
    shares = losses.softmax_cross_entropy(logits, {"targets": array([[1, 0], [0, 1]])})
    assert shares.total == pytest.approx(numbers.total)
    half = losses.softmax_cross_entropy(logits, {"targets": array([[0.5, 0.5], [0.5, 0.5]])})
    # log(e^2 + 1) minus the mean logit, 1.
    assert half.total.tolist() == pytest.approx([LOG2, math.log(math.e**2 + 1) - 1])


@pytest.mark.parametrize("smoothing", [0.3, jnp.float32(0.3)], ids=["number", "array"])
def test_label_smoothing_spreads_some_of_the_target(smoothing):
    """Of three classes the right one keeps 1 - 0.3 + 0.3 / 3 = 0.8, the others get 0.1 each.

    With logits (2, 0, 0), log sum exp = log(e^2 + 2) = 2.2395: minus the logits, 0.2395 and twice
    2.2395.
    """
    logits, batch = array([[2, 0, 0]]), {"targets": np.array([0])}
    by_hand = 0.8 * 0.2395 + 0.1 * 2 * 2.2395
    smoothed = partial(losses.softmax_cross_entropy, label_smoothing=smoothing)
    assert smoothed(logits, batch).total == pytest.approx(by_hand, abs=1e-4)
    mixed = smoothed(logits, {"targets": array([[1, 0, 0]])})
    assert mixed.total == pytest.approx(by_hand, abs=1e-4)
    tokens = {"targets": np.array([[1, 0]]), "token_weights": array([[1, 0]])}
    found = losses.token_cross_entropy(
        array([[[0, 2, 0], [9, 9, 9]]]), tokens, label_smoothing=smoothing
    )
    assert found.total == pytest.approx(by_hand, abs=1e-4)
    assert found.weight == 1


def test_label_smoothing_of_yes_and_no_is_that_of_the_reference():
    """With two labels and 0.2, yes becomes 0.8 + 0.1 = 0.9, no becomes 0.1; the logits are 1.

    The loss of a target y is softplus(1) - y, for a logit of 1.
    """
    batch = {"targets": array([[1, 0]]), "target_weights": array([[1, 1]])}
    found = losses.known_label_cross_entropy(array([[1, 1]]), batch, label_smoothing=0.2)
    assert found.total.tolist() == pytest.approx([2 * 1.3133 - 0.9 - 0.1], abs=1e-3)


def test_a_smoothing_of_zero_changes_no_bit():
    logits = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    batch = {"targets": np.arange(8) % 5}
    plain = losses.softmax_cross_entropy(logits, batch).total
    zero = losses.softmax_cross_entropy(logits, batch, label_smoothing=jnp.float32(0)).total
    assert plain.tolist() == zero.tolist()


def test_unknown_labels_do_not_count():
    batch = {
        "targets": array([[1, 0, 0], [1, 1, 0]]),
        "target_weights": array([[1, 1, 0], [1, 0, 0]]),
        "weights": array([1, 0]),
    }
    logits = array([[1, 1, 9], [np.nan, 0, 0]])
    found = losses.known_label_cross_entropy(logits, batch)
    assert found.total.tolist() == pytest.approx([0.3133 + 1.3133, 0], abs=1e-4)
    assert found.weight.tolist() == [2, 0]
    assert losses.known_label_accuracy(logits, batch).total.tolist() == [1, 0]


def test_sigmoid_and_absolute_error():
    clicks = losses.sigmoid_cross_entropy(array([0, 1]), {"targets": array([1, 0])})
    assert clicks.total.tolist() == pytest.approx([LOG2, 1.3133], abs=1e-4)
    images = {"targets": np.zeros((2, 2, 2), np.float32), "weights": array([1, 0])}
    error = losses.absolute_error(array([[[1, -1], [2, 0]]] * 2), images)
    assert error.total.tolist() == [1, 0]


def test_tokens_that_are_padding_do_not_count():
    logits = jnp.zeros((2, 3, 4))
    batch = {"targets": np.array([[1, 2, 0], [3, 0, 0]]), "weights": array([1, 1])}
    found = losses.token_cross_entropy(logits, batch)
    assert found.total.tolist() == pytest.approx([4 * LOG2, 2 * LOG2])
    assert found.weight.tolist() == [2, 1]
    # Where token 0 is a word like others, the batch says so.
    own = losses.token_cross_entropy(logits, {**batch, "token_weights": np.ones((2, 3), "f4")})
    assert own.weight.tolist() == [3, 3]
    assert losses.token_cross_entropy(logits, batch, padded=False).weight.tolist() == [3, 3]
    # The largest logit of equals is the first, token 0.
    right = losses.token_accuracy(logits, batch, padded=False)
    assert right.total.tolist() == [1, 2]


def test_perplexity_of_a_guess_is_the_number_of_words():
    batch = {"targets": np.array([[0, 2, 3]])}
    part = perplexity.reduce(perplexity.per_example(jnp.zeros((1, 3, 7)), batch))
    assert perplexity.finish(perplexity.combine([part, part])) == pytest.approx(7.0)
    much = losses.SumCount(np.float32(5e4), np.float32(1.0))
    assert perplexity.finish(much) == math.inf


def test_ctc_of_two_frames_and_one_token():
    # Probabilities: blank 1/2, token 1/2. "a": paths aa, a-, -a: 3/4.
    logits = jnp.zeros((1, 3, 2))
    paddings = array([[0, 0, 1]])
    batch = {"targets": np.array([[1, 0]]), "target_paddings": array([[0, 1]])}
    found = losses.ctc((logits, paddings), batch)
    assert found.total.tolist() == pytest.approx([-math.log(3 / 4)], abs=1e-4)
    assert found.weight.tolist() == [1]


def test_ctc_is_a_mean_over_tokens():
    logits = jnp.zeros((2, 8, 3))
    targets = np.array([[1, 2, 1], [2, 0, 0]])
    batch = {"targets": targets, "target_paddings": (targets == 0).astype(np.float32)}
    found = losses.ctc((logits, jnp.zeros((2, 8))), batch)
    each = optax.ctc_loss(logits, jnp.zeros((2, 8)), targets, batch["target_paddings"])
    assert float(found.mean) == pytest.approx(float(each.sum()) / 4)
