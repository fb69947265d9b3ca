"""Whether a file that is there already is what is wanted now: as its receipt tells, or as its bytes do.

A digest that the caller gives decides. One that the receipt does not have is computed from the file, once: the receipt
remembers it, and that the caller's word now stands behind the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from crawler.download.crew import Crew
from crawler.download.disk.finish import standing
from crawler.download.disk.layout import Places
from crawler.download.disk.receipt import RANKS, Receipt, store
from crawler.download.place import Place
from crawler.download.proof.discover import Claim, Mismatch, Trust, Verified, missing, verdict
from crawler.download.quiet import uninterrupted
from crawler.download.report import claim_words
from crawler.download.values import Wanted
from crawler.download.whole import digests_of
from pipelines.cpu import run_blocking


async def as_wanted(
    place: Place, wanted: Wanted, crew: Crew, *, size: int | None, must_be_proven: bool
) -> Receipt | str:
    """Return the receipt of the file that has the target's name, or why that file is not what is wanted.

    `size`: what the file must have, if anybody said; `must_be_proven`: a file without a digest will not do. Raises
    GivenUp when the file cannot be read.
    """
    receipt = place.receipt
    if receipt is None:
        return "it has no receipt that fits it"
    if size is not None and size != receipt.size:
        return f"it has {receipt.size} bytes, not {size}"
    if wanted.digests:
        claims = [Claim(digest, "config", Trust.CONFIGURED) for digest in wanted.digests]
        return await _as_claimed(place.places, receipt, claims, crew)
    if receipt.url != wanted.url:
        return f"it came from {receipt.url}"
    if must_be_proven and receipt.status != "verified":
        return "nobody said what it must hash to"
    return receipt


async def _as_claimed(places: Places, receipt: Receipt, claims: Sequence[Claim], crew: Crew) -> Receipt | str:
    digests = dict(receipt.digests)
    judged = verdict(claims, _values(digests))
    late = missing(claims, _values(digests))
    if late and not isinstance(judged, Mismatch):
        digests |= await digests_of(crew, str(places.target), receipt.size, late)
        judged = verdict(claims, _values(digests))
        if (await run_blocking(standing, places)).kind != "ours":
            return "it was written to while it was read"
    match judged:
        case Mismatch(claim, got):
            return f"{got} instead of {claim}"
        case Verified(claim):
            if late or receipt.rank < RANKS["configured"]:
                words = [each for each in map(claim_words, claims) if each not in receipt.claims]
                receipt = replace(
                    receipt, digests=digests, status="verified", verified_by=claim_words(claim),
                    claims=(*receipt.claims, *words),
                )  # fmt: skip
                await uninterrupted(run_blocking(partial(_remember, places, receipt)))
            return receipt
        case _:
            return judged.why


def _remember(places: Places, receipt: Receipt) -> None:
    try:
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
