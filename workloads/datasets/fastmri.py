"""fastMRI: slices of single-coil knee scans, to be reconstructed from a quarter of their k-space.

Source: Zbontar et al. 2018, arXiv:1811.08839. The publisher's training volumes are for training; of
the sorted validation volumes the first 100 are the validation split and the others the test split.

Columns of k-space are kept at random (acceleration 4, the middle 8 % always; section 4.9 there);
the inverse Fourier transform's middle 320 x 320 pixels, as magnitudes, are the input. Input and
target are normalised by the input's mean and deviation, and clipped to [-6, 6].
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft

from algoperf.errors import UserError
from algoperf.inputs.batches import Arrays, rows_of
from algoperf.inputs.conversion import Converted, Job, Kept, Preparation, Tell, files_of
from algoperf.inputs.dataset import Part, RecordDataset
from algoperf.inputs.encoding import from_bytes, to_bytes
from algoperf.inputs.extra import require
from algoperf.inputs.stores import PreparedStore
from algoperf.spec import Split

SIDE = 320
ACCELERATION = 4
CENTRE = 0.08
CLIP = 6.0
VALIDATION_VOLUMES = 100
VOLUMES_PER_SHARD = 16
_EVAL_MASK_SEED = 0
_TINY = 1e-11


def mask(width: int, rng: np.random.Generator) -> np.ndarray:
    """Which columns of k-space are kept, bool (width,): the middle ones, and others at random."""
    middle = round(width * CENTRE)
    kept = rng.uniform(size=width) < (width / ACCELERATION - middle) / (width - middle)
    start = (width - middle + 1) // 2
    kept[start : start + middle] = True
    return kept


def zero_filled(kspace: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The image that k-space gives without the columns left out, float32 (320, 320).

    Args:
        kspace: complex64 (height, width), zero frequency in the middle.
        kept: bool (width,).
    """
    image = fft.fftshift(fft.ifft2(fft.ifftshift(kspace * kept), norm="ortho"))
    top, left = ((side - SIDE) // 2 for side in image.shape)
    return np.abs(image[top : top + SIDE, left : left + SIDE]).astype(np.float32)


def _example(record: Any, rng: np.random.Generator | None) -> Arrays:
    kspace, target = record["kspace"], record["target"]
    if rng is None:  # the same mask for all slices of a width, each time
        rng = np.random.default_rng(_EVAL_MASK_SEED)
    image = zero_filled(kspace, mask(kspace.shape[1], rng))
    mean, deviation = image.mean(), image.std() + np.float32(_TINY)
    return {
        "inputs": np.clip((image - mean) / deviation, -CLIP, CLIP),
        "targets": np.clip((target - mean) / deviation, -CLIP, CLIP),
        "mean": np.asarray(mean),
        "std": np.asarray(deviation),
        "volume_max": np.asarray(record["volume_max"], np.float32),
    }


def _spec(batch_size: int) -> Any:
    image, number = (batch_size, SIDE, SIDE), (batch_size,)
    return {
        "inputs": (image, np.float32),
        "targets": (image, np.float32),
        "mean": (number, np.float32),
        "std": (number, np.float32),
        "volume_max": (number, np.float32),
    }


def _slices(volumes: Sequence[Path]) -> Converted:
    h5py = require("h5py")
    for path in volumes:
        try:
            with h5py.File(path, "r") as file:
                yield from _slices_of(path, file)
        except (OSError, KeyError, RuntimeError) as error:
            raise UserError(
                f"{path} is not a single-coil volume of fastMRI, or damaged: {error}. Copy it anew."
            ) from error


def _slices_of(path: Path, file: Any) -> Iterator[Kept]:
    kspace, targets = file["kspace"], file["reconstruction_esc"]
    if (
        kspace.ndim != 3
        or min(kspace.shape[1:]) < SIDE
        or targets.shape != (len(kspace), SIDE, SIDE)
        or not np.issubdtype(kspace.dtype, np.complexfloating)
    ):
        raise UserError(
            f"{path}: kspace is {kspace.dtype}{kspace.shape}, reconstruction_esc {targets.shape}; "
            f"complex (slices, at least {SIDE}, at least {SIDE}) and (slices, {SIDE}, {SIDE}) are "
            "needed."
        )
    largest = float(file.attrs["max"])
    for place in range(len(kspace)):
        record = {
            "kspace": kspace[place].astype(np.complex64),
            "target": targets[place].astype(np.float32),
            "volume_max": largest,
        }
        yield Kept(to_bytes(record))


def plan(root: Path, validation_volumes: int) -> list[Job]:
    """A shard for every few volumes."""
    train, held_out = (
        files_of(root / "fastmri" / f"knee_singlecoil_{part}", "*.h5", "volume of fastMRI")
        for part in ("train", "val")
    )
    parts = {
        "train": train,
        "validation": held_out[:validation_volumes],
        "test": held_out[validation_volumes:],
    }
    return [
        Job(
            f"{part}-{start // VOLUMES_PER_SHARD:04d}",
            part,
            volumes[start : start + VOLUMES_PER_SHARD],
            partial(_slices, volumes[start : start + VOLUMES_PER_SHARD]),
        )
        for part, volumes in parts.items()
        for start in range(0, len(volumes), VOLUMES_PER_SHARD)
    ]


def _plan(root: Path, _: Path, __: Tell) -> list[Job]:
    return plan(root, VALIDATION_VOLUMES)


_STORE = PreparedStore("fastmri", from_bytes)
_PUBLISHED = {Split.TRAIN: 34_742, Split.VALIDATION: 3_554, Split.TEST: 3_581}

fastmri = RecordDataset(
    name="fastmri",
    published=_PUBLISHED,
    parts={split: Part(_STORE, str(split)) for split in _PUBLISHED},
    batching=rows_of(_example),
    spec=_spec,
    packages=("grain", "array_record", "h5py"),
    instructions=(
        "fastmri/knee_singlecoil_train/*.h5 and fastmri/knee_singlecoil_val/*.h5: the files of\n"
        "knee_singlecoil_train.tar.xz and knee_singlecoil_val.tar.xz from https://fastmri.med.nyu.edu"
    ),
    preparation=Preparation(_STORE, _plan, {str(part): n for part, n in _PUBLISHED.items()}),
)
"""Inputs and targets float32 (batch, 320, 320); mean, std and volume_max float32 (batch,)."""
