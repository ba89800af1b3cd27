import jax
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.models import speech
from workloads.models.logmel_statistics import MEAN, STANDARD_DEVIATION


def features(audio: np.ndarray, paddings: np.ndarray | None = None):
    batch = np.atleast_2d(audio).astype(np.float32)
    paddings = np.zeros_like(batch) if paddings is None else paddings
    return [np.asarray(x) for x in speech.log_mel(batch, paddings)]


def energies(found: np.ndarray) -> np.ndarray:
    return np.exp(found * STANDARD_DEVIATION + MEAN)


def test_a_frame_is_what_scipy_makes_of_it():
    """One frame, by hand: pre-emphasis, periodic Hann window, 512 points, filters, floor, log."""
    audio = np.random.default_rng(0).uniform(-1, 1, 400)
    emphasised = scipy.signal.lfilter([1, -0.97], [1], audio)
    emphasised[0] = 0.03 * audio[0]
    window = scipy.signal.get_window("hann", 400, fftbins=True)
    spectrum = np.abs(np.fft.rfft(emphasised * window, 512)) ** 2
    expected = np.log(np.maximum(spectrum @ speech.mel_filters(), 1e-5))
    found, paddings = features(audio)
    assert found.shape == (1, 1, 80)
    assert paddings.tolist() == [[0]]
    np.testing.assert_allclose(found[0, 0] * STANDARD_DEVIATION + MEAN, expected, atol=1e-3)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_a_tone_is_loudest_in_the_bin_that_is_nearest(hertz):
    audio = np.sin(2 * np.pi * hertz * np.arange(1600) / speech.SAMPLE_RATE_HZ)
    found, _ = features(audio)
    edges = np.linspace(*(1127 * np.log1p(np.array([125, 7600]) / 700)), 82)
    centres = 700 * np.expm1(edges[1:-1] / 1127)
    loudest = energies(found)[0].argmax(axis=-1)
    assert np.abs(loudest - np.abs(centres - hertz).argmin()).max() <= 1


def test_filters_overlap_to_one_between_the_first_and_the_last_centre():
    filters = speech.mel_filters()
    inside = (filters.cumsum(axis=1)[:, -1] > 0)[:, None] & (filters >= 0)
    assert inside.any()
    places = np.arange(257) * 16_000 / 512
    middle = (places > 160) & (places < 7300)
    np.testing.assert_allclose(filters[middle].sum(axis=1), 1.0, atol=1e-5)
    assert not filters[0].any()


def test_silence_is_at_the_floor_and_padding_is_zero():
    audio = np.zeros((1, 1600))
    paddings = (np.arange(1600) >= 800).astype(np.float32)[None]
    found, frames = features(audio, paddings)
    # (1600 - 400) / 160 + 1 = 8 frames, of which those from sample 800 on, the 5th on, are padding.
    assert frames.tolist() == [[0] * 5 + [1] * 3]
    np.testing.assert_allclose(energies(found)[0, :5], 1e-5, rtol=1e-3)
    assert not found[0, 5:].any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_what_is_hidden_is_within_the_limits(seed):
    """100 frames of 20 bins, of the second utterance 40 frames."""
    how = speech.SpecAugment(bands=1, band_bins=5, stretches=2, stretch_frames=7, stretch_share=0.1)
    paddings = (np.arange(100) >= np.array([[100], [40]])).astype(np.float32)
    shown = np.asarray(
        speech.hide(how, np.ones((2, 100, 20), np.float32), paddings, jax.random.key(seed))
    )
    frames = ~shown.any(axis=2)
    bands = ~shown.any(axis=1)
    assert bands.sum(axis=1).max() <= 5
    # A stretch is at most 7 frames, or a tenth of the utterance: 4.
    assert frames[0].sum() <= 14
    assert frames[1].sum() <= 8
    assert not frames[1, 40:].any()
    # Nothing else is hidden.
    assert ((shown == 0) == (frames[:, :, None] | bands[:, None, :])).all()


def test_what_is_hidden_differs_from_utterance_to_utterance():
    how = speech.SpecAugment()
    ones, paddings = np.ones((2, 200, 80), np.float32), np.zeros((2, 200), np.float32)
    shown = np.asarray(speech.hide(how, ones, paddings, jax.random.key(0)))
    assert (shown[0] != shown[1]).any()
    assert 0.3 < shown.mean() < 0.99
