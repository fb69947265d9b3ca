"""HTTP/1.1 as the fault server speaks it: read the head of a request, write head and chunks of a reply. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from crawler.testing.messages import Fields, Framing, Reply

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Head(NamedTuple):
    """The head of a request."""

    method: str
    target: str
    version: str
    fields: Fields


def parse_head(raw: bytes) -> Head | None:
    """Read a request head, without the empty line that ends it; None when it is none."""
    first, *rest = raw.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    method, target, version = words
    if target.startswith("http://"):  # absolute form, as to a proxy (RFC 9112 3.2.2)
        parts = urlsplit(target)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    split = (line.partition(":") for line in rest if line)
    return Head(method, target, version, tuple((name, value.strip()) for name, _, value in split))


def keeps_alive(head: Head) -> bool:
    """Tell whether the client wants to send another request on this connection (RFC 9112 9.3)."""
    wishes = [value.lower() for name, value in head.fields if name.lower() == "connection"]
    return "close" not in wishes and (head.version != "HTTP/1.0" or "keep-alive" in wishes)


def reply_head(reply: Reply, *, is_last: bool) -> bytes:
    """Return status line and header lines, the framing included; `is_last` says that the connection ends with it."""
    lines = [f"{reply.version} {reply.status} {_REASONS.get(reply.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in reply.fields]
    if reply.framing in (Framing.CHUNKED, Framing.BOTH):
        lines.append("Transfer-Encoding: chunked")
    has_length = reply.status not in (204, 304) and reply.framing in (Framing.LENGTH, Framing.BOTH)
    if has_length:
        lines.append(f"Content-Length: {reply.length if reply.declared is None else reply.declared}")
    if is_last and not any(name.lower() == "connection" for name, _ in reply.fields):
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Frame bytes as one chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Fields) -> bytes:
    """Return the chunk that ends a body, with its trailers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return b"0\r\n" + lines.encode("latin-1") + b"\r\n"
