"""Digests of whole files: their names, their spellings, and the hashes that compute them.

A digest is written in many ways: `sha256:HEX` in a config, `sha-256=HEX` for aria2, `sha-256=:BASE64:` in a field of
RFC 9530, `sha256-BASE64` for a browser (Subresource Integrity), bare hex in a checksum file. All become one value
here: an algorithm by the name that hashlib uses, and bytes of exactly that algorithm's length. A value of any other
length is no digest of that algorithm, so it is refused and never compared.

Checksums (CRC, Adler) and broken hashes (MD5, SHA-1) are welcome: they find a broken transfer. How strong an algorithm
is tells `strength`; how far its source is believed is another question (`crawler.download.proof.discover`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, Protocol

from crawler.download.proof.checksum import HAS_CRC32C, crc32c

Readable = bytes | bytearray | memoryview


class Hasher(Protocol):
    """What computes a digest, as hashlib's objects do."""

    def update(self, data: Readable, /) -> object:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes so far, in network byte order."""


class DigestError(ValueError):
    """A text is no digest that we can use. The message names the text, the rule and the remedy."""


class MissingExtra(DigestError):
    """The algorithm needs a package that is not installed. `extra` is what to install."""

    def __init__(self, algorithm: str, extra: str) -> None:
        super().__init__(f"{algorithm} needs an extra: pip install 'crawlmill[{extra}]'")
        self.algorithm, self.extra = algorithm, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return type(self), (self.algorithm, self.extra)


class Digest(NamedTuple):
    """One digest of a whole file; `str()` gives `sha256:HEX`, which `parse_digest` reads back."""

    algorithm: str
    """By the name of hashlib: a key of `ALGORITHMS`."""
    value: bytes

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value.hex()}"


class _Checksum:
    """A 32-bit checksum in the shape of a hash; its digest is in network byte order, as RFC 9530 5 has it."""

    def __init__(self, extend: Callable[[Readable, int], int], start: int = 0) -> None:
        self._extend, self._sum = extend, start

    def update(self, data: Readable, /) -> None:
        self._sum = self._extend(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")


def _blake3() -> Hasher:
    try:
        from blake3 import blake3
    except ImportError as exc:
        raise MissingExtra("blake3", "blake3") from exc
    return blake3()


def _crc32c() -> Hasher:
    if not HAS_CRC32C:
        raise DigestError("crc32c needs the compiled part of google-crc32c, which there is not for this platform")
    return _Checksum(crc32c)


class Algorithm(NamedTuple):
    """What is known of an algorithm."""

    size: int
    """Bytes of a digest."""
    new: Callable[[], Hasher]


def _of_hashlib(name: str) -> Callable[[], Hasher]:
    return partial(hashlib.new, name, usedforsecurity=False)  # FIPS builds allow md5 and sha1 only with this word


ALGORITHMS: dict[str, Algorithm] = {
    "sha512": Algorithm(64, _of_hashlib("sha512")),
    "sha3_512": Algorithm(64, _of_hashlib("sha3_512")),
    "blake2b": Algorithm(64, _of_hashlib("blake2b")),
    "sha384": Algorithm(48, _of_hashlib("sha384")),
    "sha3_384": Algorithm(48, _of_hashlib("sha3_384")),
    "sha256": Algorithm(32, _of_hashlib("sha256")),
    "sha3_256": Algorithm(32, _of_hashlib("sha3_256")),
    "blake3": Algorithm(32, _blake3),
    "blake2b-256": Algorithm(32, partial(hashlib.blake2b, digest_size=32, usedforsecurity=False)),
    "blake2s": Algorithm(32, _of_hashlib("blake2s")),
    "sha224": Algorithm(28, _of_hashlib("sha224")),
    "sha3_224": Algorithm(28, _of_hashlib("sha3_224")),
    "sha1": Algorithm(20, _of_hashlib("sha1")),
    "md5": Algorithm(16, _of_hashlib("md5")),
    "crc32c": Algorithm(4, _crc32c),
    "crc32": Algorithm(4, partial(_Checksum, zlib.crc32)),
    "adler32": Algorithm(4, partial(_Checksum, zlib.adler32, 1)),
}
"""Strongest first."""

_STRENGTH = {name: len(ALGORITHMS) - at for at, name in enumerate(ALGORITHMS)}

_ALIASES = {
    **{re.sub(r"[-_]", "", name): name for name in ALGORITHMS},
    "sha": "sha1",  # RFC 3230 and RFC 9530: "sha" is SHA-1
    "sha2224": "sha224",  # SHA2-224 and so on: OpenSSL 3
    "sha2256": "sha256",
    "sha2384": "sha384",
    "sha2512": "sha512",
    "blake2b512": "blake2b",
    "blake2s256": "blake2s",
    "adler": "adler32",  # RFC 9530 5
}

_BY_HEX_LENGTH = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_BASE64 = re.compile(r"([A-Za-z0-9+/]+)={0,2}")
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_/-]*)[ ]*[:=][ ]*(\S+)")
_INTEGRITY = re.compile(r"([A-Za-z0-9]+)-([A-Za-z0-9+/]+={0,2})")  # W3C Subresource Integrity 3.1
MAX_DIGEST_TEXT = 256  # characters: the longest spelling has some 140


def canonical(name: str) -> str | None:
    """Return the name of an algorithm as `ALGORITHMS` has it, whatever the spelling: `SHA-256`, `SHA2-256`, `sha_256`.

    None when it is none that we know.
    """
    return _ALIASES.get(re.sub(r"[-_]", "", name[:MAX_DIGEST_TEXT].strip().lower()))


def strength(algorithm: str) -> int:
    """Return the rank of an algorithm, the strongest highest; 0 when it is unknown."""
    return _STRENGTH.get(algorithm, 0)


def strongest(algorithms: Iterable[str]) -> str | None:
    """Return the strongest of the known ones among `algorithms`; None when there is none."""
    return max((name for name in algorithms if name in ALGORITHMS), key=strength, default=None)


def new_hash(algorithm: str) -> Hasher:
    """Begin a hash; any spelling of the name will do.

    Raises `MissingExtra` when a package is missing, `DigestError` when the algorithm is unknown.
    """
    name = canonical(algorithm)
    if name is None:
        raise DigestError(f"unknown digest algorithm {algorithm[:40]!r}; known are {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name].new()


def is_available(algorithm: str) -> bool:
    """Tell whether `new_hash` would give a hash."""
    try:
        new_hash(algorithm)
    except DigestError:
        return False
    return True


def digest_of(algorithm: str, data: Readable) -> Digest:
    """Hash bytes that are in memory."""
    hasher = new_hash(algorithm)
    hasher.update(data)
    return Digest(canonical(algorithm) or algorithm, hasher.digest())


def is_equal(left: Digest, right: Digest) -> bool:
    """Compare algorithm and value."""
    return left.algorithm == right.algorithm and hmac.compare_digest(left.value, right.value)


def decode(algorithm: str, text: str) -> Digest | None:
    """Return the digest that `text` (hex or base64, with or without padding) spells for an algorithm.

    None when the algorithm is unknown or the value has not its length. No text is both: only a base64 text of the
    right length that is also hex of the right length could be, and for no length they are equally long.
    """
    name = canonical(algorithm)
    if name is None or len(text) > MAX_DIGEST_TEXT:
        return None
    size = ALGORITHMS[name].size
    if len(text) == 2 * size and _HEX.fullmatch(text):
        return Digest(name, bytes.fromhex(text))
    match = _BASE64.fullmatch(text)
    if match is None:
        return None
    try:
        value = b64decode(match[1] + "=" * (-len(match[1]) % 4), validate=True)
    except ValueError:
        return None
    return Digest(name, value) if len(value) == size else None


def by_length(text: str) -> Digest | None:
    """Return the digest of a bare hex text, its algorithm told by its length (SHA-2 before its rivals of that length).

    None when it is no hex or of no length that tells.
    """
    name = _BY_HEX_LENGTH.get(len(text))
    return decode(name, text) if name is not None and _HEX.fullmatch(text) else None


def parse_digest(text: str) -> Digest:
    """Read a digest as a person writes it.

    `sha256:HEX`, `sha-256=BASE64`, `sha-256=HEX` (aria2), `sha-256=:BASE64:` (RFC 9530), `sha256-BASE64` (SRI), or bare
    hex. Raises `DigestError`.
    """
    shown = f"{text[:40]}…" if len(text) > 40 else text
    trimmed = text.strip()
    if len(trimmed) > MAX_DIGEST_TEXT:
        raise DigestError(f"digest {shown!r}: longer than any digest")
    if (bare := by_length(trimmed)) is not None:
        return bare
    match = _NAMED.fullmatch(trimmed)
    if match is None or canonical(match[1]) is None:
        match = _INTEGRITY.fullmatch(trimmed) or match
    if match is None:
        raise DigestError(
            f"digest {shown!r}: expected ALGORITHM:HEX, ALGORITHM=BASE64, or the bare hex of a known length"
        )
    algorithm, value = match[1], match[2]
    if len(value) > 2 and value[0] == value[-1] == ":":
        value = value[1:-1]
    name = canonical(algorithm)
    if name is None:
        raise DigestError(f"digest {shown!r}: unknown algorithm {algorithm[:40]!r}; known are {', '.join(ALGORITHMS)}")
    found = decode(name, value)
    if found is None:
        size = ALGORITHMS[name].size
        raise DigestError(
            f"digest {shown!r}: {name} has {size} bytes: {2 * size} hex digits, or base64 of {size} bytes"
        )
    return found
