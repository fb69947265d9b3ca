"""D39 to D56: bodies that end too early or too late, crawl, are coded unasked, or hold wrong bytes."""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

import brotli
import zstandard

from crawler.testing.bodies import Literal, Source, digest, doubled, flipped, swapped, zeroed
from crawler.testing.cases.case import (
    CHANGE,
    LINK,
    RANGE,
    Build,
    Change,
    Need,
    Setting,
    Shelf,
    When,
    content,
    faulty,
    later,
    partial,
)  # fmt: skip
from crawler.testing.faultserver import Responder
from crawler.testing.files import ServedFile, serve
from crawler.testing.messages import End, Framing, Reply, Request, page

SHELF = Shelf()
case = SHELF.case
_DIGEST = ("digest_mismatch", "seam_mismatch", "changed", "changed_too_often", "retries_exhausted")


def _cut(after: End, share: float = 0.5) -> Change:
    return lambda _request, reply: replace(reply, cut=int(reply.length * share), after=after)


@case("D39", "half a body, then the end", "once", faults=LINK)
def d39(setting: Setting) -> Responder:
    """One reply ends in order after half of the bytes its Content-Length promises."""
    return faulty(setting, _cut(End.CLOSE), content, times=1)


@case("D39", "half a body, then the end, each time", "always", faults=LINK)
def d39_always(setting: Setting) -> Responder:
    """Every reply ends in order after half of the bytes its Content-Length promises."""
    return faulty(setting, _cut(End.CLOSE), content)


@case("D40", "half a body, then RST", "once", faults=LINK)
def d40(setting: Setting) -> Responder:
    """One reply is reset after half of its bytes."""
    return faulty(setting, _cut(End.RESET), content, times=1)


@case("D40", "half a body, then RST, each time", "always", faults=LINK)
def d40_always(setting: Setting) -> Responder:
    """Every reply is reset after half of its bytes."""
    return faulty(setting, _cut(End.RESET), content)


@case("D41", "a short 206 without a length", "once", faults=(*LINK, *CHANGE))
def d41(setting: Setting) -> Responder:
    """One 206 has no Content-Length and ends with the connection, after half of what its Content-Range says."""
    change: Change = lambda _r, reply: replace(reply, framing=Framing.CLOSE, cut=reply.length // 2, after=End.CLOSE)  # noqa: E731 - two lines beside its twin below
    return faulty(setting, change, partial, times=1)


@case("D41", "a short 200 without a length", "whole", needs=[Need.DIGEST], right=False, faults=(*_DIGEST, *LINK))
def d41_whole(setting: Setting) -> Responder:
    """No ranges, no length: every body ends in order after its first half. Nothing but a digest can tell."""
    setting.file = ServedFile(setting.file.body, has_ranges=False, accept_ranges=None)
    change: Change = lambda _r, reply: replace(reply, framing=Framing.CLOSE, cut=reply.length // 2, after=End.CLOSE)  # noqa: E731 - see above
    return faulty(setting, change, content)


@case("D42", "Content-Length too small", faults=(*LINK, *RANGE, *CHANGE))
def d42(setting: Setting) -> Responder:
    """Every 206 declares half of the bytes that its Content-Range says and that come."""
    return faulty(setting, lambda _request, reply: replace(reply, declared=reply.length // 2), partial)


@case("D42", "Content-Length too large", "large", faults=(*LINK, *RANGE, *CHANGE))
def d42_large(setting: Setting) -> Responder:
    """Every 206 declares 1,000 bytes more than its Content-Range says, and the connection ends."""

    def change(_request: Request, reply: Reply) -> Reply:
        return replace(reply, declared=reply.length + 1000, after=End.CLOSE)

    return faulty(setting, change, partial)


@case("D43", "Content-Length beside chunks", faults=(*LINK, *RANGE))
def d43(setting: Setting) -> Responder:
    """Every body comes in chunks, beside a Content-Length that is half of it (RFC 9112 6.3: smuggling)."""

    def change(_request: Request, reply: Reply) -> Reply:
        return replace(reply, framing=Framing.BOTH, declared=reply.length // 2)

    return faulty(setting, change, content)


@case("D44", "two Content-Lengths that differ", "once", faults=(*LINK, *RANGE))
def d44(setting: Setting) -> Responder:
    """One reply has two Content-Length lines: the truth, and half of it."""
    return faulty(setting, _second_length, content, times=1)


@case("D44", "two Content-Lengths that differ, always", "always", faults=(*LINK, *RANGE))
def d44_always(setting: Setting) -> Responder:
    """Every reply has two Content-Length lines: half of the truth, and the truth."""
    return faulty(setting, _second_length, content)


def _second_length(_request: Request, reply: Reply) -> Reply:
    return reply.with_line("Content-Length", str(reply.length // 2))


@case("D45", "chunks that stop without the last one", "once", faults=LINK)
def d45(setting: Setting) -> Responder:
    """One body comes in chunks, half of it, and then the connection ends without the last chunk."""
    return faulty(setting, _broken_chunks(0.5), content, times=1)


@case("D45", "every body lacks its last chunk", "always", faults=LINK)
def d45_always(setting: Setting) -> Responder:
    """No ranges; every body comes in chunks, half of it, and then the connection ends without the last chunk."""
    setting.file = ServedFile(setting.file.body, has_ranges=False, accept_ranges=None)
    return faulty(setting, _broken_chunks(0.5), content)


@case("D45", "all the bytes, but no last chunk", "final", faults=LINK)
def d45_final(setting: Setting) -> Responder:
    """No ranges; every body comes whole in chunks, but the last chunk, which says that this is all, is missing."""
    setting.file = ServedFile(setting.file.body, has_ranges=False, accept_ranges=None)
    return faulty(setting, _broken_chunks(1.0), content)


def _broken_chunks(share: float) -> Change:
    def change(_request: Request, reply: Reply) -> Reply:
        return replace(reply, framing=Framing.CHUNKED, cut=int(reply.length * share), after=End.CLOSE)

    return change


def _stall(cut: Callable[[Reply], int | None], when: When, times: int | None, does: str) -> Build:
    def build(setting: Setting) -> Responder:
        def change(_request: Request, reply: Reply) -> Reply:
            at = cut(reply)
            if at is None:
                return replace(reply, raw=b"", after=End.HANG)
            return replace(reply, cut=at, after=End.HANG)

        return faulty(setting, change, when, times)

    build.__doc__ = does
    return build


case("D46", "silence in place of one reply", "head", faults=LINK)(
    _stall(lambda _reply: None, content, 1, "One request gets no answer; the connection stays open.")
)
case("D46", "silence before the first byte of one body", "zero", faults=LINK)(
    _stall(lambda _reply: 0, content, 1, "One reply stalls after its head; the connection stays open.")
)
case("D46", "silence in the middle of one body", "middle", faults=LINK)(
    _stall(lambda reply: reply.length // 2, content, 1, "One reply stalls after half of its body.")
)
case("D46", "silence before the last byte of one body", "last", faults=LINK)(
    _stall(lambda reply: max(0, reply.length - 1), content, 1, "One reply stalls before the last byte of its body.")
)
case("D46", "silence in every body", "always", right=False, faults=LINK)(
    _stall(lambda _reply: 1000, content, None, "Every reply stalls after its first 1,000 bytes.")
)


@case("D47", "one byte a second", "once", faults=LINK)
def d47(setting: Setting) -> Responder:
    """One reply comes at a byte a second."""
    return faulty(setting, lambda _request, reply: replace(reply, rate=1.0), content, times=1)


@case("D47", "one byte a second, always", "always", right=False, faults=LINK)
def d47_always(setting: Setting) -> Responder:
    """Every reply comes at a byte a second."""
    return faulty(setting, lambda _request, reply: replace(reply, rate=1.0), content)


@case("D48", "one byte a segment of TCP", size=40_001)
def d48(setting: Setting) -> Responder:
    """Every body goes out byte by byte, each in a packet of its own."""
    return faulty(setting, lambda _request, reply: replace(reply, slice_bytes=1), content)


@case("D49", "garbage behind the body", faults=(*LINK, *RANGE))
def d49(setting: Setting) -> Responder:
    """Behind every body 100 bytes come that belong to no message; the connection stays open."""
    return faulty(setting, lambda _request, reply: replace(reply, extra=b"\r\n" + b"x" * 98), content)


_CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": lambda data: zstandard.ZstdCompressor(1).compress(data),
}


def _coded(coding: str, *, whole: bool) -> Build:
    def build(setting: Setting) -> Responder:
        coded = Literal(_CODERS[coding](setting.file.body.read(0, setting.size)))
        file = replace(setting.file, body=coded, has_ranges=not whole, fields=(("Content-Encoding", coding),))

        def respond(request: Request) -> Reply:
            return serve(request, file)

        return respond

    kind = "200, ranges ignored" if whole else "206 slices of the coded bytes"
    build.__doc__ = f"Every reply is coded with {coding} although nobody asked for it: {kind}."
    return build


for _coding in _CODERS:
    for _whole in (True, False):
        case("D50", f"{_coding} unasked: {200 if _whole else 206}", f"{_coding}-{200 if _whole else 206}",
             faults=("encoded", "retries_exhausted"))(_coded(_coding, whole=_whole))  # fmt: skip


@case("D51", "stored as gzip, decoded on the way", faults=("encoded", "retries_exhausted"), must_verify=False)
def d51(setting: Setting) -> Responder:
    """A cloud store keeps the file as gzip and decodes it for us: no length, no ranges, and the stored bytes' hash."""
    stored = Literal(gzip.compress(setting.file.body.read(0, setting.size), 1))
    md5 = b64encode(bytes.fromhex(digest(stored, "md5"))).decode()
    lines = (
        ("x-goog-stored-content-encoding", "gzip"),
        ("x-goog-stored-content-length", str(stored.size)),
        ("x-goog-hash", f"md5={md5}"),
        ("Warning", '214 UploadServer "gunzipped"'),
    )
    setting.file = replace(setting.file, has_ranges=False, accept_ranges=None, fields=lines)
    return faulty(setting, lambda _request, reply: replace(reply, framing=Framing.CHUNKED), content)


def _padded(_request: Request, reply: Reply) -> Reply:
    html = page(500, "Internal server error").source.read(0, 10_000)
    return replace(reply, source=Literal(html.ljust(reply.length)), first=0, end=reply.length)


@case("D52", "an error page as 206, padded", "once", faults=(*CHANGE, *RANGE))
def d52(setting: Setting) -> Responder:
    """One range behind the first byte gets an HTML error page, padded to the length asked for, as a proper 206."""
    return faulty(setting, _padded, later, times=1)


@case("D52", "error pages as 206, padded", "always", faults=(*CHANGE, *RANGE))
def d52_always(setting: Setting) -> Responder:
    """Every range behind the first byte gets an HTML error page, padded to the length asked for, as a proper 206."""
    return faulty(setting, _padded, later)


def _bad_bytes(make: Callable[[Source], Source], times: int | None, does: str) -> Build:
    def build(setting: Setting) -> Responder:
        bad = make(setting.file.body)
        return faulty(setting, lambda _request, reply: replace(reply, source=bad), content, times)

    build.__doc__ = does
    return build


def _last_mib(source: Source) -> int:
    return source.size - 500_000


_BAD: tuple[tuple[str, str, str, Callable[[Source], Source]], ...] = (
    ("D53", "a flipped bit", "", lambda source: flipped(source, _last_mib(source) + 77_777)),
    ("D54", "a block that stands twice", "doubled", lambda source: doubled(source, _last_mib(source), 65_536)),
    ("D54", "two blocks that changed places", "swapped",
     lambda source: swapped(source, _last_mib(source), _last_mib(source) + 100_000, 4096)),
    ("D55", "a block of zeros", "", lambda source: zeroed(source, _last_mib(source), 65_536)),
)  # fmt: skip
for _id, _title, _variant, _make in _BAD:
    case(_id, _title, _variant, needs=[Need.DIGEST], right=False, faults=_DIGEST)(
        _bad_bytes(_make, None, f"The file that is served has {_title} near its end; all headers are right.")
    )


@case("D53", "a flipped bit, once", "once", needs=[Need.DIGEST], faults=_DIGEST)
def d53_once(setting: Setting) -> Responder:
    """The first reply that holds a certain byte has one of its bits flipped; all others are right."""
    at = _last_mib(setting.file.body) + 77_777
    bad = flipped(setting.file.body, at)

    def holds(_request: Request, reply: Reply) -> bool:
        return reply.status in (200, 206) and reply.first <= at < reply.first + reply.length

    return faulty(setting, lambda _request, reply: replace(reply, source=bad), holds, times=1)


def _trailer(setting: Setting, hexadecimal: str) -> Responder:
    setting.file = ServedFile(setting.file.body, has_ranges=False, accept_ranges=None)
    value = f"sha-256=:{b64encode(bytes.fromhex(hexadecimal)).decode()}:"

    def change(_request: Request, reply: Reply) -> Reply:
        reply = replace(reply, framing=Framing.CHUNKED, trailers=(("Repr-Digest", value),))
        return reply.with_line("Trailer", "Repr-Digest")

    return faulty(setting, change, content)


@case("D56", "a digest in the trailer", "right")
@case("D117", "a digest that is known only at the end")
def d56(setting: Setting) -> Responder:
    """No ranges; the body comes in chunks, and Repr-Digest stands behind it, as a trailer."""
    return _trailer(setting, digest(setting.file.body))
