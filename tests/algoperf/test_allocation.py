"""Faults of a process that takes, touches and frees memory, as the kernel counts them."""

import subprocess
import sys

import pytest

from algoperf import allocation

PROGRAM = """
import ctypes, resource, sys
from algoperf import allocation

if sys.argv[1] == "kept":
    allocation.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def step():
    piece = libc.malloc(48 * 2**20)
    libc.memset(piece, 1, 48 * 2**20)
    libc.free(piece)

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not allocation.can_keep(), reason="this is not glibc's allocator")
def test_what_a_step_frees_is_there_for_the_next():
    # 48 MiB are 24 pages of 2 MiB at least, each time that the kernel gives them anew.
    assert faults("returned") >= 10 * 24
    assert faults("kept") < 24


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)
