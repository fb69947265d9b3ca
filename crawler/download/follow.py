"""The hash that follows the frontier, and the check of what a journal claims: one pass over bytes that are on disk.

Both read by (offset, length) from the page cache, in a worker process; no bytes go through a pipe. There is no state
to save: a resume reads everything once more anyway, because what a journal says may be on disk no more, and that pass
computes the digests, too. So no foreign or corrupt state can be believed (D115).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from crawler.download.disk import DISK, Disk
from crawler.download.errors import DownloadError
from crawler.download.journal import Piece, checksum

BLOCK_BYTES = 1 << 20
"""What is read at once: stays in the second-level cache while several hashes take it."""


class Hash(Protocol):
    """What a hash must offer: hashlib's have it."""

    def update(self, data: Any, /) -> None: ...

    def digest(self) -> bytes: ...

    def copy(self) -> Any: ...


class Follower:
    """Hashes a file in order, as far as it is told. Does not own the descriptor.

    With `expect` it also compares pieces with the checksums that were computed when they came off the wire: bytes that
    were changed on their way through memory and disk are found even if nobody knows the file's digest (D84). A piece
    that is wrong is taken back: the hash is as it was before it, and goes on from its first byte.
    """

    def __init__(self, fd: int, hashes: dict[str, Hash], *, disk: Disk = DISK) -> None:
        """`hashes`: by algorithm, fresh."""
        self._fd = fd
        self._hashes = hashes
        self._disk = disk
        self._expected: deque[Piece] = deque()
        self.position = 0
        """How many bytes were hashed."""

    def expect(self, pieces: Iterable[Piece]) -> None:
        """Compare these on the way; by position, disjoint, none before what was hashed already."""
        raise NotImplementedError

    def advance(self, upto: int) -> list[tuple[int, int]]:
        """Hash up to this byte; return pieces that are wrong, at most one, and stop before it.

        Raises DownloadError(`disk`) when the file is shorter, OSError.
        """
        raise NotImplementedError

    def digests(self) -> dict[str, bytes]:
        """Return the digests of what was hashed so far."""
        return {name: each.digest() for name, each in self._hashes.items()}


def recheck(path: Path, pieces: Sequence[Piece], *, disk: Disk = DISK) -> list[Piece]:
    """Read pieces from disk and return those that are as they should be. For a worker: path and numbers only.

    What cannot be read counts as wrong. Raises OSError when the file cannot be opened.
    """
    raise NotImplementedError
