import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from algoperf.errors import UserError
from algoperf.spec import Split
from tests import small_data
from tests.real_files import encoded, image_folder
from tests.small_data import IMAGES, pieced, shrunk
from workloads.datasets import imagenet as imagenet_module
from workloads.datasets.imagenet import middle_box, random_box
from workloads.datasets.images import decoded
from workloads.datasets.randaugment import OPERATIONS, rand_augment


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def mnist_images(root):
    return small_data.mnist_images(root)


@pytest.fixture(scope="module")
def cifar_images(root):
    return small_data.cifar_images(root)


@pytest.fixture(scope="module")
def imagenet_root(root):
    small_data.imagenet_images(root)
    return root


def test_mnist_is_read_in_order_normalised_and_padded(root, mnist_images, evaluated):
    batch = evaluated(pieced("mnist", root), Split.VALIDATION, 4)
    # Five examples on batches of four: three rows of padding, copies of the last.
    assert batch["weights"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert batch["targets"].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    expected = (mnist_images["train"][10:] / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(batch["inputs"][:5], expected, atol=1e-5)


def test_training_sees_every_image_once_an_epoch(root, mnist_images):
    stream = pieced("mnist", root).training(4, seed=1)
    drawn = np.concatenate([next(stream)["targets"] for _ in range(5)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


@pytest.mark.parametrize("position", [0, 1, 2, 5])
def test_a_stream_goes_on_from_any_position_bit_for_bit(imagenet_root, position):
    """Crops, distortions and mixing included."""
    dataset = shrunk("imagenet_mixup", imagenet_root, IMAGES)
    whole = dataset.training(4, seed=3)
    batches = [next(whole) for _ in range(7)]
    resumed = dataset.training(4, seed=3, position=position)
    assert resumed.position() == position
    for batch in itertools.islice(batches, position, None):
        again = next(resumed)
        assert all(np.array_equal(batch[name], again[name]) for name in batch)
    assert resumed.position() == 7
    other = next(dataset.training(4, seed=4))
    assert not np.array_equal(other["inputs"], batches[0]["inputs"])


def test_cifar_training_images_are_crops_of_the_padded_image(root, cifar_images):
    """Each is found among the 81 x 2 views of its own image: label and image stay together."""
    dataset = replace(pieced("cifar", root), finish=None)
    batch = next(dataset.training(10, seed=0))
    shifts = set()
    for image, label in zip(np.asarray(batch["inputs"]), batch["targets"].tolist(), strict=True):
        wide = np.pad(cifar_images["train"][label], ((4, 4), (4, 4), (0, 0)))
        views = {
            (y, x, flip): wide[y : y + 32, x : x + 32][:, :: -1 if flip else 1]
            for y, x, flip in itertools.product(range(9), range(9), (False, True))
        }
        (found,) = [place for place, view in views.items() if np.array_equal(view, image)]
        shifts.add(found)
    assert len(shifts) > 5


@pytest.mark.parametrize(("width", "height"), [(500, 375), (224, 224), (90, 70), (30, 900)])
def test_random_boxes_lie_inside_and_are_large_enough(width, height):
    rng = np.random.default_rng(0)
    for _ in range(200):
        left, top, right, bottom = random_box(width, height, rng)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        wide, high = right - left, bottom - top
        if (wide, high) != (min(width, height),) * 2:  # not the middle square
            assert 0.07 <= wide * high / (width * height) <= 1
            assert 0.7 <= wide / high <= 1.4


def test_evaluation_takes_224_of_256_pixels():
    # 512 x 256: the shorter side is 256, so the middle 224 x 224: from 144 to 368, from 16 to 240.
    assert middle_box(512, 256, 224 / 256) == (144, 16, 368, 240)


def test_a_grey_middle_stays_grey():
    image = np.full((256, 512, 3), 77, np.uint8)
    image[:, :144] = image[:, 368:] = 255
    resized = imagenet_module._resized(Image.fromarray(image), middle_box(512, 256, 224 / 256))
    assert np.abs(np.asarray(resized).astype(int) - 77)[:, 4:-4].max() == 0


def test_mixup_blends_pairs_and_their_classes(imagenet_root):
    batch = next(shrunk("imagenet_mixup", imagenet_root, IMAGES).training(4, seed=0))
    targets = np.asarray(batch["targets"])
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    # Rows 0 and 3 are mixed with each other, by the same share: together they are both classes.
    np.testing.assert_allclose((targets[0] + targets[3]).max(), 1, rtol=1e-6)


def test_every_operation_of_randaugment_but_three_changes_an_image():
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 200, (24, 24, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    changed = [not np.array_equal(operation(image, 1.0, 1), pixels) for operation in OPERATIONS]
    # Identity, and Solarize at full strength, whose threshold is then above every pixel.
    assert [place for place, change in enumerate(changed) if not change] == [0, 4]
    assert np.array_equal(
        rand_augment(image, np.random.default_rng(5), 2, 10),
        rand_augment(image, np.random.default_rng(5), 2, 10),
    )


def test_brightness_at_full_strength_is_a_factor_of_1_9():
    image = Image.fromarray(np.full((4, 4, 3), 100, np.uint8))
    assert np.asarray(OPERATIONS[8](image, 1.0, 1))[0, 0].tolist() == [190, 190, 190]


def test_train_metrics_are_taken_on_the_same_images_each_time(root, mnist_images, evaluated):
    dataset = pieced("mnist", root)
    assert dataset.sizes == {**IMAGES, Split.EVAL_TRAIN: 5}
    one, again = (evaluated(dataset, Split.EVAL_TRAIN, 8) for _ in range(2))
    assert one["targets"].tolist() == again["targets"].tolist()
    assert one["weights"].sum() == 5


def test_a_label_out_of_range_is_refused_by_number(root, evaluated):
    image_folder(root / "odd", "mnist", "3.0.1", (28, 28, 1), {"train": 15, "test": 4}, classes=12)
    dataset = replace(pieced("mnist", root / "odd"))
    with pytest.raises(UserError, match="'mnist' has the label 10; labels run from 0 to 9"):
        evaluated(dataset, Split.VALIDATION, 5)


def test_a_batch_larger_than_the_split_is_refused(root, mnist_images):
    with pytest.raises(UserError, match="batch size 12 is larger than the 10 training examples"):
        pieced("mnist", root).training(12, seed=0)


def test_an_image_that_is_cut_off_is_told():
    whole = encoded(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8), "JPEG")
    with pytest.raises(UserError, match=r"An image of 500 bytes cannot be decoded"):
        decoded(whole.getvalue()[:500], "RGB")
