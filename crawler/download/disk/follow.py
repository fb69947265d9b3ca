"""The hash that follows the frontier, and the check of what a journal claims: one pass over bytes that are on disk.

Both read by (offset, length) from the page cache, in a worker process; no bytes go through a pipe. There is no state
to save: a resume reads everything once more anyway, because what a journal says may be on disk no more, and that pass
computes the digests, too. So no foreign or corrupt state can be believed.
"""

from __future__ import annotations

import copy
import os
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.journal import Piece
from crawler.download.fault import Fault
from crawler.download.proof.checksum import checksum
from crawler.download.proof.digests import Hasher

BLOCK_BYTES = 1 << 20
"""What is read at once."""


class _Piece(NamedTuple):
    """A piece that is being compared, and how the hashes stood before it."""

    piece: Piece
    before: Mapping[str, Hasher]


class Follower:
    """Hashes a file in order, as far as it is told. Does not own the descriptor.

    With `expect` it also compares pieces with the checksums that were computed when they came off the wire: bytes that
    were changed on their way through memory and disk are found even if nobody knows the file's digest. A piece that is
    wrong is taken back: the hashes are as they were before it, and go on from its first byte.
    """

    def __init__(self, fd: int, hashes: Mapping[str, Hasher], *, disk: Disk = DISK) -> None:
        """`hashes`: by algorithm, fresh; they belong to the follower from now on."""
        self.position = 0
        """How many bytes were hashed."""
        self._fd = fd
        self._hashes = dict(hashes)
        self._disk = disk
        self._expected: list[Piece] = []
        self._current: _Piece | None = None
        self._checksum = 0
        self._buffer = memoryview(bytearray(BLOCK_BYTES))

    def expect(self, pieces: Iterable[Piece]) -> None:
        """Compare these when their turn comes. In any order; one that begins in what was hashed already is left out."""
        for piece in pieces:
            if piece.first >= self.position:
                insort(self._expected, piece)

    def advance(self, upto: int) -> list[tuple[int, int]]:
        """Hash up to this byte. Return the piece that is wrong, if one is, and stop before it; else nothing.

        Raises DownloadError(`disk`) when the file is shorter, OSError.
        """
        while self.position < upto:
            if self._current is None:
                self._enter()
            self._take(min(upto, self._boundary()))
            wrong = self._leave()
            if wrong is not None:
                return [wrong]
        return []

    def digests(self) -> dict[str, bytes]:
        """Return the digests of what was hashed so far."""
        return {name: each.digest() for name, each in self._hashes.items()}

    def _enter(self) -> None:
        """Begin to compare the piece that begins here, if there is one."""
        del self._expected[: bisect_left(self._expected, (self.position,))]
        if self._expected and self._expected[0].first == self.position:
            piece = self._expected.pop(0)
            self._current = _Piece(piece, {name: _twin(each) for name, each in self._hashes.items()})
            self._checksum = 0

    def _boundary(self) -> int:
        """Return where the piece that is compared ends, or the next one begins."""
        if self._current is not None:
            return self._current.piece.end
        return self._expected[0].first if self._expected else 1 << 63

    def _take(self, end: int) -> None:
        while self.position < end:
            view = self._buffer[: min(BLOCK_BYTES, end - self.position)]
            count = self._disk.read_into(self._fd, view, self.position)
            if count == 0:
                raise DownloadError(Fault.DISK, f"the temporary file ends at byte {self.position}: somebody cut it")
            data = view[:count]
            for each in self._hashes.values():
                each.update(data)
            if self._current is not None:
                self._checksum = checksum(data, self._checksum)
            self.position += count

    def _leave(self) -> tuple[int, int] | None:
        """Compare the piece that ends here, if one does; take it back if it is wrong."""
        if self._current is None or self.position < self._current.piece.end:
            return None
        (piece, before), self._current = self._current, None
        if self._checksum == piece.checksum:
            return None
        self._hashes = dict(before)
        self.position = piece.first
        return piece.first, piece.end


def recheck(path: Path, pieces: Sequence[Piece], *, disk: Disk = DISK) -> list[Piece]:
    """Read pieces from disk and return those that are as they should be. For a worker: takes a path and numbers.

    What cannot be read counts as wrong. Raises OSError when the file cannot be opened.
    """
    fd = disk.open(path, os.O_RDONLY)
    buffer = memoryview(bytearray(BLOCK_BYTES))
    try:
        found = (checksum_on_disk(fd, piece.first, piece.end, buffer, disk) for piece in pieces)
        return [piece for piece, value in zip(pieces, found, strict=True) if value == piece.checksum]
    finally:
        disk.close(fd)


def checksum_on_disk(fd: int, first: int, end: int, buffer: memoryview, disk: Disk = DISK) -> int | None:
    """Return the checksum of a run of bytes, by way of `buffer`; None if it cannot be read to its end."""
    value = 0
    while first < end:
        try:
            count = disk.read_into(fd, buffer[: min(len(buffer), end - first)], first)
        except OSError:
            return None  # a sector that cannot be read is as good as a wrong one: fetched again
        if count == 0:
            return None
        value = checksum(buffer[:count], value)
        first += count
    return value


def _twin(hasher: Hasher) -> Hasher:
    """Return a second hash that stands where this one stands."""
    own = getattr(hasher, "copy", None)  # those of hashlib and blake3 cannot be copied in any other way
    return own() if own is not None else copy.copy(hasher)
