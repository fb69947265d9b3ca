"""The life of one file on this side of the wire, as a plain function: what tests break at every step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.finish import Ready, finish, recover, stamp_of, standing
from crawler.download.disk.follow import Follower, recheck
from crawler.download.disk.journal import Piece, Plain
from crawler.download.disk.journal_file import JournalFile
from crawler.download.disk.layout import Places, places_of, prepare, prepare_target
from crawler.download.disk.receipt import Receipt
from crawler.download.plan.spans import Spans
from crawler.download.proof.checksum import checksum

URL = "http://127.0.0.1/set.bin"
IDENTITY: dict[str, Plain] = {"size": 4096, "etag": '"a"', "weak": None, "last_modified": None, "is_date_strong": False}


def body(size: int, version: str = "a") -> bytes:
    """Return bytes of which no two runs are alike, for every version others."""
    block = b"".join(hashlib.sha256(f"{version}{at}".encode()).digest() for at in range(0, size, 32))
    return block[:size]


def piece_of(data: bytes, first: int, end: int) -> Piece:
    """Return the record of a run of bytes."""
    return Piece(first, end, checksum(data[first:end], 0))


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def opened(root: Path, path: str = "data/set.bin", disk: Disk = DISK) -> Places:
    """Make all folders and return the places."""
    prepare(root, disk)
    places = places_of(root, path)
    prepare_target(places, disk)
    return places


PIECE = 1024


def receipt_of(places: Places, data: bytes, **values: object) -> Receipt:
    """Return a receipt of verified bytes, with pieces of `PIECE`."""
    starts = range(0, len(data), PIECE)
    given = {
        "url": URL,
        "path": places.path,
        "size": len(data),
        "digests": {"sha256": sha256(data)},
        "status": "verified",
        "verified_by": {"algorithm": "sha256", "value": sha256(data), "source": "config", "trust": "configured"},
        "identity": IDENTITY,
        "pieces": tuple(tuple(piece_of(data, at, min(at + PIECE, len(data)))[:3]) for at in starts),
    }
    return Receipt(**{**given, **values})  # type: ignore[arg-type]  # a test's own words


def downloaded(root: Path, data: bytes, path: str = "data/set.bin", **values: object) -> Places:
    """Put a finished file into a root, as a download does."""
    places = opened(root, path)
    journal = JournalFile.create(places, url=URL, size=len(data), identity=IDENTITY)
    DISK.write_all(journal.fd, data, 0)
    finish(Ready(places, journal.part, journal.fd, receipt_of(places, data, **values)), journal)
    return places


def fetch(
    root: Path,
    data: bytes,
    *,
    path: str = "data/set.bin",
    piece: int = 512,
    disk: Disk = DISK,
    identity: Mapping[str, Plain] = IDENTITY,
    fetched: Callable[[int, int], None] = lambda first, end: None,
    committed: Callable[[list[Piece]], None] = lambda pieces: None,
    believed: Callable[[tuple[Piece, ...]], None] = lambda pieces: None,
    durable: bool = True,
) -> Receipt:
    """Fetch `data` as a server would give it, resuming what is there; return the receipt.

    Pieces come from both ends, two to a commit. `fetched` hears what was fetched, `committed` what the journal has for
    certain, `believed` what it claimed at a resume.
    """
    places = opened(root, path, disk)
    done = recover(places, disk=disk)
    there = standing(places, disk=disk)
    if done is not None or there.kind == "ours":
        return done or _known(there.receipt)
    resumed = JournalFile.resume(places, url=URL, disk=disk, durable=durable)
    journal, claimed = resumed.journal, resumed.claimed
    if journal is not None and dict(journal.header.identity) != dict(identity):
        journal.remove()
        journal, claimed = None, ()
    if journal is None:
        journal = JournalFile.create(places, url=URL, size=len(data), identity=identity, disk=disk, durable=durable)
    believed(claimed)
    pieces = recheck(journal.part, claimed, disk=disk)
    todo = _missing(len(data), pieces, piece)
    while todo:
        batch = [piece_of(data, *todo.pop(-1 if number else 0)) for number in range(min(2, len(todo)))]
        for each in batch:
            fetched(each.first, each.end)
            disk.write_all(journal.fd, data[each.first : each.end], each.first)
            journal.landed(each)
        journal.commit()
        committed(batch)
        pieces += batch
    stamp = stamp_of(journal.fd, disk)
    follower = Follower(journal.fd, {"sha256": hashlib.sha256()}, disk=disk)
    follower.advance(len(data))
    digests = {name: value.hex() for name, value in follower.digests().items()}
    receipt = receipt_of(places, data, digests=digests, pieces=tuple(tuple(each[:3]) for each in sorted(pieces)))
    ready = Ready(places, journal.part, journal.fd, receipt, {"sha256": sha256(data)}, stamp)
    return finish(ready, journal, disk=disk, durable=durable)


def _missing(size: int, pieces: list[Piece], piece: int) -> list[tuple[int, int]]:
    done = Spans()
    for each in pieces:
        done.add(each.first, each.end)
    gaps = done.gaps(0, size)
    return [(at, min(at + piece, end)) for first, end in gaps for at in range(first, end, piece)]


def _known(receipt: Receipt | None) -> Receipt:
    assert receipt is not None
    return receipt
