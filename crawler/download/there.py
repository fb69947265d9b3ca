"""Whether a file that is there already is what is wanted now: as its receipt tells, or as its bytes do.

A digest that the caller gives decides. One that the receipt does not have is computed from the file, once: the receipt
remembers it, and that the caller's word now stands behind the file. A file without a receipt that fits it, copied by
hand or touched since, is read as a whole and gets one. Whatever else is found, the file stays as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, assert_never

from crawler.download.books import Books
from crawler.download.disk.disk import DISK
from crawler.download.disk.finish import standing
from crawler.download.disk.journal_file import remove_scraps
from crawler.download.disk.layout import Places
from crawler.download.disk.receipt import RANKS, Receipt, store
from crawler.download.fault import Fault
from crawler.download.place import Place
from crawler.download.proof.digests import is_available
from crawler.download.proof.discover import (
    Claim,
    Mismatch,
    Trust,
    Unverified,
    Verified,
    algorithms_for,
    claim_words,
    missing,
    verdict,
)
from crawler.download.quiet import uninterrupted
from crawler.download.report import receipt_of
from crawler.download.retry import GivenUp
from crawler.download.values import Wanted
from crawler.download.whole import digests_of
from pipelines.cpu import run_blocking

_WRITTEN_TO = "it was written to while it was read"


class _Look(NamedTuple):
    """What a file looks like from outside. Nobody sets the time of the change: a write that hides itself shows, too."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


async def as_wanted(place: Place, wanted: Wanted, books: Books) -> Receipt | str:
    """Return the receipt of the file that has the target's name, or why that file is not what is wanted.

    A file that cannot be read is not what is wanted, and no more than that: what cannot be written is trouble for all.
    Raises GivenUp when no worker can read it, OSError when the disk is in trouble.
    """
    size = wanted.size if wanted.size is not None else books.size
    claims = [Claim(digest, "config", Trust.CONFIGURED) for digest in wanted.digests]
    receipt = place.receipt
    if receipt is None:
        return await _as_read(place, wanted, claims, books, size) if claims else "it has no receipt that fits it"
    if size is not None and size != receipt.size:
        return f"it has {receipt.size} bytes, not {size}"
    if claims:
        return await _as_claimed(place.places, receipt, claims, books)
    if receipt.url != wanted.url:
        return f"it came from {receipt.url}"
    if books.options.require_digest and receipt.status != "verified":
        return "nobody said what it must hash to"
    return receipt


async def _as_claimed(places: Places, receipt: Receipt, claims: Sequence[Claim], books: Books) -> Receipt | str:
    digests = dict(receipt.digests)
    proof = _proof(claims, digests)
    late = missing(claims, _values(digests))
    if late and not isinstance(verdict(claims, _values(digests)), Mismatch):
        found = await _read(places, receipt.size, late, books)
        if isinstance(found, str):
            return found
        digests |= found
        proof = _proof(claims, digests)
        if (await run_blocking(standing, places)).kind != "ours":
            return _WRITTEN_TO
    if isinstance(proof, Claim) and (late or receipt.rank < RANKS["configured"]):
        receipt = _proven(receipt, digests, claims, proof)
        await uninterrupted(run_blocking(partial(_remember, places, receipt)))
    return receipt if isinstance(proof, Claim) else proof


async def _as_read(
    place: Place, wanted: Wanted, claims: Sequence[Claim], books: Books, size: int | None
) -> Receipt | str:
    """Hold a file to the caller's digests by its bytes alone; give it a receipt, or its old one a new time."""
    places, old = place.places, place.standing.receipt
    look = await run_blocking(_look, places)
    if look is None:
        return "it is no file any more"
    if size is not None and size != look.size:
        return f"it has {look.size} bytes, not {size}"
    known = [name for name in old.digests if is_available(name)] if old is not None else []
    digests = await _digests(places, look, algorithms_for(claims, [*books.options.algorithms, *known]), books)
    if isinstance(digests, str):
        return digests
    proof = _proof(claims, digests)
    if not isinstance(proof, Claim):
        return proof
    if old is not None and known and all(digests[name] == old.digests[name].lower() for name in known):
        receipt = _proven(old, {**old.digests, **digests}, claims, proof)  # the same bytes: their pieces still hold
    else:
        receipt = receipt_of(wanted, places.path, look.size, digests, books, proof, 0.0)
    receipt = replace(receipt, size=look.size, mtime_ns=look.mtime_ns, inode=look.inode)
    if books.options.is_durable:
        await uninterrupted(run_blocking(_sync, places))
    await uninterrupted(run_blocking(partial(_remember, places, receipt, is_new=True)))
    return receipt


async def _digests(places: Places, look: _Look, names: tuple[str, ...], books: Books) -> dict[str, str] | str:
    """Return the digests of a file that is nobody's, or why they cannot be told."""
    found = await _read(places, look.size, names, books)
    return found if await run_blocking(_look, places) == look else _WRITTEN_TO


async def _read(places: Places, size: int, names: tuple[str, ...], books: Books) -> dict[str, str] | str:
    """Return the digests of what has the name, or why it cannot be read: that costs this file, not all that follow."""
    try:
        return await digests_of(books.crew, str(places.target), size, names)
    except GivenUp as trouble:
        if trouble.fault is not Fault.DISK:
            raise
        return f"it cannot be read: {trouble.detail}"


def _look(places: Places) -> _Look | None:
    """Return what a file looks like now; None when there is none, or something else."""
    found = DISK.lstat(places.target)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return _Look(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


def _proof(claims: Sequence[Claim], digests: dict[str, str]) -> Claim | str:
    """Return the claim that verifies a file, or why none does."""
    match verdict(claims, _values(digests)):
        case Mismatch(claim, got):
            return f"{got} instead of {claim}"
        case Verified(claim):
            return claim
        case Unverified(why):
            return why
        case judged:
            assert_never(judged)


def _proven(receipt: Receipt, digests: dict[str, str], claims: Sequence[Claim], proof: Claim) -> Receipt:
    """Return a receipt that knows the caller's digests as well."""
    words = [each for each in map(claim_words, claims) if each not in receipt.claims]
    return replace(
        receipt, digests=digests, status="verified", verified_by=claim_words(proof), claims=(*receipt.claims, *words)
    )


def _sync(places: Places) -> None:
    """Wait for the disk to have what somebody else wrote: no receipt may outlive its file. Raises OSError."""
    fd = DISK.open(places.target, os.O_RDONLY)
    try:
        DISK.fsync(fd)
    finally:
        DISK.close(fd)
    DISK.sync_folder(places.target.parent)


def _remember(places: Places, receipt: Receipt, *, is_new: bool = False) -> None:
    try:
        if is_new:  # what a download left that the file has overtaken; the journal first, as it keeps the rest
            DISK.unlink(places.journal)
            remove_scraps(places)
        store(receipt, places.receipt, places.scrap())
    except OSError:
        pass  # the file is what is wanted all the same; the next run has to read it again


def _values(digests: dict[str, str]) -> dict[str, bytes]:
    """Return digests as bytes, without those that make no sense: a receipt may be edited by anybody."""
    found: dict[str, bytes] = {}
    for name, value in digests.items():
        try:
            found[name] = bytes.fromhex(value)
        except ValueError:
            continue  # computed anew, if it is wanted
    return found
