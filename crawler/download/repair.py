"""Repair as a resume: what is good of a damaged file becomes the temporary file, so only the rest is fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import JournalFile, Resumed
from crawler.download.disk.layout import Places
from crawler.download.disk.receipt import Receipt

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
            places, url=receipt.url, size=receipt.size, identity=receipt.identity, disk=disk, durable=durable
        )
    try:
        copied = _copy(places, journal, _good(receipt, spans, claimed), disk)
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


def _copy(places: Places, journal: JournalFile, pieces: Sequence[Piece], disk: Disk) -> list[Piece]:
    """Copy pieces from the damaged file; what cannot be read is left out."""
    if not pieces or disk.lstat(places.target) is None:
        return []
    source = disk.open(places.target, os.O_RDONLY)
    buffer = memoryview(bytearray(BLOCK_BYTES))
    copied: list[Piece] = []
    since = 0
    try:
        for piece in pieces:
            if _copy_piece(source, journal.fd, piece, buffer, disk):
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


def _copy_piece(source: int, target: int, piece: Piece, buffer: memoryview, disk: Disk) -> bool:
    at = piece.first
    while at < piece.end:
        try:
            count = disk.read_into(source, buffer[: min(len(buffer), piece.end - at)], at)
        except OSError:
            return False  # a sector that cannot be read: fetched again
        if count == 0:
            return False
        disk.write_all(target, buffer[:count], at)
        at += count
    return True
