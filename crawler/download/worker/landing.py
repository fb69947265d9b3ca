"""Where the bytes of one answer belong: what of them is written, and what is known of the bytes that were.

Sans-IO: bytes in, bytes to write out.
"""

from __future__ import annotations

from typing import NamedTuple

from crawler.download.plan.seams import OVERLAP
from crawler.download.proof.checksum import checksum


class Slot(NamedTuple):
    """Bytes and their place in the file."""

    offset: int
    data: bytes | memoryview


class Landing:
    """One request's bytes, from `begins` on, of which `[first, end)` count. `end` may come closer while they arrive."""

    __slots__ = ("_position", "_window", "at", "crc", "end", "first", "lead")

    def __init__(self, first: int, end: int | None, begins: int) -> None:
        """`begins` is the position of the first byte of the body; bytes before `first` are only compared."""
        assert begins <= first
        self.first = first
        self.end = end
        """None: not known."""
        self.at = first
        """Up to here the bytes were taken."""
        self.crc = 0
        """The checksum of `[first, at)`."""
        self.lead: int | None = None
        """That of the window before `first`, once that is reached and if all of it came."""
        self._position = begins
        self._window = b""
        if begins == first:
            self._reach_first()

    def take(self, data: bytes) -> Slot | None:
        """Take the next bytes of the body; return what is to be written of them."""
        start = self._position
        if start < self.first:
            skipped = data[: self.first - start]
            self._position += len(skipped)
            self._slide(skipped)
            if self._position < self.first:
                return None
            self._reach_first()
            data = data[len(skipped) :]
            start = self.first
        mine: bytes | memoryview = data
        if self.end is not None and start + len(data) > self.end:
            mine = memoryview(data)[: max(0, self.end - start)]
        if not mine:
            return None
        self.crc = checksum(mine, self.crc)
        self._slide(mine)
        self._position = self.at = start + len(mine)
        return Slot(start, mine)

    def skip(self, data: bytes, size: int) -> None:
        """Leave out the first `size` bytes of `data`, which is all that was taken: somebody else has them."""
        if size:
            self.first += size
            self.lead = None
            self.crc = checksum(memoryview(data)[size:], 0)

    @property
    def is_full(self) -> bool:
        """Whether everything that counts is there."""
        return self.end is not None and self.at >= self.end

    @property
    def tail(self) -> int | None:
        """The checksum of the window before `at`; None when its beginning was never seen."""
        if len(self._window) < min(OVERLAP, self.at):
            return None
        return checksum(self._window, 0)

    def _reach_first(self) -> None:
        if self.first and len(self._window) == min(OVERLAP, self.first):
            self.lead = checksum(self._window, 0)

    def _slide(self, data: bytes | memoryview) -> None:
        if len(data) >= OVERLAP:
            self._window = bytes(data[-OVERLAP:])
        else:
            self._window = (self._window + bytes(data))[-OVERLAP:]
