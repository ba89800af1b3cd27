"""Memory that a trial frees stays with its process, since getting it back costs each step. No jax.

XLA asks for a step's temporary memory anew each time. glibc hands large pieces back to the kernel
when they are freed, which then clears page after page when the next step touches them: a large
part of a step that needs much (docs/benchmarks.md). The results are the same.
"""

import ctypes
import platform

# Numbers of the parameters, malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def can_keep() -> bool:
    """Whether `keep_freed_memory` has an effect here."""
    return platform.libc_ver()[0] == "glibc"


def keep_freed_memory() -> None:
    """From now on this process keeps what it frees, for the next one who asks; elsewhere nothing.

    It takes no more at once than before, but gives nothing back until it ends.
    """
    if can_keep():
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # never
