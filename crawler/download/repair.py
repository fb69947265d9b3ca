"""Repair as a resume: what is good of a damaged file becomes the temporary file, so only the rest is fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import REPAIR, JournalFile, Resumed
from crawler.download.disk.layout import Places
from crawler.download.disk.receipt import Receipt
from crawler.download.proof.checksum import CHECKSUM, checksum, named

BLOCK_BYTES = 1 << 20
COMMIT_BYTES = 256 << 20
"""How much is copied between two records of it."""


def begin_repair(
    places: Places,
    receipt: Receipt,
    spans: Sequence[tuple[int, int]],
    *,
    disk: Disk = DISK,
    durable: bool = True,
) -> Resumed:
    """Copy a damaged file to a temporary one and return it as a journal to resume, whose pieces lie outside `spans`.

    A repair that was interrupted goes on where it was. The damaged file stays as it is until `finish` replaces it by
    one with the receipt's digests. The caller holds the TargetLock and has called `recover`. Waits for the disk.
    Raises OSError. `Resumed.journal` is never None.
    """
    resumed = JournalFile.resume(places, url=receipt.url, disk=disk, durable=durable)
    journal = resumed.journal
    if journal is not None and (journal.header.size, dict(journal.header.identity)) != (
        receipt.size, dict(receipt.identity)
    ):  # fmt: skip
        journal.close()
        journal = None
    claimed = resumed.claimed if journal is not None else ()
    if journal is None:
        journal = JournalFile.create(
            places, url=receipt.url, size=receipt.size, identity=receipt.identity, options={REPAIR: True}, disk=disk,
            durable=durable,
        )  # fmt: skip
    try:
        copied = _copy(places, journal, _good(receipt, spans, claimed), receipt.checksum, disk)
    except BaseException:
        journal.close()
        raise
    return Resumed(journal, tuple(sorted((*claimed, *copied))), resumed.why)


def _good(receipt: Receipt, spans: Sequence[tuple[int, int]], claimed: Sequence[Piece]) -> list[Piece]:
    """Return the pieces of a receipt that touch neither damage nor what a journal has already."""
    taken = sorted([*spans, *((piece.first, piece.end) for piece in claimed)])
    found = []
    at = 0
    for first, end, value in receipt.pieces:
        while at < len(taken) and taken[at][1] <= first:
            at += 1
        if at == len(taken) or taken[at][0] >= end:
            found.append(Piece(first, end, value))
    return found


def _copy(places: Places, journal: JournalFile, pieces: Sequence[Piece], algorithm: str, disk: Disk) -> list[Piece]:
    """Copy pieces from the damaged file; what cannot be read is left out. `algorithm`: of their checksums."""
    if not pieces or disk.lstat(places.target) is None:
        return []
    source = disk.open(places.target, os.O_RDONLY)
    buffer = memoryview(bytearray(BLOCK_BYTES))
    copied: list[Piece] = []
    since = 0
    try:
        for wanted in pieces:
            piece = _copied(source, journal.fd, wanted, buffer, algorithm, disk)
            if piece is not None:
                journal.landed(piece)
                copied.append(piece)
                since += piece.end - piece.first
            if since >= COMMIT_BYTES:
                journal.commit()
                since = 0
        journal.commit()
    finally:
        disk.close(source)
    return copied


def _copied(source: int, target: int, piece: Piece, buffer: memoryview, algorithm: str, disk: Disk) -> Piece | None:
    """Copy one piece and return it with the checksum of journals; None when it is not what it was, or unreadable."""
    at = piece.first
    theirs = None if algorithm == CHECKSUM else named(algorithm)
    value = their_value = 0
    while at < piece.end:
        try:
            count = disk.read_into(source, buffer[: min(len(buffer), piece.end - at)], at)
        except OSError:
            return None  # a sector that cannot be read: fetched again
        if count == 0:
            return None
        disk.write_all(target, buffer[:count], at)
        if algorithm != CHECKSUM:
            value = checksum(buffer[:count], value)
        if theirs is not None:
            their_value = theirs(buffer[:count], their_value)
        at += count
    if algorithm == CHECKSUM:
        return piece
    return piece._replace(checksum=value) if theirs is None or their_value == piece.checksum else None
