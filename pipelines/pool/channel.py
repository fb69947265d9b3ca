"""The parent's end of a worker's socket: never blocks, neither on a large task nor on a large result.

What does not fit into the socket stays here until the selector says that there is room; a result that arrives in parts
is put together in memory of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NamedTuple

from pipelines.pool.frames import HEADER, MAX_VECTORS, Chunk, Kind, after

SCRATCH_BYTES = 256 * 1024


class Frame(NamedTuple):
    """One frame from a worker."""

    kind: int
    buffers: int
    ident: int
    body: memoryview
    is_scratch: bool
    """The body lies in the scratch memory and must be decoded before the next `read`."""
    run_s: float
    peak_rss: int


class Channel:
    """Frames over one non-blocking socket, which stays the property of the process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unsent: list[Chunk] = []
        self._head = b""  # a header cut in two
        self._partial: Frame | None = None
        self._filled = 0

    @property
    def is_drained(self) -> bool:
        """Everything has left."""
        return not self._unsent

    def send(self, kind: Kind, ident: int, chunks: list[Chunk], size: int, buffers: int) -> bool:
        """Send a frame as far as there is room; False when `flush` has to do the rest.

        `size`: bytes of all chunks. Raises OSError when the worker is gone.
        """
        self._unsent = [*self._unsent, HEADER.pack(kind, buffers, ident, size, 0.0, 0), *chunks]
        return self.flush()

    def flush(self) -> bool:
        """Send what was left over as far as there is room; True when everything has left."""
        rest = self._unsent
        try:
            while rest:
                rest = after(rest, self._sock.sendmsg(rest[:MAX_VECTORS]))
        except BlockingIOError:
            pass
        self._unsent = rest
        return not rest

    def read(self, scratch: memoryview) -> list[Frame]:
        """Receive once and return the frames this completed. Raises EOFError, BlockingIOError, ConnectionError."""
        if self._partial is not None:
            return self._read_on(self._partial)
        have = len(self._head)
        scratch[:have] = self._head
        count = self._sock.recv_into(scratch[have:])
        if not count:
            raise EOFError
        return self._split(scratch, have + count)

    def _read_on(self, partial: Frame) -> list[Frame]:
        count = self._sock.recv_into(partial.body[self._filled :])
        if not count:
            raise EOFError
        self._filled += count
        if self._filled < len(partial.body):
            return []
        self._partial = None
        return [partial]

    def _split(self, scratch: memoryview, end: int) -> list[Frame]:
        frames: list[Frame] = []
        position = 0
        self._head = b""
        while position < end:
            start = position + HEADER.size
            if start > end:
                self._head = bytes(scratch[position:end])
                break
            kind, buffers, ident, size, run_s, peak = HEADER.unpack_from(scratch, position)
            position = start + size
            if position > end:
                self._filled = end - start
                body = memoryview(bytearray(size))
                body[: self._filled] = scratch[start:end]
                self._partial = Frame(kind, buffers, ident, body, False, run_s, peak)
                break
            frames.append(Frame(kind, buffers, ident, scratch[start:position], True, run_s, peak))
        return frames

    def rest(self, scratch: memoryview) -> Iterator[Frame]:
        """Yield what a dead worker had still written."""
        try:
            while True:
                yield from self.read(scratch)
        except (BlockingIOError, EOFError, OSError):
            pass  # that was all; what it left half-written is of no use
