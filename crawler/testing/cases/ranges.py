"""D1 to D23: ranges that are ignored, moved, cut, joined, refused, and the sizes at the edge of them."""

from __future__ import annotations

from dataclasses import replace

from crawler.testing.bodies import Body, Literal, Shifted
from crawler.testing.cases.case import (
    CHANGE,
    LINK,
    RANGE,
    Build,
    Setting,
    Shelf,
    content,
    faulty,
    later,
    partial,
    turning,
)  # fmt: skip
from crawler.testing.faultserver import Responder
from crawler.testing.files import ServedFile, part, serve, version
from crawler.testing.messages import End, Framing, Reply, Request, page, text

SHELF = Shelf()
case = SHELF.case
_SHIFT = 4096 + 17


def _whole(_request: Request, reply: Reply) -> Reply:
    """Send the whole file with 200, as if no range had been asked for."""
    return replace(reply, status=200, first=0, end=None).with_field("Content-Range", None)


@case("D1", "200 to every range")
def d1(setting: Setting) -> Responder:
    """Every request for a range gets the whole file with 200."""
    return faulty(setting, _whole, partial)


@case("D2", "206 to the first request, then 200")
def d2(setting: Setting) -> Responder:
    """The range at the first byte is honoured; every range behind it gets the whole file with 200."""
    return faulty(setting, _whole, later)


@case("D3", "200 to one segment only")
def d3(setting: Setting) -> Responder:
    """One request for a range behind the first byte gets the whole file with 200; all others are honoured."""
    return faulty(setting, _whole, later, times=1)


@case("D4", "a sign-in page with 200 in place of a range", "once", faults=(*RANGE, *CHANGE, "redirect_to_page"))
def d4(setting: Setting) -> Responder:
    """One range behind the first byte gets a small HTML page with 200."""
    return faulty(setting, lambda _request, _reply: page(), later, times=1)


@case("D4", "a sign-in page with 200 in place of every range", "always", faults=(*RANGE, *CHANGE, "redirect_to_page"))
def d4_always(setting: Setting) -> Responder:
    """Every range behind the first byte gets a small HTML page with 200; the first range is honoured."""
    return faulty(setting, lambda _request, _reply: page(), later)


@case("D5", "206 with the whole file", faults=(*RANGE, *CHANGE))
def d5(setting: Setting) -> Responder:
    """Every range gets 206 and the whole file, and Content-Range says so."""
    return faulty(setting, lambda _request, _reply: part(setting.file, 0, setting.size), partial)


@case("D5", "206 with the whole file, said to be the part", "lying", faults=(*RANGE, *CHANGE, *LINK))
def d5_lying(setting: Setting) -> Responder:
    """Every range behind the first byte gets 206, the Content-Range asked for, and the whole file."""
    return faulty(setting, lambda _request, reply: replace(reply, first=0, end=None), later)


def _shifted(setting: Setting, request: Request) -> Reply:
    first, end = request.range or (0, None)
    return part(setting.file, min(first + _SHIFT, setting.size - 1), min((end or setting.size) + _SHIFT, setting.size))


@case("D6", "206 of a shifted range, and says so", "once", faults=(*RANGE, *CHANGE))
def d6(setting: Setting) -> Responder:
    """One range behind the first byte gets another range of the same length, with its true Content-Range."""
    return faulty(setting, lambda request, _reply: _shifted(setting, request), later, times=1)


@case("D6", "206 of shifted ranges, and says so", "always", faults=(*RANGE, *CHANGE))
def d6_always(setting: Setting) -> Responder:
    """Every range behind the first byte gets another range of the same length, with its true Content-Range."""
    return faulty(setting, lambda request, _reply: _shifted(setting, request), later)


def _lying(setting: Setting, reply: Reply) -> Reply:
    return replace(reply, source=Shifted(setting.file.body, _SHIFT))


@case("D7", "206 with shifted bytes under the right header", "once", faults=(*RANGE, *CHANGE))
def d7(setting: Setting) -> Responder:
    """One range behind the first byte gets the bytes of another place under the Content-Range asked for."""
    return faulty(setting, lambda _request, reply: _lying(setting, reply), later, times=1)


@case("D7", "206 with shifted bytes under the right headers", "always", faults=(*RANGE, *CHANGE))
def d7_always(setting: Setting) -> Responder:
    """Every range behind the first byte gets the bytes of another place under the Content-Range asked for."""
    return faulty(setting, lambda _request, reply: _lying(setting, reply), later)


@case("D8", "206 without Content-Range", faults=RANGE)
def d8(setting: Setting) -> Responder:
    """Every range gets the right bytes with 206, without Content-Range."""
    return faulty(setting, lambda _request, reply: reply.with_field("Content-Range", None), partial)


_MALFORMED = {
    "empty": "bytes=",
    "no-unit": "{first}-{last}/{size}",
    "equals": "bytes={first}-{last}/{size}",
    "other-unit": "lines {first}-{last}/{size}",
    "unsatisfied": "bytes */{size}",
    "negative": "bytes -{first}-{last}/{size}",
    "overflow": "bytes {first}-18446744073709551616/18446744073709551617",
    "end-beyond": "bytes {first}-{size}/{size}",
    "backwards": "bytes {last}-{first}/{size}",
    "blanks": "bytes  {first} - {last} / {size}",
    "words": "bytes first-last/all",
}


def _malformed(pattern: str) -> Build:
    def build(setting: Setting) -> Responder:
        def change(request: Request, reply: Reply) -> Reply:
            end = setting.size if reply.end is None else reply.end
            value = pattern.format(first=request.first, last=end - 1, size=setting.size)
            return reply.with_field("Content-Range", value)

        return faulty(setting, change, partial)

    build.__doc__ = f"Every range gets the right bytes with 206 and `Content-Range: {pattern}`."
    return build


for _variant, _pattern in _MALFORMED.items():
    case("D9", f"malformed Content-Range: {_variant}", _variant, faults=RANGE)(_malformed(_pattern))


@case("D9", "two Content-Range lines that differ", "two", faults=(*RANGE, "protocol"))
def d9_two(setting: Setting) -> Responder:
    """Every range gets 206 with two Content-Range lines: the right one, and one that starts at 0."""
    other = f"bytes 0-{setting.size - 1}/{setting.size}"
    return faulty(setting, lambda _request, reply: reply.with_line("Content-Range", other), later)


@case("D10", "less than asked, which is legal")
def d10(setting: Setting) -> Responder:
    """Every range gets at most 100,000 bytes of it, with the Content-Range of what comes."""

    def change(_request: Request, reply: Reply) -> Reply:
        return part(setting.file, reply.first, min(reply.end or setting.size, reply.first + 100_000))

    return faulty(setting, change, partial)


@case("D11", "more than asked, and says so", faults=RANGE)
def d11(setting: Setting) -> Responder:
    """Every range gets everything from its first byte to the end of the file, with the Content-Range of what comes."""
    return faulty(setting, lambda _request, reply: part(setting.file, reply.first, setting.size), partial)


@case("D12", "multipart/byteranges for one range", faults=(*RANGE, "protocol"))
def d12(setting: Setting) -> Responder:
    """Every range gets 206 with the right bytes wrapped as multipart/byteranges, which is for several ranges."""

    def change(_request: Request, reply: Reply) -> Reply:
        field, data = reply.field("Content-Range"), reply.source.read(reply.first, reply.end or setting.size)
        head = f"--part\r\nContent-Type: application/octet-stream\r\nContent-Range: {field}\r\n\r\n"
        lines = (("Content-Type", "multipart/byteranges; boundary=part"), ("ETag", '"version-a"'))
        return Reply(206, lines, Literal(head.encode() + data + b"\r\n--part--\r\n"))

    return faulty(setting, change, partial)


@case("D13", "204 to a range", "204", faults=RANGE)
def d13_204(setting: Setting) -> Responder:
    """Every range behind the first byte gets 204."""
    return faulty(setting, lambda _request, _reply: Reply(204), later)


@case("D13", "202 to a range", "202", faults=(*RANGE, "http_4xx", "http_5xx"))
def d13_202(setting: Setting) -> Responder:
    """Every range behind the first byte gets 202 and a note that the file is being prepared."""
    return faulty(setting, lambda _request, _reply: text(202, "in preparation\n"), later)


@case("D13", "206 without a body", "empty", faults=(*RANGE, *LINK))
def d13_empty(setting: Setting) -> Responder:
    """Every range behind the first byte gets 206, the right Content-Range, and Content-Length: 0."""
    return faulty(setting, lambda _request, reply: replace(reply, end=reply.first), later)


@case("D14", "416 to ranges inside the file", "no-size", faults=RANGE)
def d14_plain(setting: Setting) -> Responder:
    """Every range behind the first byte gets 416 without Content-Range."""
    return faulty(setting, lambda _request, _reply: Reply(416), later)


@case("D14", "416 with a body", "body", faults=RANGE)
def d14_body(setting: Setting) -> Responder:
    """Every range behind the first byte gets 416 with the true size and a web page."""
    change = page(416, "Requested range not satisfiable").with_field("Content-Range", f"bytes */{setting.size}")
    return faulty(setting, lambda _request, _reply: change, later)


@case("D14", "416 because the file shrank", "shrank", faults=(*RANGE, *CHANGE))
def d14_shrank(setting: Setting) -> Responder:
    """At the first range behind the first byte the file becomes one of a tenth of its size."""
    return turning(setting, version("B", setting.size // 10))


@case("D15", "Accept-Ranges: none, but ranges work", "none")
def d15_none(setting: Setting) -> Responder:
    """Ranges are honoured although every head says `Accept-Ranges: none`."""
    setting.file = replace(setting.file, accept_ranges="none")
    return setting.honest


@case("D15", "Accept-Ranges: bytes, but ranges do not work", "bytes")
def d15_bytes(setting: Setting) -> Responder:
    """Ranges are ignored although every head says `Accept-Ranges: bytes`."""
    setting.file = replace(setting.file, has_ranges=False)
    return setting.honest


def _head_only(setting: Setting, reply: Reply) -> Responder:
    def respond(request: Request) -> Reply:
        return reply if request.method == "HEAD" else serve(request, setting.file)

    return respond


@case("D16", "HEAD gets 405", "405")
def d16_405(setting: Setting) -> Responder:
    """HEAD gets 405; GET is honest."""
    return _head_only(setting, Reply(405, (("Allow", "GET"),)))


@case("D16", "HEAD gets 403", "403")
def d16_403(setting: Setting) -> Responder:
    """HEAD gets 403; GET is honest."""
    return _head_only(setting, Reply(403))


@case("D16", "HEAD gets 404", "404")
def d16_404(setting: Setting) -> Responder:
    """HEAD gets 404; GET is honest."""
    return _head_only(setting, Reply(404))


@case("D16", "HEAD lies about size and coding", "lies")
def d16_lies(setting: Setting) -> Responder:
    """HEAD says that the file is gzip-coded and of 1,000 bytes; GET is honest."""
    lie = replace(Reply(200, setting.file.lines), declared=1000).with_field("Content-Encoding", "gzip")
    return _head_only(setting, lie)


@case("D17", "206 with unknown total", "star", faults=RANGE)
def d17_star(setting: Setting) -> Responder:
    """Ranges are honoured, but Content-Range never tells the total: `bytes 0-99/*`."""

    def change(_request: Request, reply: Reply) -> Reply:
        end = setting.size if reply.end is None else reply.end
        return reply.with_field("Content-Range", f"bytes {reply.first}-{end - 1}/*")

    return faulty(setting, change, partial)


@case("D17", "200 of unknown length", "close")
def d17_close(setting: Setting) -> Responder:
    """Ranges are ignored and no length is told: the body ends with the connection."""
    setting.file = replace(setting.file, has_ranges=False, accept_ranges=None)
    return faulty(setting, lambda _request, reply: replace(reply, framing=Framing.CLOSE), content)


@case("D18", "an empty file", "ranges", size=0)
def d18(setting: Setting) -> Responder:
    """The file has no bytes: every range gets 416 with `bytes */0`, a plain request 200 with length 0."""
    return setting.honest


@case("D18", "an empty file without ranges", "plain", size=0)
def d18_plain(setting: Setting) -> Responder:
    """The file has no bytes, and every request gets 200 with length 0."""
    setting.file = replace(setting.file, has_ranges=False)
    return setting.honest


@case("D18", "a file of one byte", "one", size=1)
def d18_one(setting: Setting) -> Responder:
    """The file has one byte; the server is honest."""
    return setting.honest


@case("D19", "206 in chunks")
def d19(setting: Setting) -> Responder:
    """Every range comes as 206 with Content-Range, in chunks, without Content-Length."""
    return faulty(setting, lambda _request, reply: replace(reply, framing=Framing.CHUNKED), content)


@case("D20", "200 in chunks, no ranges, no size")
def d20(setting: Setting) -> Responder:
    """Every request gets the whole file in chunks; nothing tells its size before its end."""
    setting.file = ServedFile(setting.file.body, accept_ranges=None, has_ranges=False)
    return faulty(setting, lambda _request, reply: replace(reply, framing=Framing.CHUNKED), content)


def _total(setting: Setting, by: int, times: int | None) -> Responder:
    def change(_request: Request, reply: Reply) -> Reply:
        end = setting.size if reply.end is None else reply.end
        return reply.with_field("Content-Range", f"bytes {reply.first}-{end - 1}/{setting.size + by}")

    return faulty(setting, change, later, times)


@case("D21", "one segment tells another total", "once", faults=(*RANGE, *CHANGE))
def d21_once(setting: Setting) -> Responder:
    """One range behind the first byte gets the right bytes, and a total that is 1,000 bytes more."""
    return _total(setting, 1000, 1)


@case("D21", "segments tell another total", "always", faults=(*RANGE, *CHANGE))
def d21_always(setting: Setting) -> Responder:
    """Every range behind the first byte gets the right bytes, and a total that is 1,000 bytes more."""
    return _total(setting, 1000, None)


@case("D21", "the file grows", "grows", faults=(*RANGE, *CHANGE))
def d21_grows(setting: Setting) -> Responder:
    """At the first range behind the first byte the file becomes a longer one that begins with other bytes."""
    return turning(setting, version("B", setting.size + 100_000))


@case("D21", "the file is appended to, like a log", "appended", faults=(*RANGE, *CHANGE))
def d21_appended(setting: Setting) -> Responder:
    """At the first range behind the first byte the file has grown at its end; its ETag is another one."""
    longer = replace(setting.file, body=Body(setting.size + 100_000, "A"), etag='"version-a2"')
    return turning(setting, longer)


def _limited(refusal: Reply, most: int = 2) -> Build:
    def build(setting: Setting) -> Responder:
        def change(request: Request, reply: Reply) -> Reply:
            return refusal if request.active > most else replace(reply, rate=4e6)

        return faulty(setting, change, content)

    build.__doc__ = f"More than {most} requests at once are refused: {refusal.status}, connection {refusal.after.name}."
    return build


case("D22", "429 above two requests at once", "429")(_limited(text(429, "slow down\n")))
case("D22", "503 above two requests at once", "503")(_limited(text(503, "busy\n")))
case("D22", "reset above two requests at once", "reset")(_limited(Reply(503, raw=b"HTTP/1.1", after=End.RESET)))


@case("D23", "larger blocks than asked", faults=RANGE)
def d23(setting: Setting) -> Responder:
    """Every range is widened to whole blocks of 256 KiB, and Content-Range says so."""
    block = 256 * 1024

    def change(_request: Request, reply: Reply) -> Reply:
        end = reply.end or setting.size
        return part(setting.file, reply.first // block * block, min(-(-end // block) * block, setting.size))

    return faulty(setting, change, partial)
