"""A small file that a worker does alone: its target taken, its bytes compared, its name given, its receipt written.

For the parent it is one order and one report. Whatever is not plain is left to the parent, which then goes the way of
any other file: a target that is taken, a digest that does not match, a disk in trouble.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from crawler.download.answers.identity import Identity
from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import Ready, finish_many
from crawler.download.disk.receipt import Receipt
from crawler.download.names import name_of
from crawler.download.place import NotNew, Place
from crawler.download.proof.digests import Digest, DigestError, new_hash
from crawler.download.proof.discover import (
    Claim,
    Trust,
    Unverified,
    Verified,
    algorithms_for,
    claim_words,
    claims_of,
    verdict,
)
from crawler.download.quiet import uninterrupted
from crawler.download.turns import Turns
from crawler.download.worker.wire import Head, Solo

MOST_AT_ONCE = 64
"""Files in one batch: they share the waits for the disk, and wait for each other."""
SLOW_SECONDS = 0.002
"""What the syncs of a batch may take in the event loop. After a longer wait they are waited for in a thread, for
`TRUCE_SECONDS`, until it is tried again.

Not always in a thread: where nothing waits, it costs more than the work of a small file. Two threads hand over the
interpreter's lock at every system call, and each waits up to 5 ms for it. And not by the time of the whole batch: on a
busy machine that is the time of others."""
TRUCE_SECONDS = 1.0


class Small(NamedTuple):
    """A small file, all there and compared, about to get its name."""

    place: Place
    data: Sequence[bytes]
    receipt: Receipt
    expected: Mapping[str, str]
    """The digest that decides, by algorithm; empty if there is none."""
    is_durable: bool


class _Watched(Disk):
    """The disk, and how long its syncs took."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def fsync(self, fd: int) -> None:
        began = perf_counter()
        super().fsync(fd)
        self.waited += perf_counter() - began

    def sync_folder(self, path: Path) -> None:
        began = perf_counter()
        super().sync_folder(path)
        self.waited += perf_counter() - began


class Finisher:
    """Gives small files their names: those that are ready in one turn of the loop together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slow_until = -inf
        self._queue: list[tuple[Small, asyncio.Future[Receipt]]] = []
        self._turns: Turns[Small, Receipt] = Turns(finished, MOST_AT_ONCE)

    @property
    def is_slow(self) -> bool:
        """Whether the disk is waited for in a thread."""
        return self._loop.time() < self._slow_until

    async def finish(self, small: Small) -> Receipt:
        """Return the receipt of a file that has its name now. Raises DownloadError, OSError: then nothing is left."""
        if self.is_slow:
            return await uninterrupted(self._turns.run(small))
        future: asyncio.Future[Receipt] = self._loop.create_future()
        if not self._queue:
            self._loop.call_soon(self._here)
        self._queue.append((small, future))
        return await uninterrupted(future)

    def _here(self) -> None:
        batch, self._queue = self._queue, []
        disk = _Watched()
        results: Sequence[Receipt | BaseException]
        try:
            results = finished([small for small, _ in batch], disk)
        except Exception as error:  # noqa: BLE001 - told to all who wait for it
            results = [error] * len(batch)
        if disk.waited > SLOW_SECONDS:
            self._slow_until = self._loop.time() + TRUCE_SECONDS
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)


def finished(batch: Sequence[Small], disk: Disk = DISK) -> list[Receipt | BaseException]:
    """Write files, give them their names and their places back; return a receipt or the trouble of each."""
    results: list[Receipt | BaseException | None] = [None] * len(batch)
    ready: dict[int, Ready] = {}
    try:
        for number, (place, data, receipt, expected, _) in enumerate(batch):
            try:
                part = place.small_part()
                fd = disk.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                ready[number] = Ready(place.places, part, fd, receipt, expected)
                write_pieces(fd, data, disk)
            except OSError as error:
                results[number] = error
        todo = [number for number in ready if results[number] is None]
        named = finish_many([(ready[number], None) for number in todo], disk=disk, durable=batch[0].is_durable)
        results = _with(results, dict(zip(todo, named, strict=True)))
    finally:
        for number, each in ready.items():
            disk.close(each.fd)
            if not isinstance(results[number], Receipt):
                _remove(each.part, disk)
    for (place, *_), result in zip(batch, results, strict=True):
        if isinstance(result, Receipt):
            place.close()
    return [result if result is not None else RuntimeError("a file without an outcome") for result in results]


def _with(
    results: list[Receipt | BaseException | None], more: dict[int, Receipt | DownloadError]
) -> list[Receipt | BaseException | None]:
    return [more.get(number, result) for number, result in enumerate(results)]


def _remove(part: Path, disk: Disk) -> None:
    try:
        disk.unlink(part)
    except OSError:
        pass  # the same trouble again; the next to take the target removes it


def digests_of(data: Sequence[bytes], algorithms: Sequence[str]) -> dict[str, bytes]:
    """Return the digests of bytes in memory. Raises DigestError for an algorithm that there is not."""
    found = {}
    for name in algorithms:
        hasher = new_hash(name)
        for piece in data:
            hasher.update(piece)
        found[name] = hasher.digest()
    return found


def write_pieces(fd: int, data: Sequence[bytes], disk: Disk = DISK) -> None:
    """Write the pieces of a file one after the other. Raises OSError."""
    at = 0
    for piece in data:
        disk.write_all(fd, piece, at)
        at += len(piece)


def stored(
    path: str, data: Sequence[bytes], fields: Sequence[tuple[str, str]], hashes: Sequence[str]
) -> dict[str, str]:
    """Write a small file to a new one of its own; return what the parent compares. Raises DigestError, OSError."""
    names = dict.fromkeys([*hashes, *algorithms_for(claims_of(fields, is_whole=True), ())])
    digests = digests_of(data, tuple(names))
    fd = DISK.open(Path(path), os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        write_pieces(fd, data)
    finally:
        DISK.close(fd)
    return {name: value.hex() for name, value in digests.items()}


class SoloFile:
    """One small file on its way. Owns its target from `take` or `accepts` to `close`."""

    def __init__(self, terms: Solo, url: str, finisher: Finisher) -> None:
        """`url`: what is asked now; after a redirect it is not that of the terms."""
        self._terms = terms
        self._url = url
        self._finisher = finisher
        self._place: Place | None = None
        self._began = perf_counter()

    def take(self) -> bool:
        """Take the target, if its path is known. False: the parent has to see what is there."""
        return self._terms.path is None or self._taken(self._terms.path)

    def _taken(self, path: str) -> bool:
        terms = self._terms
        try:
            self._place = Place(
                Path(terms.root), path, terms.url, is_durable=terms.is_durable, is_new=True, holder=terms.holder
            )
        except (NotNew, DownloadError, OSError):
            return False  # the parent meets the same, and tells it
        return True

    def accepts(self, head: Head) -> bool:
        """Tell whether this answer can be done alone; where its path is not known, take the one it gives."""
        terms = self._terms
        if terms.size is not None and head.end != terms.size:
            return False
        if terms.max_bytes is not None and head.end > terms.max_bytes:
            return False
        first = dict(reversed(head.fields))
        kind = first.get("content-type", "")
        if terms.refuses_pages and kind.lower().startswith(("text/html", "application/xhtml")):
            return False
        return self._place is not None or self._taken(name_of(terms.url, first.get("content-disposition"), kind))

    async def finish(self, data: Sequence[bytes], head: Head, hashes: tuple[str, ...], received: int) -> Receipt | None:
        """Compare what came and give it its name; None: it is not as it should be, and nothing was left behind.

        `hashes`: what to record besides. `received`: bytes that came off the wire for this order.
        """
        assert self._place is not None
        terms = self._terms
        claims = self._claims(head)
        try:
            digests = digests_of(data, algorithms_for(claims, hashes))
        except DigestError:
            return None
        judged = verdict(claims, digests)
        if not isinstance(judged, Verified) and (terms.must_verify or not isinstance(judged, Unverified)):
            return None
        proof = judged.claim if isinstance(judged, Verified) else None
        receipt = Receipt(
            url=terms.url,
            path=self._place.places.path,
            size=sum(map(len, data)),
            digests={name: value.hex() for name, value in digests.items()},
            status="unverified" if proof is None else "verified",
            verified_by=None if proof is None else claim_words(proof),
            claims=tuple(map(claim_words, claims)),
            final_url="" if self._url == terms.url else self._url,
            places=tuple(terms.mirrors),
            identity=Identity(*head.identity)._asdict(),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(terms.seconds + perf_counter() - self._began, 3),
            retries=terms.retries,
            fetched_bytes=terms.received + received,
        )
        expected = {} if proof is None else {proof.digest.algorithm: proof.digest.value.hex()}
        try:
            return await self._finisher.finish(Small(self._place, data, receipt, expected, terms.is_durable))
        except (DownloadError, OSError):
            return None

    def _claims(self, head: Head) -> list[Claim]:
        """Return what is said of the file: before, and in this answer. Each once, as `Books.claim` has it."""
        said = [
            Claim(Digest(name, bytes.fromhex(value)), source, Trust(trust))
            for name, value, source, trust in self._terms.claims
        ]
        found = {(claim.source, *claim.digest): claim for claim in said}
        for claim in claims_of(head.fields, is_whole=not head.is_part, trust=Trust(self._terms.head_trust)):
            found.setdefault((claim.source, *claim.digest), claim)
        return list(found.values())

    def close(self) -> None:
        """Give the target back, if it is still held."""
        if self._place is not None:
            self._place.close()
            self._place = None
