"""What a file is said to hash to, who says so, and whether the bytes agree.

Every digest that is found becomes a `Claim` with its source and its trust: configured by the user, said by the file's
own origin, said by another origin. `verdict` compares what was computed with the claims of the strongest trust that can
be compared; a weaker one never overrules, but that it disagrees is recorded. At the deciding trust all must match: of
two sources that contradict each other one is wrong, nobody knows which, and a file is right or absent.

An ETag is never a digest, even where it looks like one: S3 makes it of the digests of the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Literal, NamedTuple

from crawler.download.proof.digests import (
    ALGORITHMS,
    Digest,
    canonical,
    decode,
    is_available,
    is_equal,
    strength,
)
from pipelines.digest import parse_content_md5, parse_digest_field, parse_legacy_digest
from pipelines.url import canonicalize, origin_of

Lines = Sequence[tuple[str, str]]
"""Header lines in their order, names in lower case."""


class Trust(IntEnum):
    """How far a source is believed: more is more."""

    OTHER_ORIGIN = 1
    """Said by somebody else than the origin of the file: a mirror, a page elsewhere."""
    SAME_ORIGIN = 2
    """Said by the origin that the file comes from: it finds broken transfers, not a broken server."""
    CONFIGURED = 3
    """Given by the user, in the config, on the command line, or in a local manifest."""


class Claim(NamedTuple):
    """One digest that somebody says the file has."""

    digest: Digest
    source: str
    """`config`, `described URL` (by a Metalink), `sidecar URL`, `header repr-digest`, `trailer repr-digest`."""
    trust: Trust

    def __str__(self) -> str:
        return f"{self.digest} ({self.source})"


def claim_words(claim: Claim) -> dict[str, str]:
    """Return a claim as a receipt has it."""
    digest, source, trust = claim
    return {
        "algorithm": digest.algorithm, "value": digest.value.hex(), "source": source, "trust": trust.name.lower()
    }  # fmt: skip


def claim_of(words: object) -> Claim | None:
    """Return a claim that a receipt has; None when it makes no sense any more."""
    if not isinstance(words, dict):
        return None
    try:
        digest = Digest(words["algorithm"], bytes.fromhex(words["value"]))
        return Claim(digest, words["source"], Trust[words["trust"].upper()])
    except (KeyError, ValueError):
        return None


class Verified(NamedTuple):
    """The bytes have the digest of `claim`, the strongest of the deciding ones."""

    claim: Claim
    disagreeing: tuple[Claim, ...] = ()
    """Claims of weaker trust that say something else."""


class Mismatch(NamedTuple):
    """The bytes have another digest than `claim` says."""

    claim: Claim
    got: Digest
    agreeing: tuple[Claim, ...] = ()
    """Claims that do match the bytes: sources that contradict `claim`."""


class Unverified(NamedTuple):
    """Nothing was compared."""

    why: str
    disagreeing: tuple[Claim, ...] = ()
    """Claims that do not match the bytes, where the one that counts could not be compared."""


Verdict = Verified | Mismatch | Unverified


def trust_of(source_url: str, file_url: str) -> Trust:
    """Return the trust of what `source_url` says about `file_url`: the same scheme, host and port, or not."""
    source, file = canonicalize(source_url), canonicalize(file_url)
    if source is None or file is None or origin_of(source) != origin_of(file):
        return Trust.OTHER_ORIGIN
    return Trust.SAME_ORIGIN


def claims_of(
    lines: Lines,
    *,
    is_whole: bool,
    trust: Trust = Trust.SAME_ORIGIN,
    place: Literal["header", "trailer"] = "header",
) -> list[Claim]:
    """Return the digests of the whole file that header or trailer lines announce.

    `is_whole` says that the message carried the whole file (a 200, or a 206 of all of it): digests of the message's
    content are digests of the file only then. Unknown algorithms and values of a wrong length are left out.
    Never raises.
    """
    claims: list[Claim] = []
    for name, read in _FIELDS.items():
        if name in _OF_CONTENT and not is_whole:
            continue
        values = [value for field, value in lines if field == name]
        found = dict.fromkeys(read(values, lines)) if values else {}
        claims += [Claim(digest, f"{place} {name}", trust) for digest in found]
    return claims


def sidecar_url(file_url: str, pattern: str) -> str | None:
    """Return where a checksum file would be: `.sha256` is added to the name, `SHA256SUMS` stands beside the file.

    None when the file's URL has no name to which it could belong.
    """
    path = file_url.partition("#")[0].partition("?")[0]
    if canonicalize(path) is None or path.endswith("/") or path.count("/") < 3:
        return None
    return canonicalize(path + pattern if pattern.startswith(".") else path.rpartition("/")[0] + "/" + pattern)


def algorithms_for(claims: Iterable[Claim], record: Iterable[str] = ("sha256",)) -> tuple[str, ...]:
    """Return the algorithms to compute: all that the user gave, the strongest of every other source, and `record`.

    Only the strongest of a source, because each costs a pass of the CPU over the file; RFC 9530 leaves the choice to
    the recipient. Extras that are not installed are left out, unless configured: `new_hash` tells which is missing.
    """
    wanted = {canonical(name) or name: None for name in record}
    best: dict[str, str] = {}
    for claim in claims:
        algorithm = claim.digest.algorithm
        if claim.trust is Trust.CONFIGURED:
            wanted[algorithm] = None
        elif is_available(algorithm) and strength(algorithm) > strength(best.get(claim.source, "")):
            best[claim.source] = algorithm
    return tuple(dict.fromkeys([*wanted, *best.values()]))


def verdict(claims: Iterable[Claim], digests: Mapping[str, bytes]) -> Verdict:
    """Compare computed digests (algorithm, as in `ALGORITHMS`, to value) with the claims.

    Where a configured digest was not computed, a weaker claim cannot verify the file; it can still show that it is
    wrong.
    """
    ranked = sorted(claims, key=lambda claim: (claim.trust, strength(claim.digest.algorithm)), reverse=True)
    if not ranked:
        return Unverified("no digest is known")
    compared = [claim for claim in ranked if claim.digest.algorithm in digests]
    matching = tuple(claim for claim in compared if is_equal(claim.digest, _got(claim, digests)))
    failing = tuple(claim for claim in compared if claim not in matching)
    uncompared = [claim for claim in ranked if claim.digest.algorithm not in digests]
    for claim in failing:
        if claim.trust is compared[0].trust:
            return Mismatch(claim, _got(claim, digests), matching)
    if not compared or (uncompared and uncompared[0].trust is Trust.CONFIGURED):
        return Unverified(f"not computed: {uncompared[0]}", failing)
    return Verified(compared[0], failing)


def missing(claims: Iterable[Claim], digests: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the algorithms that must still be computed to judge `claims`: for a digest that came in a trailer."""
    return tuple(name for name in algorithms_for(claims, ()) if name not in digests)


def _got(claim: Claim, digests: Mapping[str, bytes]) -> Digest:
    return Digest(claim.digest.algorithm, digests[claim.digest.algorithm])


# -- one reader for each field: its values in order, and all lines, to the digests it announces


_Read = Callable[[Sequence[str], Lines], Iterable[Digest]]


def _known(name: str, value: bytes) -> list[Digest]:
    algorithm = canonical(name)
    return [Digest(algorithm, value)] if algorithm is not None and len(value) == ALGORITHMS[algorithm].size else []


def _structured(values: Sequence[str], _: Lines) -> Iterable[Digest]:
    """RFC 9530; several lines are one field (RFC 9651 4.2)."""
    return [digest for found in parse_digest_field(", ".join(values)) for digest in _known(*found)]


def _legacy(values: Sequence[str], _: Lines) -> Iterable[Digest]:
    """RFC 3230; dCache and others write Adler and CRC as hex, which is a base64 of another length."""
    for value in values:
        for name, digest in parse_legacy_digest(value):
            yield from _known(name, digest)
        for member in value.split(","):
            name, _equals, text = member.strip().partition("=")
            if canonical(name) in ("adler32", "crc32c", "crc32") and len(text) == 8:
                yield from _decoded(name, [text])


def _content_md5(values: Sequence[str], _: Lines) -> Iterable[Digest]:
    """RFC 1864, withdrawn by RFC 7231 and still sent."""
    return [digest for value in values for found in parse_content_md5(value) for digest in _known(*found)]


def _google(values: Sequence[str], lines: Lines) -> Iterable[Digest]:
    """`crc32c=BASE64`, `md5=BASE64`, in one line or in two; of the stored bytes, so no claim where they are unpacked.

    https://cloud.google.com/storage/docs/xml-api/reference-headers, "decompressive transcoding".
    """
    stored, sent = _one(lines, "x-goog-stored-content-encoding"), _one(lines, "content-encoding")
    if stored not in ("", "identity", sent):
        return
    for value in values:
        for member in value.split(","):
            name, _equals, text = member.strip().partition("=")
            if canonical(name) in ("md5", "crc32c"):
                yield from _decoded(name, [text])


def _amazon(algorithm: str) -> _Read:
    """Return the reader of one `x-amz-checksum-*`: base64, of the whole object unless it is composite.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html: a COMPOSITE one is the
    checksum of the parts' checksums, which a `-N` at its end tells as well.
    """

    def read(values: Sequence[str], lines: Lines) -> Iterable[Digest]:
        if _one(lines, "x-amz-checksum-type") not in ("", "full_object"):
            return []
        return _decoded(algorithm, values)  # a `-N` is no base64

    return read


def _plain(algorithm: str) -> _Read:
    """Return the reader of a field that is hex or base64 and nothing else."""
    return lambda values, _: _decoded(algorithm, values)


def _decoded(algorithm: str, texts: Iterable[str]) -> list[Digest]:
    found = (decode(algorithm, text.strip()) for text in texts)
    return [digest for digest in found if digest is not None]


def _one(lines: Lines, name: str) -> str:
    """Return a short word of the head in lower case; empty when absent."""
    return ", ".join(value.strip().lower() for field, value in lines if field == name)


_OF_CONTENT = frozenset({"content-digest", "content-md5"})
"""Digests of what this message carries, not of the file (RFC 9530 2, RFC 1864)."""

_FIELDS: dict[str, _Read] = {
    "repr-digest": _structured,
    "content-digest": _structured,
    "digest": _legacy,
    "content-md5": _content_md5,
    "x-goog-hash": _google,
    **{f"x-amz-checksum-{name}": _amazon(name) for name in ("sha256", "sha1", "crc32c", "crc32")},
    "x-ms-blob-content-md5": _plain("md5"),  # Azure: of the whole blob, also on a 206
    **{f"x-checksum-{name}": _plain(name) for name in ("sha512", "sha256", "sha1", "md5")},  # Artifactory
}
