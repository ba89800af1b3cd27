from dataclasses import replace

import numpy as np
import pytest

from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.spec import Split
from tests.real_files import Silent
from tests.small_data import UTTERANCES, chapter, librispeech_files, shrunk, spoken, tone
from workloads.datasets.librispeech import SAMPLES, detokenize


@pytest.fixture
def root(tmp_path):
    librispeech_files(tmp_path)
    return tmp_path


@pytest.fixture
def dataset(root):
    return shrunk("librispeech", root, UTTERANCES)


def test_speech_and_text_come_padded(dataset, prepared, evaluated):
    batch = evaluated(prepared(dataset))
    for row, number in enumerate([6, 7, 8, 9]):
        # 16-bit files: off by half of 1/32768 at most.
        np.testing.assert_allclose(batch["inputs"][row, :4000], tone(number), atol=2e-5)
    assert not batch["inputs"][:, 4000:].any()
    assert batch["input_paddings"].sum(axis=1).tolist() == [SAMPLES - 4000] * 4
    assert not batch["input_paddings"][:, :4000].any()
    used = (batch["targets"] > 0).sum(axis=1)
    assert (batch["target_paddings"].sum(axis=1) == 256 - used).all()
    assert ((batch["targets"] > 0) == (batch["target_paddings"] == 0)).all()
    assert detokenize(batch["targets"], dataset) == [spoken(number) for number in (6, 7, 8, 9)]


def test_wav_files_are_read_alike(dataset, prepared, evaluated):
    batch = evaluated(prepared(dataset), Split.TEST, 2)
    # 16 bits, cut off: off by less than 1/32768.
    np.testing.assert_allclose(batch["inputs"][1, :4000], tone(19), atol=3.1e-5)


def test_training_goes_on_from_any_step(dataset, prepared, check_stream):
    batches = check_stream(prepared(dataset), 2)
    # Three batches of two are an epoch: six different utterances.
    assert len({row.tobytes() for b in batches[:3] for row in np.asarray(b["inputs"])}) == 6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"samples": SAMPLES + 1}, "longer than 320,000 samples left out"),
        ({"text": "FOX " * 65}, "of more than 256 letters left out"),
        ({"text": ""}, "empty utterances left out"),
    ],
)
def test_what_is_left_out_is_counted(dataset, root, prepared, changes, reason):
    chapter(root, "train-clean-100", 77, [0, 1, 2], **changes)
    counted = {"train": 9, "validation": 4, "test": 2}
    dataset = replace(dataset, preparation=replace(dataset.preparation, source=counted))
    prepared(dataset)
    (line,) = prepare.report(dataset)
    assert line.startswith(("train: 3 utterances", "train: 3 empty"))
    assert line.endswith(reason)
    assert dataset.sizes[Split.TRAIN] == 6


def test_the_longest_utterance_allowed_is_kept(dataset, root, prepared):
    chapter(root, "train-clean-100", 77, [0], samples=SAMPLES)
    whole = {**UTTERANCES, Split.TRAIN: 7}
    assert prepared(shrunk("librispeech", root, whole)).sizes[Split.TRAIN] == 7


def test_another_number_than_published_is_reported_but_is_no_fault(dataset, prepared):
    prepared(dataset)
    other = replace(dataset, published={**UTTERANCES, Split.TEST: 3})
    assert other.missing() is None
    assert prepare.report(other) == ["the test split has 2 examples, 3 are published"]


def test_an_interrupted_preparation_keeps_its_vocabulary(dataset, root):
    bad = next((root / "librispeech/LibriSpeech/test-clean").rglob("*.wav"))
    whole = bad.read_bytes()
    bad.write_bytes(whole[:20])
    with pytest.raises(UserError, match=r"9-1-0018.wav cannot be read"):
        prepare.prepare(dataset, Silent())
    folder = root / "librispeech/prepared"
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
    bad.write_bytes(whole)
    prepare.prepare(dataset, Silent())
    for name in ("vocabulary.model", "train-0000.array_record"):
        assert (folder / name).stat().st_mtime_ns == kept[name]


def test_a_truncated_recording_is_named(dataset, root):
    path = next((root / "librispeech/LibriSpeech/dev-clean").rglob("*.flac"))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match=rf"{path.name} (is truncated|cannot be read)"):
        prepare.prepare(dataset, Silent())


def test_a_missing_recording_is_named(dataset, root):
    next((root / "librispeech/LibriSpeech/dev-clean").rglob("*.flac")).unlink()
    with pytest.raises(UserError, match=r"3-1.trans.txt names 3-1-000\d, but there is no 3-1-000"):
        prepare.prepare(dataset, Silent())


def test_another_sampling_rate_is_refused(dataset, root):
    chapter(root, "train-clean-100", 77, [0], rate=8000)
    with pytest.raises(UserError, match=r"77-1-0000.flac has 1 channel\(s\) at 8000 Hz"):
        prepare.prepare(dataset, Silent())


def test_a_transcript_in_another_encoding_is_refused(dataset, root):
    place = chapter(root, "train-clean-100", 77, [0])
    (place / "77-1.trans.txt").write_bytes("77-1-0000 CAFÉ".encode("latin-1"))
    with pytest.raises(UserError, match=r"77-1.trans.txt is not UTF-8"):
        prepare.prepare(dataset, Silent())


def test_all_missing_folders_are_named(dataset, root):
    for folder in ("dev-other", "train-clean-360"):
        next((root / "librispeech/LibriSpeech" / folder).glob("*/*/*.trans.txt")).unlink()
    with pytest.raises(UserError, match=r"(?s)no transcripts.*/train-clean-360\n.*/dev-other"):
        prepare.prepare(dataset, Silent())
