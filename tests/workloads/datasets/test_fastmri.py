import h5py
import numpy as np
import pytest
from scipy import fft

from algoperf.errors import UserError
from algoperf.inputs import prepare
from algoperf.spec import Split
from tests.real_files import Silent
from tests.small_data import WIDTH, fastmri_files, middle, scan, small_fastmri, volume
from workloads.datasets.fastmri import mask, zero_filled


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    fastmri_files(root)
    return root


@pytest.fixture
def dataset(root):
    return small_fastmri(root)


def test_all_of_kspace_gives_the_image_back():
    kspace = fft.fftshift(fft.fft2(fft.ifftshift(scan(3)), norm="ortho")).astype(np.complex64)
    found = zero_filled(kspace, np.ones(WIDTH, bool))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, middle(scan(3)), atol=1e-5)


def test_a_quarter_of_the_columns_is_kept_and_the_middle_always():
    # 8 % of 368 are 29 columns; of the other 339 each is kept with (92 - 29) / 339 = 0.186.
    masks = np.stack([mask(368, np.random.default_rng(seed)) for seed in range(400)])
    assert masks[:, 170:199].all()
    assert not masks[:, :170].all(axis=0).any()
    # 400 x 339 draws: the mean's deviation is 0.001.
    rest = np.delete(masks, np.s_[170:199], axis=1)
    assert rest.mean() == pytest.approx(63 / 339, abs=0.004)
    assert masks.mean() == pytest.approx(1 / 4, abs=0.004)


def test_input_and_target_are_normalised_alike(dataset, prepared, evaluated):
    batch = evaluated(prepared(dataset), Split.TEST)
    assert batch["weights"].tolist() == [1, 1, 1, 1]
    for row, number in enumerate([2, 3, 4, 5]):
        kspace = fft.fftshift(fft.fft2(fft.ifftshift(scan(number)), norm="ortho"))
        under = zero_filled(kspace, mask(WIDTH, np.random.default_rng(0)))
        mean, deviation = under.mean(), under.std()
        assert batch["mean"][row] == pytest.approx(mean, rel=1e-4)
        assert batch["std"][row] == pytest.approx(deviation, rel=1e-4)
        for name, pixels in (("inputs", under), ("targets", middle(scan(number)))):
            expected = np.clip((pixels - mean) / deviation, -6, 6)
            np.testing.assert_allclose(batch[name][row], expected, atol=2e-3)
    # Volumes hold two slices each, and the second is the brighter.
    assert batch["volume_max"].tolist() == [4, 4, 6, 6]


def test_training_draws_masks_by_seed_and_place(dataset, prepared, check_stream):
    batches = check_stream(prepared(dataset), 2)
    # Two batches are an epoch: the same slices come again under other masks.
    once, again = (np.concatenate([b["mean"] for b in batches[s : s + 2]]) for s in (0, 2))
    assert not set(once.tolist()) & set(again.tolist())
    targets = {round(float(peak)) for b in batches[:2] for peak in b["volume_max"]}
    assert targets == {2, 4}


def test_the_validation_volumes_are_the_first_of_the_sorted_ones(dataset, prepared, evaluated):
    assert evaluated(prepared(dataset), Split.VALIDATION, 2)["volume_max"].tolist() == [2, 2]


@pytest.mark.parametrize("keep", [0, 3000])
def test_a_truncated_volume_is_named(dataset, tmp_path, root, keep):
    whole = (root / "fastmri/knee_singlecoil_train/file1.h5").read_bytes()
    volume(tmp_path / "fastmri/knee_singlecoil_val/a.h5", [0])
    bad = tmp_path / "fastmri/knee_singlecoil_train/file1.h5"
    bad.parent.mkdir()
    bad.write_bytes(whole[:keep])
    with pytest.raises(UserError, match=r"file1.h5 is not a single-coil volume of fastMRI, or dam"):
        prepare.prepare(small_fastmri(tmp_path), Silent())


def test_a_multi_coil_volume_is_refused(tmp_path):
    volume(tmp_path / "fastmri/knee_singlecoil_val/a.h5", [0])
    bad = tmp_path / "fastmri/knee_singlecoil_train/file1.h5"
    bad.parent.mkdir()
    with h5py.File(bad, "w") as file:
        file["kspace"] = np.zeros((2, 15, 330, 330), np.complex64)
        file["reconstruction_esc"] = np.zeros((2, 320, 320), np.float32)
    with pytest.raises(UserError, match=r"file1.h5: kspace is complex64\(2, 15, 330, 330\)"):
        prepare.prepare(small_fastmri(tmp_path), Silent())


def test_without_files_it_says_where_it_looked(tmp_path):
    with pytest.raises(UserError, match=r"no volume of fastMRI in .*knee_singlecoil_train \(\*.h5"):
        prepare.prepare(small_fastmri(tmp_path), Silent())
