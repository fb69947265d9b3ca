"""Files with checksums: digest fields (RFC 9530), Content-MD5, a list of sums, a file that does not match."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator

from crawler.demo.answer import Answer, Kind, encode
from crawler.demo.cases.case import Case, content

SIZES = (0, 1_000, 8_192, 50_000, 131_072, 262_144)
_BINARY = ("Content-Type", "application/octet-stream")


def files(origin: str, key: int) -> Iterator[Case]:
    """Yield the files, their list of sums included."""
    sums = []
    for number, size in enumerate(SIZES, 1):
        body = _bytes(key, number, size)
        sums.append(f"{hashlib.sha256(body).hexdigest()}  {number}.bin\n")
        headers = (_BINARY, ("Content-Digest", _digest(body)), ("Repr-Digest", _digest(body)))
        yield content(f"{origin}/files/{number}.bin", body, headers, note=f"{size:,} bytes, with digest fields")
    listed = "".join(sums).encode()
    yield content(
        f"{origin}/files/SHA256SUMS", listed, (("Content-Type", "text/plain"),), note="the sums of the numbered files"
    )
    body = _bytes(key, 100, 3_000)
    md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    yield content(f"{origin}/files/md5.bin", body, (_BINARY, ("Content-MD5", md5)), note="with Content-MD5 (RFC 1864)")
    other = _bytes(key, 101, 3_000)
    yield content(
        f"{origin}/files/mismatch.bin",
        body,
        (_BINARY, ("Content-Digest", _digest(other))),
        note="a digest field that does not match",
        kind=Kind.FAULT,
    )
    yield _coded(origin)


def _coded(origin: str) -> Case:
    table = "".join(f"{n},{n * n}\n" for n in range(500)).encode()
    packed = encode(table, ("gzip",))  # both digests are of the bytes as coded (RFC 9530 2 and 3)
    headers = (
        ("Content-Type", "text/csv"),
        ("Content-Encoding", "gzip"),
        ("Content-Digest", _digest(packed)),
        ("Repr-Digest", _digest(packed)),
        ("Content-Disposition", 'attachment; filename="squares.csv"'),
    )
    answer = Answer(200, headers, packed)
    return Case(f"{origin}/files/squares.csv", Kind.PAGE, answer, table, note="a coded file; digests are of the coding")


def _digest(body: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def _bytes(key: int, number: int, size: int) -> bytes:
    return hashlib.shake_128(f"{key}/{number}".encode()).digest(size)
