"""What is known of a file that is not finished, as records that prove themselves.

A journal is a line that names its version, one header and then a record for every piece that is on disk. Each record
carries a digest over itself *and* over the digest of the record before it, so the records form a chain that begins in
the header: a record that was torn, altered, left out, put in another place or taken from another journal does not fit,
and neither it nor anything behind it is believed. `read` is total: whatever the bytes, it returns what they prove.

A record says that bytes *were* on disk. Whether they still are, only the disk can tell: pieces of a journal are claims
until they were read again and their checksums compared (`crawler.download.disk.follow.recheck`).

    file    = b"crawlmill-journal 1\n" record*
    record  = length (u32, of what follows it up to the proof) kind (u8) payload proof (8 bytes)
    proof   = blake2b-64(proof of the record before, length, kind, payload)

All numbers are little-endian. The first record is the header (JSON); it holds a random token, so no two chains agree.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from crawler.download.proof.checksum import CHECKSUM

VERSION = 1
MAGIC = b"crawlmill-journal %d\n"
MAX_HEADER_BYTES = 1 << 20

Plain: TypeAlias = str | int | bool | None
"""What a header's mappings may hold."""

_PROOF_BYTES = 8
_LENGTH = struct.Struct("<I")
_PIECE = struct.Struct("<QQIIIB")
_DROP = struct.Struct("<QQ")
_HEADER, _PIECE_KIND, _DROP_KIND = 1, 2, 3
_HAS_LEAD, _HAS_TAIL = 1, 2
_MAX_RECORD = {_HEADER: MAX_HEADER_BYTES, _PIECE_KIND: _PIECE.size + 1, _DROP_KIND: _DROP.size + 1}


class Header(NamedTuple):
    """What all pieces of a journal belong to."""

    url: str
    """As it was asked for, before redirects."""
    path: str
    """The target, relative to the root, with slashes."""
    part: str
    """Name of the temporary file, without a folder."""
    size: int | None
    """Bytes of the whole file; None while nobody knows."""
    identity: Mapping[str, Plain]
    """What the first answer pinned: `Identity._asdict()`."""
    checksum: str = CHECKSUM
    options: Mapping[str, Plain] = {}  # a default that nobody can change: NamedTuples are read
    """For people: segments, piece size. A resume needs none of it."""


class Piece(NamedTuple):
    """A run of bytes that is on disk: `first` to `end`, half-open. Pieces may have any size."""

    first: int
    end: int
    checksum: int
    """Of all its bytes, by the header's algorithm."""
    lead: int | None = None
    """That of the overlap fetched before `first`, if there was one."""
    tail: int | None = None
    """That of its last few KiB, which a neighbour's lead is compared with."""


class Drop(NamedTuple):
    """What was said of these bytes holds no more, as after a seam that did not fit."""

    first: int
    end: int


class Journal(NamedTuple):
    """What a journal proves."""

    header: Header | None
    """None: nothing of it can be used."""
    pieces: tuple[Piece, ...]
    """By position, disjoint: of two that overlap the later record counts."""
    cut_at: int
    """How many bytes were proved. Cut the file here before anything is appended."""
    proof: bytes
    """Of the last record that was proved; what `encode` goes on from."""
    why: str
    """Why reading ended before the end of the bytes; empty if it did not."""


def begin(header: Header) -> tuple[bytes, bytes]:
    """Return the bytes a new journal begins with, and the proof to go on from. Raises ValueError if they are too many.

    `header.part` must be unique to this download: it is what makes the chain its own.
    """
    magic = MAGIC % VERSION
    payload = json.dumps(
        {"url": header.url, "path": header.path, "part": header.part, "size": header.size,
         "identity": dict(header.identity), "checksum": header.checksum, "options": dict(header.options)},
        separators=(",", ":"),
    ).encode()  # fmt: skip
    if len(payload) >= MAX_HEADER_BYTES:
        raise ValueError(f"journal header: expected less than {MAX_HEADER_BYTES} bytes, got {len(payload)}")
    record, proof = _record(_start(magic), _HEADER, payload)
    return magic + record, proof


def encode(proof: bytes, records: Iterable[Piece | Drop]) -> tuple[bytes, bytes]:
    """Return the bytes of further records and the proof after them, given the proof of the record before."""
    parts = []
    for record in records:
        kind, payload = (_PIECE_KIND, _pack(record)) if isinstance(record, Piece) else (_DROP_KIND, _DROP.pack(*record))
        encoded, proof = _record(proof, kind, payload)
        parts.append(encoded)
    return b"".join(parts), proof


def read(data: bytes) -> Journal:
    """Return what `data` proves; never raises, whatever the bytes."""
    newline = data.find(b"\n", 0, 64)
    magic = data[: newline + 1]
    if magic != MAGIC % VERSION:
        return Journal(None, (), 0, b"", _not_ours(magic))
    at, proof = len(magic), _start(magic)
    header: Header | None = None
    known = _Known()
    why = ""
    while at < len(data):
        found = _next(data, at, proof)
        if isinstance(found, str):
            why = found
            break
        kind, payload, end, next_proof = found
        if (kind == _HEADER) != (header is None):
            why = "a header where none belongs" if header else "no header"
            break
        if header is None:
            header = _header(payload)
            trouble = "" if header else "a header that says nothing usable"
        else:
            trouble = known.take(kind, payload, header.size)
        if trouble:
            why = trouble
            break
        at, proof = end, next_proof
    if header is None:
        return Journal(None, (), 0, b"", why or "no header")
    return Journal(header, known.pieces(), at, proof, f"byte {at}: {why}" if why else "")


class _Known:
    """Pieces by position; a later record takes the place of what it overlaps."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._pieces: list[Piece] = []

    def take(self, kind: int, payload: bytes, size: int | None) -> str:
        """Apply a record; return what is wrong with it, or nothing."""
        piece = _unpack(payload) if kind == _PIECE_KIND else None
        first, end = (piece.first, piece.end) if piece else _DROP.unpack(payload)
        if first >= end or (size is not None and end > size):
            return f"a record for bytes {first} to {end} of {size}"
        low, high = self._overlapped(first, end)
        self._firsts[low:high] = [first] if piece else []
        self._pieces[low:high] = [piece] if piece else []
        return ""

    def pieces(self) -> tuple[Piece, ...]:
        return tuple(self._pieces)

    def _overlapped(self, first: int, end: int) -> tuple[int, int]:
        low = bisect_left(self._firsts, first)
        if low and self._pieces[low - 1].end > first:
            low -= 1
        return low, bisect_left(self._firsts, end, low)


def _start(magic: bytes) -> bytes:
    return blake2b(magic, digest_size=_PROOF_BYTES).digest()


def _record(proof: bytes, kind: int, payload: bytes) -> tuple[bytes, bytes]:
    body = _LENGTH.pack(len(payload) + 1) + bytes((kind,)) + payload
    after = blake2b(proof + body, digest_size=_PROOF_BYTES).digest()
    return body + after, after


def _next(data: bytes, at: int, proof: bytes) -> tuple[int, bytes, int, bytes] | str:
    """Return kind, payload, end and proof of the record at `at`, or why it cannot be believed."""
    start = at + _LENGTH.size
    if start + 1 > len(data):
        return "a record that is cut off"
    (length,) = _LENGTH.unpack_from(data, at)
    kind = data[start]
    if not 1 <= length <= _MAX_RECORD.get(kind, 0):
        return f"a record of kind {kind} and {length} bytes"
    end = start + length + _PROOF_BYTES
    if end > len(data):
        return "a record that is cut off"
    body = data[at : start + length]
    after = data[start + length : end]
    if blake2b(proof + body, digest_size=_PROOF_BYTES).digest() != after:
        return "a record whose proof does not fit"
    if kind != _HEADER and length != _MAX_RECORD[kind]:
        return f"a record of kind {kind} and {length} bytes"
    return kind, body[_LENGTH.size + 1 :], end, after


def _not_ours(magic: bytes) -> str:
    name, _, version = magic.rstrip(b"\n").partition(b" ")
    if name == MAGIC.split(b" ")[0] and version.isdigit():
        return f"version {version[:20].decode('ascii')} is not {VERSION}"
    return "not a journal"


def _pack(piece: Piece) -> bytes:
    flags = (piece.lead is not None) * _HAS_LEAD | (piece.tail is not None) * _HAS_TAIL
    return _PIECE.pack(piece.first, piece.end, piece.checksum, piece.lead or 0, piece.tail or 0, flags)


def _unpack(payload: bytes) -> Piece:
    first, end, value, lead, tail, flags = _PIECE.unpack(payload)
    return Piece(first, end, value, lead if flags & _HAS_LEAD else None, tail if flags & _HAS_TAIL else None)


def _header(payload: bytes) -> Header | None:
    """Return the header, or None if it is none: proved bytes may still come from a program with other ideas."""
    try:
        found: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    texts: list[Any] = [found.get(key) for key in ("url", "path", "part", "checksum")]
    url, path, part, checksum_name = texts
    values: list[Any] = [found.get(key) for key in ("size", "identity", "options")]
    size, identity, options = values
    is_usable = (
        all(isinstance(text, str) and text for text in (url, path, part))
        and checksum_name == CHECKSUM
        and _is_name(part)
        and (size is None or (type(size) is int and 0 <= size < 1 << 63))
        and _is_plain(identity)
        and _is_plain(options)
    )
    return Header(url, path, part, size, identity, checksum_name, options) if is_usable else None


def _is_name(part: str) -> bool:
    return "/" not in part and "\0" not in part and part not in (".", "..")


def _is_plain(found: Any) -> bool:
    return isinstance(found, dict) and all(value is None or isinstance(value, str | int) for value in found.values())
