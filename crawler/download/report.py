"""What is told of a file in the end: its receipt for the disk, its result for the caller."""

from __future__ import annotations

from datetime import UTC, datetime

from crawler.download.books import Books
from crawler.download.disk.receipt import Receipt
from crawler.download.fault import Fault
from crawler.download.proof.discover import Claim, claim_of, claim_words
from crawler.download.values import FileResult, Status, Wanted


def receipt_of(
    wanted: Wanted, path: str, size: int, digests: dict[str, str], books: Books, claim: Claim | None, seconds: float
) -> Receipt:
    """Return the receipt of a file whose bytes are all there; `claim` is what verified it, if anything did."""
    return Receipt(
        url=wanted.url,
        path=path,
        size=size,
        digests=digests,
        status="unverified" if claim is None else "verified",
        verified_by=None if claim is None else claim_words(claim),
        claims=tuple(claim_words(each) for each in books.claims.values()),
        final_url="" if books.final_url == wanted.url else books.final_url,
        mirrors=books.mirrors,
        places=wanted.mirrors,
        identity=books.identity._asdict(),
        pieces=tuple((first, piece.end, piece.checksum) for first, piece in sorted(books.pieces.items())),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        segments=max(1, books.segments),
        retries=books.retries,
        fetched_bytes=books.received_bytes,
        resumed_bytes=books.resumed_bytes,
    )


def result_of(
    wanted: Wanted,
    books: Books,
    seconds: float,
    status: Status,
    *,
    path: str | None = None,
    fault: Fault | None = None,
    detail: str = "",
    size: int | None = None,
    digests: dict[str, str] | None = None,
    claim: Claim | None = None,
    final_url: str = "",
) -> FileResult:
    """Return the result of a file."""
    return FileResult(
        url=wanted.url,
        final_url=final_url or books.final_url,
        path=path,
        status=status,
        fault=fault,
        detail=detail,
        size=size,
        digests=digests or {},
        claims=tuple(books.claims.values()),
        verified_by=claim,
        segments=books.segments,
        retries=books.retries,
        mirrors=sum(source.has_given for source in books.sources.all),
        seconds=seconds,
        fetched_bytes=books.received_bytes,
        resumed_bytes=books.resumed_bytes,
    )


def result_from(receipt: Receipt, seconds: float) -> FileResult:
    """Return the result for a file that was there already, as its receipt tells; nothing was fetched."""
    claims = tuple(claim for words in receipt.claims if (claim := claim_of(words)) is not None)
    return FileResult(
        url=receipt.url,
        final_url=receipt.final_url or receipt.url,
        path=receipt.path,
        status="verified" if receipt.status == "verified" else "unverified",
        fault=None,
        detail="there already",
        size=receipt.size,
        digests=dict(receipt.digests),
        claims=claims,
        verified_by=claim_of(receipt.verified_by),
        segments=0,
        retries=0,
        mirrors=0,
        seconds=seconds,
        fetched_bytes=0,
        resumed_bytes=receipt.size,
    )
