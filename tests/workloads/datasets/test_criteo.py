import gzip
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.spec import Split
from tests.real_files import Silent
from tests.small_data import CLICKS, ROWS, clicks, criteo_files, small_criteo
from workloads.datasets.criteo import BLOCK, TABLE, hashed


@pytest.fixture
def root(tmp_path):
    criteo_files(tmp_path)
    return tmp_path


@pytest.fixture
def dataset(root):
    return small_criteo(root)


def numbers(batch):
    """Day and row of each row, from its first count: exp(log(n + 1)) - 1."""
    return [round(math.expm1(x)) for x in np.asarray(batch["inputs"])[:, 0]]


def test_rows_become_logs_and_indices(dataset, prepared, evaluated):
    batch = evaluated(prepared(dataset))
    assert batch["inputs"].shape == (2, 39)
    row = batch["inputs"][0]
    # Day 23: rows 0 to 2 are for test, so the first of validation is row 3. A missing count and a
    # negative one are log(0 + 1) = 0, seven is log 8.
    assert row[:4] == pytest.approx([math.log(2303 + 1), 0, 0, math.log(8)], rel=1e-6)
    values = np.array([[1 << 32, 10, *[23003] * 24]], np.uint64)
    assert row[13:].tolist() == hashed(values)[0].tolist()
    assert batch["targets"].tolist() == [1, 0]
    assert numbers(evaluated(dataset, Split.TEST)) == [2300, 2301, 2302, 2302]


@given(st.lists(st.integers(0, 2**32), min_size=26, max_size=26))
def test_indices_lie_in_the_table_and_depend_on_the_column(values):
    (found,) = hashed(np.array([values], np.uint64))
    assert ((found >= 0) & (found < TABLE)).all()
    assert found.astype(np.float32).astype(np.int32).tolist() == found.tolist()
    (same,) = hashed(np.array([[values[0]] * 26], np.uint64))
    assert len(set(same.tolist())) > 20


def test_indices_fill_the_table_evenly():
    # 26 x 40,000 numbers in 16 equal parts of the table: 65,000 each, standard deviation 247.
    values = np.arange(40_000, dtype=np.uint64)[:, None] + np.zeros(26, np.uint64)
    counts = np.bincount(hashed(values).ravel() * 16 // TABLE, minlength=16)
    assert np.abs(counts - 65_000).max() < 5 * 247


def test_training_sees_every_row_once_an_epoch(dataset, prepared, check_stream):
    check_stream(prepared(dataset), 8)
    stream = dataset.training(10, seed=0)
    drawn = [n for _ in range(23) for n in numbers(next(stream))]
    everything = sorted(100 * day + row for day in range(23) for row in range(ROWS))
    assert sorted(drawn[:115]) == sorted(drawn[115:]) == everything
    assert drawn[:115] != drawn[115:]


def test_blocks_are_cut_at_their_size_and_at_the_end_of_a_file(root, prepared):
    clicks(root / "criteo1tb/day_7", 0, range(BLOCK + 3))
    counts = {**CLICKS, Split.TRAIN: 22 * ROWS + BLOCK + 3}
    dataset = small_criteo(root, counts)
    sizes = prepared(dataset).records(Split.TRAIN).sizes[:, 0].tolist()
    # Files are in the order of days: 0 to 6, then 7 with two records, then 8 to 22.
    assert sizes == [ROWS] * 7 + [BLOCK, 3] + [ROWS] * 15


def test_the_pieces_of_the_last_day(root, prepared, evaluated):
    folder = root / "criteo1tb"
    (folder / "day_23").unlink()
    for piece in range(36):
        clicks(folder / f"day_23_{piece:02d}", 23, [piece])
    counts = {**CLICKS, Split.TEST: 19, Split.VALIDATION: 17}
    dataset = prepared(small_criteo(root, counts))
    assert numbers(evaluated(dataset, Split.TEST, 19))[:19] == list(range(2300, 2319))
    assert numbers(evaluated(dataset, Split.VALIDATION, 17))[:17] == list(range(2319, 2336))


def test_gzipped_files_are_read(root, dataset, prepared):
    path = root / "criteo1tb/day_4"
    (root / "criteo1tb/day_4.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert prepared(dataset).sizes[Split.TRAIN] == 115


def test_a_stopped_preparation_goes_on(dataset, root):
    bad = root / "criteo1tb/day_9"
    whole = bad.read_text()
    bad.write_text(whole[:-30])
    with pytest.raises(UserError, match=r"day_9 is not a file of Criteo's.*truncated: .*40"):
        prepare.prepare(dataset, Silent())
    folder = root / "criteo1tb/prepared"
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.array_record")}
    assert len(kept) == 9
    assert dataset.missing() is not None
    bad.write_text(whole)
    prepare.prepare(dataset, Silent())
    again = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.array_record")}
    assert len(again) == 25
    assert kept.items() <= again.items()
    assert dataset.missing() is None


def test_a_source_that_changed_is_converted_anew(dataset, prepared, root, evaluated):
    prepared(dataset)
    clicks(root / "criteo1tb/day_23", 23, [10, 11, 12, 13, 14])
    (root / "criteo1tb/prepared/manifest.json").unlink()
    prepared(dataset)
    assert numbers(evaluated(dataset)) == [2313, 2314]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t7\t", "\tx\t", "invalid value 'x'"),
        ("0000000a", "0000000g", "the category '0000000g' is not a hexadecimal number"),
        ("0000000a", "é", "the category 'é' is not a hexadecimal number"),
        ("1\t501", "2\t501", "a label is 2 or missing; it must be 0 or 1"),
        ("1\t501", "\t501", "it must be 0 or 1"),
    ],
)
def test_bad_values_are_named(dataset, root, old, new, message):
    path = root / "criteo1tb/day_5"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=rf"day_5.*{message}"):
        prepare.prepare(dataset, Silent())


def test_another_encoding_is_refused(dataset, root):
    path = root / "criteo1tb/day_5"
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(UserError, match="day_5 is not a file of Criteo's logs"):
        prepare.prepare(dataset, Silent())


def test_missing_days_are_named(dataset, root):
    for day in (3, 17):
        (root / f"criteo1tb/day_{day}").unlink()
    with pytest.raises(UserError, match="lacks the days 3, 17"):
        prepare.prepare(dataset, Silent())


def test_too_few_rows_are_counted(dataset, root):
    path = root / "criteo1tb/day_5"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="the train files hold 114 examples, 115 were published"):
        prepare.prepare(dataset, Silent())
    assert not (root / "criteo1tb/prepared/manifest.json").exists()


def test_a_changed_shard_is_found_by_size_and_by_hash(dataset, prepared, root):
    prepared(dataset)
    path = root / "criteo1tb/prepared/train-day_3.array_record"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    assert f"{path} is truncated: {len(whole) - 1000} bytes of {len(whole)}" in dataset.missing()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert dataset.missing() is None
    assert prepare.check(dataset) == []
    (fault,) = prepare.check(dataset, hashes=True)
    assert f"{path} is damaged: its hash is not the recorded one" in fault
    with pytest.raises(UserError, match=r"train-day_3.array_record is damaged: record \d+ cannot"):
        dataset.records(Split.TRAIN).take(range(23))
