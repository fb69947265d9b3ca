"""What the head of an answer to a GET of a range is worth: the one place where a 206 is believed or not.

No HTTP client checks that a 206 holds the range that was asked for; several well-known downloaders write whatever comes
to wherever they wanted it. Here an answer is a part of the pinned file, the whole of it, the news that the file is
another one, or worth nothing. What a head cannot tell, since it lies, is found by `Seams` and by the digest.

Whoever reads the body has to count: exactly `Part.end - Part.first` bytes, else SHORT_BODY or EXCESS_BODY.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from crawler.download.answers.fields import Fields, FieldTwice
from crawler.download.answers.identity import Identity, changed, identity_of
from crawler.download.fault import Fault

MAX_SKIP: Final = 1024 * 1024  # bytes before the range that are read and thrown away when a server sends larger blocks
MAX_POSITION: Final = 2**63 - 1  # the last offset that a file can have: off_t

_RANGE = re.compile(r"bytes[ \t]+(?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)", re.ASCII | re.IGNORECASE)
_LENGTH = re.compile(r"\d{1,19}", re.ASCII)
_CODINGS: Final = {"x-gzip": "gzip", "x-compress": "compress"}  # RFC 9110 8.4.1: to be treated as the same
_STORED: Final = {
    ".gz": "gzip", ".tgz": "gzip", ".svgz": "gzip", ".br": "br", ".zst": "zstd", ".tzst": "zstd", ".z": "compress",
}  # fmt: skip


class Asked(NamedTuple):
    """A request: the positions [first, end) of a file, end None for all the rest."""

    first: int
    end: int | None = None
    pinned: Identity | None = None
    """What the answer must be a part of; None for the first answer of a file."""
    stored_coding: str | None = None
    """The coding in which the file itself is stored, by its name: see `stored_coding`."""


class Part(NamedTuple):
    """Positions [first, end) of the file are what the body holds, exactly.

    It may begin before what was asked for (skip those bytes), end after it (stop there and close the connection), or
    end before it (lawful: ask again for the rest).
    """

    first: int
    end: int
    identity: Identity


class Whole(NamedTuple):
    """The body is the file from its first byte: the range was ignored, or none was asked for.

    After a request for a range that means: one stream from 0, or another try if others of the file do get ranges.
    """

    length: int | None
    """In bytes; None when only the end of the body will tell."""
    identity: Identity


class Changed(NamedTuple):
    """The file is another one now; nothing that was fetched before may be kept."""

    why: str


class AtEnd(NamedTuple):
    """416: there is nothing at or after the first position."""

    total: int | None
    """The size of the file, None when it was not told."""


class Rejected(NamedTuple):
    """The answer is worth nothing."""

    fault: Fault
    detail: str
    status: int


Judgement = Part | Whole | Changed | AtEnd | Rejected


class ContentRange(NamedTuple):
    """A valid Content-Range field (RFC 9110 14.4)."""

    first: int | None
    """None for an unsatisfied range, `bytes */N`."""
    end: int | None
    """Half-open, unlike in the field."""
    total: int | None


def parse_content_range(value: str) -> ContentRange | None:
    """Return what a Content-Range says; None when it is malformed, impossible, or not about bytes."""
    match = _RANGE.fullmatch(value)
    if match is None:
        return None
    total = None if match[3] == "*" else int(match[3])
    if total is not None and total > MAX_POSITION:
        return None
    if match[1] is None:
        return None if total is None else ContentRange(None, None, total)
    first, end = int(match[1]), int(match[2]) + 1
    if first >= end or end > MAX_POSITION or (total is not None and end > total):
        return None
    return ContentRange(first, end, total)


def stored_coding(path: str) -> str | None:
    """Return the content coding that a file of this name is stored in, for `Asked.stored_coding`.

    Many servers label `x.tar.gz` with `Content-Encoding: gzip`. The bytes on the wire are then the file's own.
    """
    dot = path.rfind(".")
    return _STORED.get(path[dot:].lower()) if dot >= 0 else None


def judge(asked: Asked, status: int, fields: Fields) -> Judgement:
    """Return what an answer is worth, from its status and header lines alone. Never raises."""
    try:
        match status:
            case 200:
                return _whole(asked, fields)
            case 206:
                return _part(asked, fields)
            case 412:
                return Changed("the server says that the precondition failed (412)")
            case 416:
                return _at_end(asked, fields)
            case _:
                return _refused(status)
    except FieldTwice as twice:
        fault = Fault.RANGE_WRONG if twice.name == "content-range" else Fault.PROTOCOL
        return Rejected(fault, str(twice), status)


def _part(asked: Asked, fields: Fields) -> Judgement:
    if (reason := _unusable(asked, fields, 206)) is not None:
        return reason
    field = fields.one("content-range")
    if field is None:
        return Rejected(Fault.RANGE_WRONG, "206 without Content-Range", 206)
    told = parse_content_range(field)
    if told is None or told.first is None or told.end is None:
        return Rejected(Fault.RANGE_WRONG, f"206 with Content-Range {field[:100]!r}", 206)
    identity = identity_of(fields, told.total)
    if asked.pinned is not None and (why := changed(asked.pinned, identity)) is not None:
        return Changed(why)
    size = asked.pinned.size if asked.pinned is not None else None
    wanted = f"{asked.first}-{'' if asked.end is None else asked.end - 1}"
    skip = asked.first - told.first
    if skip < 0 or told.end <= asked.first or skip > MAX_SKIP or (size is not None and told.end > size):
        return Rejected(Fault.RANGE_WRONG, f"asked for bytes {wanted}, got Content-Range {field[:100]!r}", 206)
    length = _length_of(fields)
    if length is not None and length != told.end - told.first:
        return Rejected(Fault.RANGE_WRONG, f"Content-Range {field[:100]!r} with Content-Length {length}", 206)
    return Part(told.first, told.end, identity)


def _whole(asked: Asked, fields: Fields) -> Judgement:
    if (reason := _unusable(asked, fields, 200)) is not None:
        return reason
    length = _length_of(fields)
    identity = identity_of(fields, length)
    field = fields.one("content-range")
    if field is not None:
        # It has no meaning here (RFC 9110 14.4), but servers exist that send a part under 200.
        told = parse_content_range(field)
        if told is None or told.first != 0 or told.end != told.total or length not in (None, told.total):
            return Rejected(Fault.RANGE_WRONG, f"200 with Content-Range {field[:100]!r}", 200)
    pinned = asked.pinned
    if pinned is None or (why := changed(pinned, identity)) is None:
        return Whole(length, identity)
    has_validator = identity.etag or identity.weak or identity.last_modified
    if has_validator or not (pinned.etag or pinned.weak or pinned.last_modified):
        return Changed(why)
    # The server that told validators of the file tells none of this: a page about something else.
    return Rejected(Fault.RANGE_IGNORED, f"200 instead of a part; {why} and it has no validators", 200)


def _at_end(asked: Asked, fields: Fields) -> Judgement:
    """Judge a 416: believed only where it fits what is known."""
    field = fields.one("content-range")
    told = parse_content_range(field) if field is not None else None
    total = told.total if told is not None and told.first is None else None
    size = asked.pinned.size if asked.pinned is not None else None
    if size is not None and total is not None and total != size:
        return Changed(f"the size was {size} and is {total}")
    known = total if total is not None else size
    if known is not None and asked.first < known:
        return Rejected(Fault.RANGE_REFUSED, f"416 to byte {asked.first} of a file of {known}", 416)
    return AtEnd(known)


def _unusable(asked: Asked, fields: Fields, status: int) -> Rejected | None:
    """Return why the body cannot be the bytes of the file, whatever range it is."""
    codings = [coding for coding in _codings(fields, "content-encoding") if coding != "identity"]
    if codings and codings != [asked.stored_coding]:
        return Rejected(Fault.ENCODED, f"Content-Encoding {', '.join(codings)[:100]!r} unasked", status)
    transfer = _codings(fields, "transfer-encoding")
    if transfer not in ([], ["chunked"]):
        return Rejected(Fault.ENCODED, f"Transfer-Encoding {', '.join(transfer)[:100]!r}", status)
    if transfer and "content-length" in fields:
        # RFC 9112 6.1: might be an attempt at request smuggling and ought to be handled as an error.
        return Rejected(Fault.PROTOCOL, "Content-Length beside Transfer-Encoding", status)
    if "content-length" in fields and _length_of(fields) is None:
        return Rejected(Fault.PROTOCOL, f"Content-Length {str(fields.joined('content-length'))[:100]!r}", status)
    kind = (fields.all("content-type") or [""])[0].partition(";")[0].strip().lower()
    if status == 206 and kind == "multipart/byteranges":
        return Rejected(Fault.RANGE_WRONG, "multipart/byteranges to a request for one range", status)
    return None


def _codings(fields: Fields, name: str) -> list[str]:
    names = (part.strip().lower() for part in (fields.joined(name) or "").split(","))
    return [_CODINGS.get(part, part) for part in names if part]


def _length_of(fields: Fields) -> int | None:
    """Return Content-Length; None when absent or malformed. `5, 5` is 5 (RFC 9110 8.6)."""
    values = {part.strip() for part in (fields.joined("content-length") or "").split(",")}
    if len(values) != 1:
        return None
    match = _LENGTH.fullmatch(values.pop())
    return int(match[0]) if match is not None and int(match[0]) <= MAX_POSITION else None


def _refused(status: int) -> Rejected:
    match status:
        case 401 | 403 | 407:
            fault = Fault.AUTH
        case 404 | 410:
            fault = Fault.GONE
        case 408:
            fault = Fault.TIMEOUT
        case 425 | 429:
            fault = Fault.RATE_LIMITED
        case _ if 400 <= status < 500:
            fault = Fault.HTTP_4XX
        case _ if 500 <= status < 600:
            fault = Fault.HTTP_5XX
        case _:
            fault = Fault.NOT_PARTIAL
    return Rejected(fault, f"status {status}", status)
