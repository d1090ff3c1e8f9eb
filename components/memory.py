"""Freed memory stays with the process, so that feature maps are written to pages it has already.

glibc gives every block above 32 MB back to the system when it is freed. The next feature map then
gets new pages, each cleared by the kernel at its first touch: on a CPU that takes longer than the
convolution that fills them.
"""

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Numbers of mallopt(3)'s settings."""
NEVER = -1
"""Of TRIM_THRESHOLD: the top of the heap is not given back either."""


def keep_freed_memory() -> bool:
    """Keep what is freed for the next allocation; False where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (TOP_PAD, 64 * 2**20))
    return all(mallopt(setting, value) for setting, value in settings)
