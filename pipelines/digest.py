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

# The grammar of a dictionary, RFC 9651 4.2.2. Alternatives begin with different characters, so it reads in linear time.
_KEY = r"[a-z*][a-z0-9_.*-]*"
_BYTES = r":[A-Za-z0-9+/]*={0,2}:"
_OTHER = (
    r'"(?:[ !#-\[\]-~]|\\["\\])*"'  # a string
    r'|%"[ !#-~]*"'  # a display string
    r"|\?[01]|@?-?[0-9]{1,15}(?:\.[0-9]{1,3})?"  # a boolean; a date, an integer, a decimal
    r"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"  # a token
)
_PARAMETERS = rf"(?:; *{_KEY}(?:=(?:{_BYTES}|{_OTHER}))?)*"
_ITEM = rf"(?:{_BYTES}|{_OTHER}){_PARAMETERS}"
_INNER_LIST = rf"\( *(?:{_ITEM}(?: +{_ITEM})* *)?\)"
_MEMBER = re.compile(rf"({_KEY})(?:=(?:({_BYTES})|{_OTHER}|{_INNER_LIST}))?{_PARAMETERS}")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
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

    Empty when the field is no dictionary: the whole field is ignored then (RFC 9651 4.2). A member that is no byte
    sequence is no digest; the others count.
    """
    found: dict[str, bytes] = {}
    field = field.strip(" ")
    at = 0
    while at < len(field):
        match = _MEMBER.match(field, at)
        if match is None:
            return []
        found.pop(match[1], None)
        if match[2] is not None:
            digest = _byte_sequence(match[2])
            if digest is None:
                return []
            found[match[1]] = digest
        at = match.end()
        if at < len(field):
            comma = _COMMA.match(field, at)
            if comma is None or comma.end() == len(field):  # a comma at the end is an error
                return []
            at = comma.end()
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


def _byte_sequence(item: str) -> bytes | None:
    """Decode `:BASE64:`; missing padding is forgiven, as RFC 9651 4.2.7 wants."""
    digits = item[1:-1].rstrip("=")
    return _base64(digits + "=" * (-len(digits) % 4))
