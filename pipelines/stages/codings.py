"""Content codings off: gzip, deflate, br and zstd, stacked up to five deep, never more bytes out than allowed.

The rules, which docs/records.md repeats:

* The decoded size is capped per layer; nothing beyond the cap is ever allocated, whatever the ratio of the bomb.
* Bytes missing at the end are a truncation: what could be decoded is kept and the page says so.
* Bytes that contradict the format (a bad block, a wrong checksum) make the page fail: nothing of it can be trusted.
* Bytes behind the end are ignored, with a flag. Padding with zeros is not worth a flag.
* A body that is declared coded but starts like a document was never coded: servers do that. It is taken as it is,
  with a flag.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

import brotli
import zstandard

from pipelines.stages.zstd_frames import MAX_WINDOW_BYTES, Frames, walk

MAX_CODINGS = 5  # curl's limit; nobody stacks more than two in earnest
MAX_MEMBERS = 1024  # of one gzip body; 64 MiB of bgzip, whose members hold 64 KiB
_SLICE_BYTES = 64 * 1024
_OUTPUT_BYTES = 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b\x08"
_DOCUMENT = re.compile(rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*(?:<[!?a-zA-Z]|[{\[][\t\n\f\r ]*[\"\[{])")


class Decoded(NamedTuple):
    """What came out of one body."""

    body: bytes
    truncated: str | None = None
    """`content_encoding` when the coded data ends early, `max_body` when the cap cut it."""
    flags: tuple[str, ...] = ()
    error: str | None = None
    """For a person: why the codings cannot be removed."""


class _Damaged(Exception):
    """The coded data contradicts its format."""


class _Layer(NamedTuple):
    body: bytes
    is_whole: bool
    flags: tuple[str, ...] = ()


def codings_of(field: str) -> list[str]:
    """Return the codings of a Content-Encoding field in the order applied, without `identity`."""
    found = (coding.strip().lower() for coding in field.split(","))
    return [coding for coding in found if coding not in ("", "identity")]


def is_gzip(body: bytes) -> bool:
    """Tell whether `body` starts as a gzip file does (RFC 1952 2.3.1; deflate is the only method)."""
    return body.startswith(_GZIP_MAGIC)


def remove(body: bytes, codings: list[str], cap: int) -> Decoded:
    """Return `body` with `codings`, the last one first, removed; at most `cap` bytes. Raises nothing."""
    if len(codings) > MAX_CODINGS:
        return Decoded(b"", error=f"{len(codings)} content codings, at most {MAX_CODINGS} are removed")
    unknown = [coding[:40] for coding in codings if coding not in _DECODERS]
    if unknown:
        return Decoded(b"", error=f"unknown content coding {unknown[0]!r}")
    truncated: str | None = None
    flags: list[str] = []
    for coding in reversed(codings):
        if not body:
            break
        if _DOCUMENT.match(body):
            flags.append("coding_not_applied")
            continue
        try:
            layer = _DECODERS[coding](body, cap)
        except _Damaged as damage:
            return Decoded(b"", error=f"damaged {coding} data: {damage}")
        body = layer.body
        flags.extend(layer.flags)
        if len(body) > cap:
            body, truncated = body[:cap], "max_body"
        elif not layer.is_whole:
            truncated = truncated or "content_encoding"
    return Decoded(body, truncated, tuple(dict.fromkeys(flags)))


def _gunzip(body: bytes, cap: int) -> _Layer:
    if body[:2] != b"\x1f\x8b"[: len(body)]:
        raise _Damaged("no gzip header")
    return _inflate(body, cap, zlib.MAX_WBITS | 16)


def _deflate(body: bytes, cap: int) -> _Layer:
    """Take off "deflate": zlib as RFC 9110 8.4.1.2 defines it, or the raw deflate that some servers send."""
    if len(body) < 2:
        return _Layer(b"", is_whole=False)
    has_zlib_header = body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    try:
        return _inflate(body, cap, zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS)
    except _Damaged:
        if not has_zlib_header:
            raise
        return _inflate(body, cap, -zlib.MAX_WBITS)


def _inflate(body: bytes, cap: int, window: int) -> _Layer:
    """Inflate one stream, or for gzip all its members; `cap + 1` bytes mean there was more."""
    try:
        stream = zlib.decompressobj(window)
        first = stream.decompress(body, cap + 1)
        if not stream.eof:
            return _Layer(first, is_whole=len(first) > cap)
        if not stream.unused_data:
            return _Layer(first, is_whole=True)
        return _next_members(body, len(body) - len(stream.unused_data), first, cap, window)
    except zlib.error as error:
        raise _Damaged(str(error)) from error


def _next_members(body: bytes, at: int, first: bytes, cap: int, window: int) -> _Layer:
    """Inflate further gzip members (RFC 1952 2.2), in slices: a million tiny members would cost a million copies."""
    parts, size = [first], len(first)
    for _ in range(MAX_MEMBERS):
        if not body.startswith(_GZIP_MAGIC, at):
            is_padding = not body[at:].strip(b"\0")
            return _Layer(b"".join(parts), is_whole=True, flags=() if is_padding else ("coding_trailing_bytes",))
        stream = zlib.decompressobj(window)
        while not stream.eof:
            piece = body[at : at + _SLICE_BYTES]
            if not piece and not stream.unconsumed_tail:
                return _Layer(b"".join(parts), is_whole=False)
            part = stream.decompress(stream.unconsumed_tail + piece, cap + 1 - size)
            at += len(piece)
            size += len(part)
            parts.append(part)
            if size > cap:
                return _Layer(b"".join(parts), is_whole=True)
        at -= len(stream.unused_data)
        if at >= len(body):
            return _Layer(b"".join(parts), is_whole=True)
    raise _Damaged(f"more than {MAX_MEMBERS} gzip members")


def _unbrotli(body: bytes, cap: int) -> _Layer:
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    piece = body
    try:
        while True:
            part = decoder.process(piece, output_buffer_limit=_OUTPUT_BYTES)
            parts.append(part)
            size += len(part)
            if decoder.is_finished():
                return _Layer(b"".join(parts), is_whole=True)
            if size > cap:
                return _Layer(b"".join(parts), is_whole=True)
            if decoder.can_accept_more_data():
                return _Layer(b"".join(parts), is_whole=False)
            piece = b""
    except brotli.error as error:
        raise _Damaged(str(error)) from error


def _unzstd(body: bytes, cap: int) -> _Layer:
    frames: Frames = walk(body)
    if frames.error:
        raise _Damaged(frames.error)
    flags = ("coding_trailing_bytes",) if frames.trailing_bytes else ()
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    parts: list[bytes] = []
    size = 0
    try:
        with decoder.stream_reader(memoryview(body)[: frames.end], read_across_frames=True) as reader:
            while size <= cap and (part := reader.read(min(_OUTPUT_BYTES, cap + 1 - size))):
                parts.append(part)
                size += len(part)
    except zstandard.ZstdError as error:
        raise _Damaged(str(error)) from error
    return _Layer(b"".join(parts), frames.is_whole, flags)


_DECODERS: dict[str, Callable[[bytes, int], _Layer]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,  # RFC 9110 8.4.1.3: treat as gzip
    "deflate": _deflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
