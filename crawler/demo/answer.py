"""One answer of the demo site as a value, the content codings it may travel in, and what a crawl should make of it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import brotli
import zstandard

HTML = "text/html; charset=utf-8"


class Kind(Enum):
    """What a crawl that keeps all the rules makes of a URL of the demo site."""

    PAGE = "page"
    """Reached by links, answers 200: exactly one record."""
    REDIRECT = "redirect"
    """Answers 3xx with a usable Location, perhaps into a loop; its target is listed on its own."""
    ERROR = "error"
    """Answers 4xx or 5xx for good: a line in errors.jsonl, no record."""
    DISALLOWED = "disallowed"
    """Linked, but robots.txt forbids it: never requested."""
    TRAP = "trap"
    """Linked, but a default scope rule refuses it: never requested."""
    OUT_OF_SCOPE = "out_of_scope"
    """Linked, on a host that is not part of the demo."""
    NOFOLLOW = "nofollow"
    """Reached only through a link that says nofollow: a record or none, as the crawl is set."""
    RESOURCE = "resource"
    """Reached only as an image, style sheet or icon: a record or none, as the crawl is set."""
    FAULT = "fault"
    """Answers something broken: an error, or a record that says so; never one that looks sound."""


class Drip(NamedTuple):
    """Send the body in pieces."""

    piece_bytes: int
    interval_seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server sends for one request, down to the broken ones. The body is as it goes over the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Without Content-Length, Transfer-Encoding and Connection: framing is the server's."""
    body: bytes = b""
    delay_seconds: float = 0.0
    """Wait before the status line."""
    chunked: bool = False
    drip: Drip | None = None
    cut_after: int | None = None
    """Close the connection after this many bytes of the body, as if the server had died."""
    reset: bool = False
    """End with a TCP reset instead of a FIN; with `cut_after=None`, before the status line."""


def html(body: bytes, **more: object) -> Answer:
    """Return an ordinary HTML page in UTF-8."""
    return Answer(200, (("Content-Type", HTML),), body, **more)  # type: ignore[arg-type]  # keywords of Answer


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib wrapper: against RFC 9110 8.4.1.2, but common, so that browsers accept it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def _brotli(data: bytes) -> bytes:
    packed: bytes = brotli.compress(data, quality=1)
    return packed


CODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": _gzip,
    "deflate": lambda data: zlib.compress(data, 1),
    "br": _brotli,
    "zstd": lambda data: zstandard.ZstdCompressor(level=1).compress(data),
}


def encode(data: bytes, codings: tuple[str, ...]) -> bytes:
    """Apply content codings in the order in which Content-Encoding lists them."""
    for coding in codings:
        data = CODERS[coding](data)
    return data
