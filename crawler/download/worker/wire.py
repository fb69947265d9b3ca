"""What parent and workers say to each other: orders one way, reports the other, numbers only, never bytes of a body.

A frame is four bytes of length (big-endian) and a JSON array: the name of the message, then its fields in order. The
socket is in a directory of our own (0700), and a worker shows the token it was started with: nobody else is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from crawler.download.fault import Fault

MAX_FRAME = 8 << 20
"""Bytes. The largest message holds the head of a response, which is at most 300,000 before it is escaped."""

END_UNKNOWN = -1
"""In place of an end or a total: nobody knows it yet."""

TAKEN = "taken"
"""In place of a fault: nothing was asked for, because something has the target's name, or was left for a resume."""


class Solo(NamedTuple):
    """What a worker has to know to do a small file all by itself, from the first byte to its name and its receipt."""

    root: str
    path: str | None
    """Relative to the root, and safe; None: to be made from the answer."""
    url: str
    """As it was asked for, before any redirect."""
    mirrors: tuple[str, ...]
    """For the receipt: other places that were named."""
    claims: tuple[tuple[str, str, str, int], ...]
    """Algorithm, value in hexadecimal, source and trust of each digest that is known."""
    head_trust: int
    """The trust of what the head of the answer announces."""
    size: int | None
    """Bytes that the file must have, if that is known."""
    max_bytes: int | None
    must_verify: bool
    refuses_pages: bool
    """Whether an answer of HTML is left to the parent: a redirect led here."""
    is_durable: bool
    retries: int
    received: int
    """Bytes that came off the wire before."""
    seconds: float
    """Since the file was asked for."""
    holder: int
    """Number of the parent's process: it is who a person can do something about."""


class Fetch(NamedTuple):
    """Parent to worker: get `[first, end)` of a file with one request and write it at its place."""

    id: int
    file: int
    path: str
    """The temporary file; empty for the first request of a file, which asks for it with `Head`."""
    url: str
    first: int
    end: int
    """Exclusive; END_UNKNOWN: to the end, whatever it is."""
    lead: int
    """Bytes before `first` to ask for too; they are compared, not written."""
    pinned: tuple[Any, ...] | None
    """The `Identity` that the answer must have, as a tuple; None before there is one."""
    small: str = ""
    """For the first request of a file: the new file to put it in at once, if one answer holds it and it is small."""
    hashes: tuple[str, ...] = ()
    """What to compute of such a small file."""
    is_held: bool = False
    """Keep the bytes in memory and write them when told `Write`: another order works on the same ones."""
    is_matched: bool = False
    """Send If-Match with the strong tag of `pinned`, beside If-Range."""
    wants_digest: bool = False
    """Ask for the digest of the file, if the server happens to know it."""
    silence: float = 0.0
    """Seconds without a byte after which a part is given up, to be gone on with elsewhere; 0: as long as any body."""
    solo: tuple[Any, ...] | None = None
    """For the first request of a file: a `Solo`, as a tuple. What turns out not to be small goes on as without it."""


class Go(NamedTuple):
    """Parent to worker: the answer that `Head` told of is wanted; write it to this file, which exists."""

    id: int
    path: str
    is_small: bool
    """The file does not exist: do it all by yourself, as with `Fetch.small`."""


class Cut(NamedTuple):
    """Parent to worker: let the order end at `end`. Answered by `WasCut`."""

    id: int
    end: int


class Stop(NamedTuple):
    """Parent to worker: end the order now. It still ends with `Ended`."""

    id: int


class Write(NamedTuple):
    """Parent to worker: write what the held order has, or forget it."""

    id: int
    is_wanted: bool
    first: int
    """Write from here on; what lies before is on disk, and must be the same."""


class Follow(NamedTuple):
    """Parent to worker: hash the file in order as far as `Upto` tells."""

    file: int
    path: str
    hashes: tuple[str, ...]


class Upto(NamedTuple):
    """Parent to worker: so many contiguous bytes are there to be hashed; `is_all` when these are all."""

    file: int
    upto: int
    is_all: bool


class Forget(NamedTuple):
    """Parent to worker: close the file, stop to hash it."""

    file: int


class Rate(NamedTuple):
    """Parent to worker: take no more than this many bytes a second; 0 for no limit."""

    bytes_per_second: float


class Hello(NamedTuple):
    """Worker to parent: who speaks."""

    token: str
    pid: int


class Head(NamedTuple):
    """Worker to parent: a request is answered. If it is the first of a file, and not small, it waits for `Go`."""

    id: int
    status: int
    fields: tuple[tuple[str, str], ...]
    first: int
    end: int
    """What this answer will bring at most; END_UNKNOWN: nobody knows."""
    is_part: bool
    """Whether it is a part (206) of what the server has."""
    identity: tuple[Any, ...]
    is_small: bool
    """Whether this is all of a file that is small enough to be done in memory."""


class Aside(NamedTuple):
    """Worker to parent: a redirect says more of the file than where it is; `Ended` follows."""

    id: int
    fields: tuple[tuple[str, str], ...]
    """Of its head: `link` and `digest`."""


class Progress(NamedTuple):
    """Worker to parent: the order has written up to here."""

    id: int
    upto: int


class WasCut(NamedTuple):
    """Worker to parent: the order will write nothing from `end` on."""

    id: int
    end: int


class Held(NamedTuple):
    """Worker to parent: the held order has all its bytes and waits for `Write`."""

    id: int


class Arrived(NamedTuple):
    """Worker to parent: the request of a small file is over; what is left is the disk's, and may take a while."""

    id: int


class Landed(NamedTuple):
    """Worker to parent: these bytes are in the file, as far as the kernel knows."""

    id: int
    first: int
    end: int
    crc: int
    """The checksum of all of them: see `crawler.download.proof.checksum`."""
    lead: int | None
    """That of the overlap before `first`; None when none was asked for."""
    tail: int | None
    """That of the window before `end`, the overlap included."""


class Ended(NamedTuple):
    """Worker to parent: the order is over; the last word on it."""

    id: int
    fault: str
    """Empty when the answer came to its end."""
    detail: str
    status: int
    retry_after: float | None
    target: str
    """Where a redirect leads; empty for any other answer."""
    upto: int
    """END_UNKNOWN when nothing was written."""
    received: int
    """Bytes of bodies that came off the wire."""
    digests: dict[str, str]
    """In hexadecimal, when the file was hashed on the way and is whole."""
    receipt: Any = None
    """The `Receipt` of a file that was done as `Fetch.solo` asks, and has its name; as a dict when it was read."""

    @property
    def is_refusal(self) -> bool:
        """Whether the server would not serve this request, which may be for those beside it (D22)."""
        return self.fault == Fault.RATE_LIMITED or self.status == 503 or self.is_silent

    @property
    def is_silent(self) -> bool:
        """Whether the connection was ended without a word."""
        return self.fault == Fault.DISCONNECTED and self.upto == END_UNKNOWN and not self.status


class Hashed(NamedTuple):
    """Worker to parent: the hash has come this far. With `digests` (hexadecimal) it is over."""

    file: int
    upto: int
    digests: dict[str, str]
    fault: str
    detail: str


Order = Fetch | Go | Cut | Stop | Write | Follow | Upto | Forget | Rate
Report = Hello | Head | Aside | Progress | WasCut | Held | Arrived | Landed | Ended | Hashed

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Fetch, Go, Cut, Stop, Write, Follow, Upto, Forget, Rate,
        Hello, Head, Aside, Progress, WasCut, Held, Arrived, Landed, Ended, Hashed,
    )
}  # fmt: skip


class BadFrame(Exception):
    """The other side speaks another language: a bug, or not our own."""


def encode(message: Order | Report) -> bytes:
    """Return a message as a frame."""
    data = orjson.dumps([type(message).__name__, *message])
    return len(data).to_bytes(4, "big") + data


class Inbox:
    """Puts messages together from what a socket gives."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take bytes and yield the messages that are complete, each an `Order` or a `Report`. Raises BadFrame."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= 4:
                length = int.from_bytes(buffer[at : at + 4], "big")
                if length > MAX_FRAME:
                    raise BadFrame(f"a frame of {length} bytes")
                if len(buffer) - at - 4 < length:
                    break
                at += 4 + length
                yield _decoded(bytes(buffer[at - length : at]))
        finally:
            del buffer[:at]


def _decoded(data: bytes) -> Any:
    try:
        name, *fields = orjson.loads(data)
        return _KINDS[name](*fields)
    except (ValueError, KeyError, TypeError) as exc:
        raise BadFrame("no message of ours") from exc
