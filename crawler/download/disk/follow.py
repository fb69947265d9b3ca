"""The hash that follows the frontier, and the check of what a journal claims: one pass over bytes that are on disk.

Both read by (offset, length) from the page cache, in a worker process; no bytes go through a pipe. There is no state
to save: a resume reads everything once more anyway, because what a journal says may be on disk no more, and that pass
computes the digests, too. So no foreign or corrupt state can be believed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.journal import Piece
from crawler.download.fault import Fault
from crawler.download.proof.checksum import checksum
from crawler.download.proof.digests import Hasher

BLOCK_BYTES = 1 << 20
"""What is read at once."""


class Follower:
    """Hashes a file in order, as far as it is told. Does not own the descriptor."""

    def __init__(self, fd: int, hashes: Mapping[str, Hasher], *, disk: Disk = DISK) -> None:
        """`hashes`: by algorithm, fresh; they belong to the follower from now on."""
        self.position = 0
        """How many bytes were hashed."""
        self._fd = fd
        self._hashes = dict(hashes)
        self._disk = disk
        self._buffer = memoryview(bytearray(BLOCK_BYTES))

    def advance(self, upto: int) -> None:
        """Hash up to this byte. Raises DownloadError(`disk`) when the file is shorter, OSError."""
        while self.position < upto:
            view = self._buffer[: min(BLOCK_BYTES, upto - self.position)]
            count = self._disk.read_into(self._fd, view, self.position)
            if count == 0:
                raise DownloadError(Fault.DISK, f"the temporary file ends at byte {self.position}: somebody cut it")
            for each in self._hashes.values():
                each.update(view[:count])
            self.position += count

    def digests(self) -> dict[str, bytes]:
        """Return the digests of what was hashed so far."""
        return {name: each.digest() for name, each in self._hashes.items()}


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
