"""HTTP/1.1 as the demo server needs it: read the head of a request, write head and chunks of an answer. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from crawler.demo.answer import Answer

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_CHUNK_BYTES = 1000


class Head(NamedTuple):
    """What matters of the head of a request."""

    method: str
    target: str
    """Path and query as sent."""
    host: str
    """Host name without port."""
    user_agent: str
    accept: str
    """Accept-Encoding."""
    keep_alive: bool
    range: str = ""
    if_range: str = ""


def parse_head(text: str, local: str) -> Head | None:
    """Read a request head; None when it is none. A Host that is no name of ours is taken for the local address."""
    first, _, rest = text.partition("\r\n")
    line = first.split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        return None
    method, target, version = line
    if target.startswith("http://"):  # absolute form, as to a proxy (RFC 9112 3.2.2)
        target = "/" + target[7:].partition("/")[2]
    fields = {}
    for field in rest.split("\r\n"):
        name, _, value = field.partition(":")
        fields[name.lower()] = value.strip()
    host = fields.get("host", local).partition(":")[0].lower()
    connection = fields.get("connection", "").lower()
    has_body = fields.get("content-length", "0") != "0" or "transfer-encoding" in fields
    keep_alive = connection != "close" and (version != "HTTP/1.0" or connection == "keep-alive") and not has_body
    return Head(
        method, target, local if host == "localhost" else host, fields.get("user-agent", ""),
        fields.get("accept-encoding", ""), keep_alive, fields.get("range", ""), fields.get("if-range", ""),
    )  # fmt: skip


def response_head(answer: Answer, length: int, *, chunked: bool, keep_alive: bool) -> bytes:
    """Return status line and fields, with the framing that suits."""
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif answer.status not in (204, 304):
        lines.append(f"Content-Length: {length}")
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunks(body: bytes, *, end: bool) -> bytes:
    """Frame a body as chunks (RFC 9112 7.1); without `end`, the last chunk is missing."""
    parts = []
    for at in range(0, len(body), _CHUNK_BYTES):
        piece = body[at : at + _CHUNK_BYTES]
        parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
    return b"".join(parts) + (b"0\r\n\r\n" if end else b"")
