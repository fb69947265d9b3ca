"""The program has one arena for all of its threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from crawler.malloc import one_arena
if sys.argv[1] == "one":
    one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
threads = [threading.Thread(target=lambda: (libc.malloc(100), barrier.wait())) for _ in range(4)]
barrier = threading.Barrier(5)
[thread.start() for thread in threads]
barrier.wait()
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_threads_share_one_arena() -> None:
    def arenas(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", ARENAS, how], capture_output=True, text=True, check=True)
        return done.stdout.count("<heap nr=")

    if arenas("many") < 2:
        pytest.skip("this C library makes no arenas")
    assert arenas("one") == 1
