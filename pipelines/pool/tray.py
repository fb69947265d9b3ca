"""Memory that a pool shares with one worker: a task of ordinary size is laid there, and only its header is sent.

A socket copies what it carries twice, 208 KiB at a time, in system calls after each of which a thread has to get the
interpreter lock again. Here the parent copies once, and the worker loads the task from where it lies.

There are two places, because a worker holds at most two tasks (see crew.py). They are taken in turns: the place of a
task is free when the one behind it is the last that was not answered or skipped, and only then a third one is sent.

Imported by a bare interpreter: no heavy imports here.
"""

from __future__ import annotations

import os
from mmap import mmap

from pipelines.pool.frames import Chunk

PLACES = 2
PLACE_BYTES = 1 << 20
"""What is larger goes through the socket: it would be copied with the interpreter lock held."""
MIN_BYTES = 4096
"""What is smaller goes with its header in one system call."""
HAS_TRAYS = hasattr(os, "memfd_create")


def new() -> int:
    """Return the descriptor of the memory of a new tray, the caller's to close; -1 where there can be none.

    A limit on the size of files (RLIMIT_FSIZE) counts for this one too. Without a tray the socket carries all.
    """
    if not HAS_TRAYS:
        return -1
    fd = -1
    try:
        fd = os.memfd_create("pool-tray", os.MFD_CLOEXEC)
        os.ftruncate(fd, PLACES * PLACE_BYTES)
    except OSError:
        if fd >= 0:
            os.close(fd)
        return -1
    return fd


class Tray:
    """One side's view. Pages that were never written to take no memory."""

    def __init__(self, fd: int) -> None:
        """Map the memory of a descriptor, which may be closed then. Raises OSError."""
        self._map = mmap(fd, PLACES * PLACE_BYTES)
        self._whole = memoryview(self._map)
        self._places = [self._whole[n * PLACE_BYTES : (n + 1) * PLACE_BYTES] for n in range(PLACES)]
        self._turn = 0

    def lay(self, chunks: list[Chunk]) -> int:
        """Copy the body of a task to the next place and return its number, from 1."""
        index = self._turn
        place = self._places[index]
        start = 0
        for chunk in chunks:
            end = start + len(chunk)
            place[start:end] = chunk
            start = end
        self._turn = (index + 1) % PLACES
        return index + 1

    def at(self, number: int, size: int) -> memoryview:
        """Return the body that lies at a place. It will be overwritten once its task was answered."""
        return self._places[number - 1][:size]

    def close(self) -> None:
        """Give the memory back; nothing may be laid there any more."""
        for place in self._places:
            place.release()
        self._places.clear()
        self._whole.release()
        self._map.close()
