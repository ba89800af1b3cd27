"""What others wrote is read and removed, whatever it is."""

import os
import sys
from pathlib import Path

import pytest

from algoperf import disk


def nest(folder: Path, depth: int, then) -> None:
    """Folders in folders: deeper than Python calls itself, and than the system has a path for."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(depth):
            os.mkdir("folder")  # noqa: PTH102 - by its path it could not be named
            os.chdir("folder")
        then()
    finally:
        os.chdir(here)


def test_a_folder_is_removed_however_deep_it_is(tmp_path):
    folder = tmp_path / "folder"
    for place in ("a", "a/b", "c/d/e"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "file").write_text("content")
    (folder / "outside").symlink_to(tmp_path, target_is_directory=True)
    (folder / "c" / "outside").symlink_to(tmp_path, target_is_directory=True)
    (folder / "c" / "d").chmod(0o000)
    (tmp_path / "stays").write_text("content")
    nest(folder, 1500, lambda: Path("file").write_text("content"))
    disk.remove(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["stays"]
    disk.remove(tmp_path / "stays")
    disk.remove(tmp_path / "stays")
    assert list(tmp_path.iterdir()) == []


def test_all_that_lies_below_is_found(tmp_path):
    for place in ("a", "b/c/d"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("content")
    found = {os.path.relpath(entry.path, tmp_path) for entry in disk.below(tmp_path)}
    assert found == {"a", "b", "b/c", "b/c/d"}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_only_a_short_file_is_read(tmp_path):
    whole, long = tmp_path / "whole", tmp_path / "long"
    whole.write_bytes(b"12345")
    assert disk.read_small(whole, 5) == b"12345"
    long.touch()
    os.truncate(long, 1 << 42)  # four terabytes of holes
    os.mkfifo(tmp_path / "pipe")  # who opens it waits for somebody to write
    for path, most, why in (
        (whole, 4, "longer than 4 bytes"),
        (long, disk.SMALL_BYTES, "longer than 20,000,000 bytes"),
        (tmp_path / "pipe", 5, "no regular file"),
        (tmp_path, 5, "no regular file"),
    ):
        with pytest.raises(OSError, match=why):
            disk.read_small(path, most)
