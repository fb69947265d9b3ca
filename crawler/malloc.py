"""What the C library is told about memory, for this process and before its first thread.

Records are made in one thread and freed in another. glibc gives each thread an arena of its own, and what is freed in
one is of no use to the others: after a million URLs the holes took 20 to 40 MB. Nearly all of it is allocated with the
interpreter lock held, so that one arena for all is hardly ever contended.
"""

from __future__ import annotations

import sys

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # <malloc.h>
MMAP_THRESHOLD = 1 << 20
"""Bytes. Larger blocks, such as the text of a commit, come from the kernel and go back to it. Set by hand, it stays
there; by itself it grows with the largest block ever freed, up to 32 MB, and such blocks then leave holes."""


def one_arena() -> None:
    """Keep malloc from making an arena for each thread. Does nothing where the C library is not glibc."""
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # not musl
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
