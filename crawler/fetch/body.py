"""Reading bodies: whole, cut at a cap, or whatever came before the connection broke."""

from __future__ import annotations

from typing import NamedTuple

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError

from crawler.fetch.guard import Guard

DRAIN_BYTES = 16 * 1024  # reading this much costs less than a new connection


class Body(NamedTuple):
    """The bytes of a message body, and what is known of its end."""

    data: bytes
    truncated: str | None
    """`max_wire_bytes`, `content_length`, `chunked`, or None for a whole body."""
    framing: str
    """What marks the end: `length`, `chunked`, or `close`, where a cut cannot be told from the end."""


def framing_of(response: aiohttp.ClientResponse) -> str:
    """Return what marks the end of the body (RFC 9112 6.3)."""
    if hdrs.CONTENT_LENGTH in response.headers or response.status in (204, 304):
        return "length"
    if hdrs.TRANSFER_ENCODING in response.headers:
        return "chunked"
    return "close"


async def read_body(response: aiohttp.ClientResponse, limit: int, guard: Guard | None) -> Body:
    """Read at most `limit` bytes; the connection is kept when the body ends before.

    Raises the connection's OSError when it was reset: a reset overtakes bytes that were sent before it, and to ask
    again is cheap. An orderly but early end is told in `truncated`.
    """
    framing = framing_of(response)
    stream = response.content
    chunks: list[bytes] = []
    size = 0
    truncated = None
    try:
        while chunk := await stream.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                truncated = "max_wire_bytes"
                break
    except (aiohttp.ClientPayloadError, HttpProcessingError):
        truncated = "chunked" if framing == "chunked" else "content_length"
        chunks.append(arrived(stream))
    if guard is not None and guard.lost is not None:
        raise guard.lost
    if truncated is None:
        return Body(b"".join(chunks), None, framing)
    response.close()
    return Body(b"".join(chunks)[:limit], truncated, framing)


def arrived(stream: aiohttp.StreamReader) -> bytes:
    """Return what a broken stream had received and nobody had read yet.

    The end of a connection often arrives together with the last bytes before it, and a stream that has an exception
    raises it before it gives out its buffer.
    """
    stream.set_exception(None)  # type: ignore[arg-type]  # the only public way back to the buffer
    return stream.read_nowait(-1)


async def drain(response: aiohttp.ClientResponse) -> None:
    """Read an unwanted body if it is small, so that its connection can be used again; else close the connection."""
    length = response.headers.get(hdrs.CONTENT_LENGTH, "")
    if framing_of(response) == "close" or (length.isdigit() and int(length) > DRAIN_BYTES):
        response.close()
        return
    stream = response.content
    size = 0
    while chunk := await stream.readany():
        size += len(chunk)
        if size > DRAIN_BYTES:
            response.close()
            return
