"""A disk that takes its time, in one worker process: from outside no call of the kernel can be slowed down."""

from __future__ import annotations

import os
import time

_real = os.pwrite


def slow_down(bytes_per_second: float) -> None:
    """Let each `os.pwrite` of this process take as long as such a disk would, for ever."""

    def pwrite(fd: int, data: bytes | memoryview, offset: int, /) -> int:
        time.sleep(len(data) / bytes_per_second)
        return _real(fd, data, offset)

    os.pwrite = pwrite  # type: ignore[assignment]  # takes fewer kinds of buffers than the real one
