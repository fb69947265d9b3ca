"""What goes over the wire, as values: a request as it arrived, a reply as it is to be sent, an exchange as it went.

A reply says everything apart, the truth and the lies: the head, the length it declares, the bytes it really sends, how
fast, in which framing, and how it ends. `dataclasses.replace` turns an honest one into a faulty one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from crawler.testing.bodies import Literal, Source

Fields = tuple[tuple[str, str], ...]
"""Header lines in order; a name may occur twice."""

_NOTHING = Literal(b"")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class End(Enum):
    """What becomes of the connection after a reply."""

    KEEP = auto()
    """It waits for the next request, if the client wants that."""
    CLOSE = auto()
    """It ends in order: what was sent arrives, then FIN."""
    RESET = auto()
    """It ends with RST (SO_LINGER of zero seconds)."""
    HANG = auto()
    """Silence, until the client gives up or the server stops."""


class Framing(Enum):
    """How the end of a body is told (RFC 9112 6)."""

    LENGTH = auto()
    """Content-Length."""
    CHUNKED = auto()
    """Transfer-Encoding: chunked, without Content-Length."""
    BOTH = auto()
    """Both at once, the body in chunks: forbidden, and dangerous (RFC 9112 6.3)."""
    CLOSE = auto()
    """Neither: the body ends with the connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived."""

    number: int
    """Counts from 1, over the life of the server."""
    connection: int
    """Counts from 1."""
    turn: int
    """Which request of its connection; counts from 1."""
    origin: int
    """Which of the server's origins was asked; counts from 0."""
    method: str
    target: str
    """Path and query as sent."""
    version: str
    fields: Fields = field(repr=False)
    active: int
    """Requests at work on the server when this one arrived, itself included."""
    at: float
    """Seconds since the server started."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """Return the value of the first header line with this name."""
        wanted = name.lower()
        return next((value for found, value in self.fields if found.lower() == wanted), None)

    @property
    def range(self) -> tuple[int, int | None] | None:
        """The one range asked for: first byte and the byte behind its last, None for the end of the file."""
        match = _RANGE.fullmatch(self.header("range") or "")
        if match is None:
            return None
        return int(match[1]), int(match[2]) + 1 if match[2] else None

    @property
    def first(self) -> int:
        """The first byte asked for; 0 without a range."""
        return self.range[0] if self.range is not None else 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it is to be sent."""

    status: int = 200
    fields: Fields = ()
    """Header lines, without those of the framing."""
    source: Source = _NOTHING
    """Where the bytes of the body come from."""
    first: int = 0
    end: int | None = None
    """The stretch of the source that is the body; None: to its end."""
    framing: Framing = Framing.LENGTH
    declared: int | None = None
    """What Content-Length says; None: the truth."""
    after: End = End.KEEP
    cut: int | None = None
    """Bytes of the body after which `after` happens, whatever was declared; None: all of them."""
    is_last_chunk_sent: bool = True
    trailers: Fields = ()
    """Field lines after the last chunk."""
    extra: bytes = b""
    """Sent behind the body, outside its framing."""
    rate: float | None = None
    """Bytes of the body a second; None: as fast as they go."""
    slice_bytes: int | None = None
    """The body goes out in writes of this many bytes."""
    delay: float = 0.0
    """Seconds before the head is sent."""
    version: str = "HTTP/1.1"
    raw: bytes | None = None
    """Sent as it is, instead of head and body."""

    @property
    def length(self) -> int:
        """Bytes of the body that are there to be sent."""
        end = self.source.size if self.end is None else self.end
        return max(0, end - self.first)

    def with_field(self, name: str, value: str | None) -> Reply:
        """Return this reply with a header line set, or left out (None)."""
        kept = tuple(line for line in self.fields if line[0].lower() != name.lower())
        return replace(self, fields=kept if value is None else (*kept, (name, value)))

    def with_line(self, name: str, value: str) -> Reply:
        """Return this reply with one more header line, whether or not the name is there."""
        return replace(self, fields=(*self.fields, (name, value)))

    def field(self, name: str) -> str | None:
        """Return the value of the first header line with this name."""
        return next((value for found, value in self.fields if found.lower() == name.lower()), None)


@dataclass(slots=True)
class Exchange:
    """A request and what was sent for it; grows while the reply goes out."""

    request: Request
    status: int
    sent: int = 0
    """Bytes of the body that were handed to the system."""
    ended: float | None = None
    """Seconds since the server started; None while it is at work."""
    is_complete: bool = False
    """Whether everything the reply holds was sent."""


def text(status: int, body: str = "", **fields: str) -> Reply:
    """Return a small reply of plain text: `text(503, "later", retry_after="1")`."""
    lines = tuple((name.replace("_", "-").title(), value) for name, value in fields.items())
    return Reply(status, (("Content-Type", "text/plain"), *lines), Literal(body.encode()))


def page(status: int = 200, title: str = "Please sign in", **fields: str) -> Reply:
    """Return an HTML page, as proxies and sign-in servers send it in place of a file."""
    body = f"<!doctype html><title>{title}</title><h1>{title}</h1>\n<form action=/login><input name=user></form>\n"
    lines = tuple((name.replace("_", "-").title(), value) for name, value in fields.items())
    return Reply(status, (("Content-Type", "text/html; charset=utf-8"), *lines), Literal(body.encode()))


def redirect(location: str, status: int = 302) -> Reply:
    """Return a redirect."""
    return Reply(status, (("Location", location),))
