"""What is looked at when all bytes of a file are there: digests announced late, pieces of a manifest, holes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from crawler.download.books import Books
from crawler.download.crew import Crew
from crawler.download.disk.disk import DISK
from crawler.download.disk.follow import BLOCK_BYTES, recheck
from crawler.download.fault import Fault
from crawler.download.proof.digests import Digest, is_equal, new_hash
from crawler.download.proof.discover import Claim, Mismatch, Trust, missing
from crawler.download.retry import GivenUp
from crawler.download.tail import Tail
from pipelines.cpu import run_blocking

if TYPE_CHECKING:
    from crawler.download.proof.metalink import Pieces


async def all_digests(books: Books, size: int, digests: dict[str, str]) -> dict[str, str]:
    """Return `digests` and those that only claims which came later ask for. Raises GivenUp.

    A resume knows no claim but the caller's when its hash begins, and any answer may bring the first one.
    """
    late = missing(books.claims.values(), {name: bytes.fromhex(value) for name, value in digests.items()})
    return {**digests, **await digests_of(books.crew, books.part, size, late)} if late else digests


async def digests_of(crew: Crew, path: str, size: int, algorithms: tuple[str, ...]) -> dict[str, str]:
    """Let a worker read a file that is all there, and return its digests. Raises GivenUp."""
    tail = Tail(crew, path, algorithms, lambda upto: None)
    try:
        tail.advance(size, is_all=True)
        return await tail.digests()
    finally:
        tail.close()


async def check_holes(books: Books, size: int) -> None:
    """Raise GivenUp when somebody cut the file and later pieces made it long again: what lies between is nobody's."""
    assert books.journal is not None
    journal, pieces = books.journal, tuple(books.pieces.values())

    def damaged() -> bool:
        if not _has_hole(journal.fd, size):
            return False
        return len(recheck(journal.part, pieces)) < len(pieces)  # some file systems keep zeros as a hole

    if await run_blocking(damaged):
        raise GivenUp(Fault.DISK, f"{journal.part} was cut by somebody else while it was in use")


def _has_hole(fd: int, size: int) -> bool:
    try:
        return os.lseek(fd, 0, os.SEEK_HOLE) < size
    except OSError:
        return False  # empty, or a file system that does not tell


async def wrong_piece(path: str, pieces: Pieces) -> Mismatch | None:
    """Return the first piece of a file that is not what its manifest says. Raises OSError, DigestError."""
    return await run_blocking(_wrong_piece, Path(path), pieces)


def _wrong_piece(path: Path, pieces: Pieces) -> Mismatch | None:
    buffer = memoryview(bytearray(BLOCK_BYTES))
    fd = DISK.open(path, os.O_RDONLY)
    try:
        for number, digest in enumerate(pieces.digests):
            hasher = new_hash(digest.algorithm)
            at, end = number * pieces.length, (number + 1) * pieces.length
            while at < end and (count := DISK.read_into(fd, buffer[: min(BLOCK_BYTES, end - at)], at)):
                hasher.update(buffer[:count])
                at += count
            got = Digest(digest.algorithm, hasher.digest())
            if not is_equal(digest, got):
                return Mismatch(Claim(digest, f"piece {number} of the manifest", Trust.CONFIGURED), got)
    finally:
        DISK.close(fd)
    return None
