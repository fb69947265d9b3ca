"""Canonical URLs (WHATWG URL standard, by ada) and their fingerprints.

A canonical URL here is the WHATWG serialisation of an http(s) URL without fragment and without credentials
(`http://a:b@host` says who asked, not what is there). Nothing else is changed: no sorted queries, no lower-cased
paths, no dropped slashes; rules that only hold for some sites are the user's to set.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NewType

from ada_url import join_url, normalize_url

CanonicalUrl = NewType("CanonicalUrl", str)

_WEB = ("http://", "https://")


def canonicalize(url: str, base: str | None = None) -> CanonicalUrl | None:
    """Return the canonical form of `url`, resolved against `base`; None when it is no http(s) URL."""
    # The first "#" starts the fragment wherever it stands. It is emptied here and its mark cut off below, which saves
    # two calls; the mark stays until then, because white space before it counts and white space at the end does not.
    address, mark, _ = url.partition("#")
    try:
        canonical = normalize_url(address + mark) if base is None else join_url(base, address + mark)
    except ValueError:
        return None
    if mark:
        canonical = canonical.removesuffix("#")
    if not canonical.startswith(_WEB):
        return None
    if "@" in canonical:
        canonical = _without_credentials(canonical)
    return CanonicalUrl(canonical)


def _without_credentials(url: str) -> str:
    scheme, _, authority, path = url.split("/", 3)  # a canonical URL has a path, and an "@" in credentials is escaped
    return f"{scheme}//{authority.rpartition('@')[2]}/{path}"


def host_of(url: str) -> str:
    """Return the host name of a canonical URL, without port: the unit of politeness."""
    authority = url.split("/", 3)[2]
    if authority.startswith("["):
        return authority[: authority.index("]") + 1]
    return authority.partition(":")[0]


def origin_of(url: str) -> str:
    """Return scheme, host and port of a canonical URL, without a trailing slash: the unit of robots.txt."""
    scheme, _, authority = url.split("/", 3)[:3]
    return f"{scheme}//{authority}"


def fingerprinter(key: bytes) -> Callable[[str], int]:
    """Return a function from canonical URL to a signed 64-bit fingerprint (BLAKE2b, keyed).

    The key belongs to the job: without it nobody can make two URLs collide on purpose. At ten million
    URLs the chance of any accidental collision is 3e-6.
    """
    start = blake2b(digest_size=8, key=key)

    def fingerprint(url: str) -> int:
        state = start.copy()
        state.update(url.encode("utf-8", "surrogatepass"))
        return int.from_bytes(state.digest(), "little", signed=True)

    return fingerprint
