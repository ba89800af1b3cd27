"""A checkpoint's file is read as it was written, or not at all."""

from typing import Any

import numpy as np

from algoperf import checkpoint_files
from algoperf.checkpoint_files import Unusable


def test_a_flipped_bit_anywhere_is_seen_or_does_not_matter(tmp_path):
    arrays = {"0": np.arange(10), "1": np.asarray(1 / 3)}
    checkpoint_files.write(tmp_path, arrays, {"step": 10, "submission_s": 1.0, "files": {}})
    path = tmp_path / "checkpoint_10.npz"
    data = path.read_bytes()

    def read(changed: bytes) -> Any:
        path.write_bytes(changed)
        arrays, facts = checkpoint_files.read(path)
        return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}, facts

    wanted = read(data)
    seen = 0
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            found = read(bytes(changed))
        except Unusable:
            seen += 1
        else:
            assert found == wanted  # a time stamp, say
    assert seen > 0.7 * len(data)
