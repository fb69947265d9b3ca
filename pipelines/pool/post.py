"""The worker's end of its socket: blocking, whole frames, one at a time even when a task's threads log.

A read takes what there is, so a task of ordinary size costs one system call, and the one that already lies behind it
none. What was read is not claimed by that: only its token says whose it is (see crew.py).

Imported by a bare interpreter: no heavy imports here.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from pipelines.pool.frames import HEADER, MAX_VECTORS, Chunk, Kind, after, encode, size_of
from pipelines.pool.tray import Tray

SCRATCH_BYTES = 256 * 1024


class Post:
    """Frames over one blocking socket, which belongs to the process that made this and not to its forks."""

    def __init__(self, fd: int, tray: Tray | None = None) -> None:
        self._fd = fd
        self._tray = tray
        self._lock = allocate_lock()
        self._owner = os.getpid()
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._start = self._end = 0  # of what was read and not yet returned

    def receive(self) -> tuple[int, int, int, memoryview | None] | None:
        """Return the next frame's kind, buffers, ident and body; None when the parent has hung up.

        The body is None when there was no memory for it; it is out of the way then. One without buffers may lie in
        memory that the next call uses again.
        """
        while self._end - self._start < HEADER.size:
            if not self._read():
                return None
        kind, place, buffers, ident, size, _, _ = HEADER.unpack_from(self._scratch, self._start)
        start = self._start + HEADER.size
        if place:
            self._start = start
            return kind, buffers, ident, self._from_tray(place, size, buffers)
        end = self._start = min(start + size, self._end)
        here = end - start
        if here == size and not buffers:
            return kind, buffers, ident, self._scratch[start:end]
        try:
            body = memoryview(bytearray(size))
        except MemoryError:
            return (kind, buffers, ident, None) if self._skip(size - here) else None
        body[:here] = self._scratch[start:end]
        return (kind, buffers, ident, body) if self._fill(body[here:]) else None

    def send(
        self, kind: Kind, ident: int, chunks: list[Chunk], buffers: int, run_s: float = 0.0, peak_rss: int = 0
    ) -> None:
        """Send one frame. Raises OSError when the parent is gone."""
        size = size_of(chunks)
        rest: list[Chunk] = [HEADER.pack(kind, 0, buffers, ident, size, run_s, peak_rss), *chunks]
        with self._lock:
            while rest:
                rest = after(rest, os.writev(self._fd, rest[:MAX_VECTORS]))

    def tell(self, fields: dict[str, object]) -> None:
        """Send a log record, unless this is a fork of the worker: then it goes to stderr in short."""
        if os.getpid() == self._owner:
            self.send(Kind.LOG, 0, *encode(fields))
        else:
            os.write(2, f"{fields['levelname']}: {fields['msg']}\n".encode(errors="backslashreplace"))

    def disown(self) -> None:
        """Let go of the socket in a forked child, which would keep it open after the worker's end."""
        os.close(self._fd)

    def _from_tray(self, place: int, size: int, buffers: int) -> memoryview | None:
        assert self._tray is not None
        body = self._tray.at(place, size)
        if not buffers:
            return body
        try:
            return memoryview(bytearray(body))  # a task may keep its buffers
        except MemoryError:
            return None

    def _skip(self, size: int) -> bool:
        while size:
            count = len(os.read(self._fd, min(size, 65536)))
            if not count:
                return False
            size -= count
        return True

    def _read(self) -> bool:
        """Read what there is behind what is left; False at end of file."""
        left = self._end - self._start
        self._scratch[:left] = bytes(self._scratch[self._start : self._end])
        count = os.readv(self._fd, [self._scratch[left:]])
        self._start, self._end = 0, left + count
        return count > 0

    def _fill(self, view: memoryview) -> bool:
        """Fill `view` from the socket; False at end of file."""
        while view:
            count = os.readv(self._fd, [view])
            if not count:
                return False
            view = view[count:]
        return True
