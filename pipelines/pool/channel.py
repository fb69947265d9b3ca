"""The parent's end of a worker's socket: never blocks, neither on a large task nor on a large result.

What does not fit into the socket stays here until the selector says that there is room; a result that arrives in parts
is put together in memory of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Lock
from typing import NamedTuple

from pipelines.pool.frames import HEADER, MAX_VECTORS, Chunk, Kind, after
from pipelines.pool.tray import MIN_BYTES, PLACE_BYTES, Tray

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
    """Frames over one non-blocking socket and a tray, which stay the property of the process.

    Any thread may send, one reads. `shut` comes before the socket is closed, or a sender might write into another
    file that has got the same number.
    """

    def __init__(self, sock: socket.socket, tray: Tray | None) -> None:
        self._sock = sock
        self._tray = tray
        self._lock = Lock()  # of what is sent
        self._is_shut = False
        self._unsent: list[Chunk] = []
        self._head = b""  # a header cut in two
        self._partial: Frame | None = None
        self._filled = 0

    def send(self, kind: Kind, ident: int, chunks: list[Chunk], size: int, buffers: int) -> bool:
        """Send a frame as far as there is room; False when `flush` has to do the rest.

        `size`: bytes of all chunks. Raises OSError when the worker is gone.
        """
        with self._lock:
            place = 0
            if kind == Kind.OFFER and MIN_BYTES <= size <= PLACE_BYTES and self._tray is not None and not self._is_shut:
                place = self._tray.lay(chunks)
                chunks = []
            return self._send([*self._unsent, HEADER.pack(kind, place, buffers, ident, size, 0.0, 0), *chunks])

    def flush(self) -> bool:
        """Send what was left over as far as there is room; True when everything has left. Raises OSError as `send`."""
        with self._lock:
            return self._send(self._unsent)

    def shut(self) -> None:
        """Send nothing any more."""
        with self._lock:
            self._is_shut = True

    def _send(self, rest: list[Chunk]) -> bool:
        if self._is_shut:
            raise BrokenPipeError
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
            kind, _, buffers, ident, size, run_s, peak = HEADER.unpack_from(scratch, position)
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
