"""Digest fields of HTTP: what a server says the bytes hash to.

Content-Digest and Repr-Digest are RFC 9530 (a structured field: `sha-256=:BASE64:`), Digest is RFC 3230, which it
replaced (`SHA-256=BASE64`), Content-MD5 is RFC 1864. Algorithms too weak against an attacker still find a broken
transfer, which is all that is asked of them here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "sha-512": hashlib.sha512,
    "sha-256": hashlib.sha256,
    "sha": lambda data: hashlib.sha1(data, usedforsecurity=False),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False),
}
"""Strongest first: one is enough."""

_MEMBER = re.compile(r"[ \t]*([a-z*][a-z0-9_.*-]*)=(?::([A-Za-z0-9+/=]*):|([^,;]*))(?:;[^,]*)?[ \t]*(?:,|$)")
_LEGACY = re.compile(r"[ \t]*([A-Za-z0-9-]+)=([A-Za-z0-9+/=]+)(?:;[^,]*)?[ \t]*(?:,|$)")


class Verdict(Enum):
    """What comparing a body with a digest field came to."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    """No algorithm we know, or no valid field: nothing was compared."""


class Expected(NamedTuple):
    """One digest that a server announced."""

    algorithm: str
    """Lower case, as in the IANA registry: `sha-256`."""
    digest: bytes


def parse_digest_field(field: str) -> list[Expected]:
    """Return the digests of a Content-Digest or Repr-Digest field; of a repeated key the last counts (RFC 9651 4.2.2).

    Empty when the field is no dictionary of byte sequences: the whole field is ignored then (RFC 9651 4.2).
    """
    found: dict[str, bytes] = {}
    at = 0
    while at < len(field):
        match = _MEMBER.match(field, at)
        if match is None:
            return []
        at = match.end()
        digest = _base64(match[2]) if match[2] is not None else None
        if digest is not None:
            found[match[1]] = digest
    return [Expected(*item) for item in found.items()]


def parse_legacy_digest(field: str) -> list[Expected]:
    """Return the digests of a Digest field of RFC 3230."""
    digests = ((name.lower(), _base64(value)) for name, value in _LEGACY.findall(field))
    return [Expected(name, digest) for name, digest in digests if digest is not None]


def parse_content_md5(field: str) -> list[Expected]:
    """Return the digest of a Content-MD5 field."""
    digest = _base64(field.strip())
    return [Expected("md5", digest)] if digest is not None else []


def compare(data: bytes, expected: list[Expected]) -> Verdict:
    """Hash `data` with the strongest algorithm that is known and compare."""
    announced = dict(expected)
    for algorithm, new_hash in _HASHES.items():
        if algorithm in announced:
            is_equal = hmac.compare_digest(new_hash(data).digest(), announced[algorithm])
            return Verdict.MATCH if is_equal else Verdict.MISMATCH
    return Verdict.UNKNOWN


def _base64(value: str) -> bytes | None:
    try:
        return b64decode(value, validate=True)
    except ValueError:
        return None
