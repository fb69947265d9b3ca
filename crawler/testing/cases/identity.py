"""D24 to D38: a file that changes while it is fetched, or only seems to."""

from __future__ import annotations

from dataclasses import replace

from crawler.testing.bodies import Body
from crawler.testing.cases.case import (
    CHANGE,
    RANGE,
    Need,
    Setting,
    Shelf,
    content,
    faulty,
    later,
    partial,
    turning,
)  # fmt: skip
from crawler.testing.faultserver import Responder
from crawler.testing.files import A_DATE, ServedFile, serve, version
from crawler.testing.messages import Reply, Request

SHELF = Shelf()
case = SHELF.case


@case("D24", "another ETag from the second segment on", "equal", faults=CHANGE)
def d24(setting: Setting) -> Responder:
    """At the first range behind the first byte the file becomes another of equal size; If-Range is ignored."""
    return turning(setting, replace(setting.other, does_if_range=False, does_if_match=False))


@case("D24", "another ETag and size from the second segment on", "longer", faults=(*CHANGE, *RANGE))
def d24_longer(setting: Setting) -> Responder:
    """At the first range behind the first byte the file becomes a longer one; If-Range is ignored."""
    longer = version("B", setting.size + 54_321)
    return turning(setting, replace(longer, does_if_range=False, does_if_match=False))


@case("D24", "another ETag in the middle of the segments", "middle", faults=CHANGE)
def d24_middle(setting: Setting) -> Responder:
    """At the first range behind the middle the file becomes another of equal size; If-Range is ignored."""
    half = setting.size // 2
    other = replace(setting.other, does_if_range=False, does_if_match=False)
    return turning(setting, other, lambda request, reply: reply.status == 206 and request.first > half)


@case("D25", "the file changes, If-Range is honoured", faults=CHANGE)
def d25(setting: Setting) -> Responder:
    """At the first range behind the first byte the file becomes another; If-Range then gets it whole, with 200."""
    return turning(setting, replace(setting.other, does_if_match=False))


@case("D26", "the file changes, If-Range is not honoured", faults=CHANGE)
def d26(setting: Setting) -> Responder:
    """As D25, but If-Range is ignored and the new head has no Last-Modified."""
    return turning(setting, replace(setting.other, does_if_range=False, does_if_match=False, last_modified=None))


@case("D27", "the file changes, If-Range works for dates only", faults=CHANGE)
def d27(setting: Setting) -> Responder:
    """As D25, but an If-Range with an ETag is ignored, and one with a date honoured."""
    setting.right.append(setting.other.body)
    turned = False

    def respond(request: Request) -> Reply:
        nonlocal turned
        turned = turned or later(request, serve(request, setting.file))
        is_date = not (request.header("if-range") or '"').startswith('"')
        file = setting.other if turned else setting.file
        return serve(request, replace(file, does_if_range=is_date, does_if_match=False))

    return respond


@case("D28", "200 to every If-Range, the file unchanged", faults=())
def d28(setting: Setting) -> Responder:
    """A range with If-Range gets the whole file with 200 although nothing changed; one without is honoured."""

    def respond(request: Request) -> Reply:
        is_whole = request.header("if-range") is not None
        return serve(request, replace(setting.file, has_ranges=not is_whole))

    return respond


@case("D29", "a weak ETag, the file unchanged", "same")
def d29(setting: Setting) -> Responder:
    """The ETag is weak, so it names no bytes; nothing changes."""
    setting.file = replace(setting.file, etag='W/"a"', last_modified=None)
    return setting.honest


@case("D29", "a weak ETag, and the file changes", "changes", faults=CHANGE)
def d29_changes(setting: Setting) -> Responder:
    """The ETag is weak; at the first range behind the first byte file and ETag change."""
    setting.file = replace(setting.file, etag='W/"a"', last_modified=None)
    return turning(setting, replace(setting.other, etag='W/"b"', last_modified=None))


@case("D30", "another ETag from each node, the same bytes", faults=CHANGE)
def d30(setting: Setting) -> Responder:
    """Two nodes take turns, request by request; the bytes are the same, the ETags not. If-Range is ignored."""

    def respond(request: Request) -> Reply:
        etag = f'"node-{request.number % 2}"'
        return serve(request, replace(setting.file, etag=etag, does_if_range=False))

    return respond


@case("D31", "no ETag in 206")
def d31(setting: Setting) -> Responder:
    """The ETag stands in 200 and in the first 206; in those behind it is missing, against RFC 9110 15.3.7."""
    return faulty(setting, lambda _request, reply: reply.with_field("ETag", None), later)


@case("D32", "Last-Modified only", "same")
def d32(setting: Setting) -> Responder:
    """There is no ETag; nothing changes."""
    setting.file = replace(setting.file, etag=None)
    return setting.honest


@case("D32", "Last-Modified only, and the file changes within its second", "second", faults=CHANGE)
def d32_second(setting: Setting) -> Responder:
    """There is no ETag; at the first range behind the first byte the file changes, its date and size do not."""
    setting.file = replace(setting.file, etag=None)
    return turning(setting, replace(setting.other, etag=None, last_modified=A_DATE))


@case("D33", "other bytes under the same ETag", faults=CHANGE)
def d33(setting: Setting) -> Responder:
    """At the first range behind the first byte the bytes change; ETag, date and size do not."""
    return turning(setting, replace(setting.file, body=setting.other.body))


@case("D33", "no ETag, no date, and the file changes", "bare", faults=CHANGE)
def d33_bare(setting: Setting) -> Responder:
    """Nothing names the version; at the first range behind the first byte the bytes change, the size does not."""
    setting.file = replace(setting.file, etag=None, last_modified=None)
    return turning(setting, replace(setting.other, etag=None, last_modified=None))


@case("D34", "412 to If-Match", "if-match", faults=(*CHANGE, "http_4xx"))
def d34(setting: Setting) -> Responder:
    """At the first range behind the first byte the file becomes another, and If-Match gets 412, as it should."""
    return turning(setting, replace(setting.other, does_if_range=False))


@case("D34", "412 to If-Match, the file unchanged", "wrongly")
def d34_wrongly(setting: Setting) -> Responder:
    """If-Match is compared wrongly, so that it gets 412 whatever its tag; nothing changes."""

    def respond(request: Request) -> Reply:
        return Reply(412) if request.header("if-match") is not None else serve(request, setting.file)

    return respond


@case("D34", "412 to If-Match, and 206 names no version", "nameless", faults=(*CHANGE, "http_4xx"))
def d34_nameless(setting: Setting) -> Responder:
    """As the first, and no 206 behind the first byte has a tag or a date: nothing but If-Match tells."""
    honest = turning(setting, replace(setting.other, does_if_range=False))

    def respond(request: Request) -> Reply:
        reply = honest(request)
        return reply.with_field("ETag", None).with_field("Last-Modified", None) if later(request, reply) else reply

    return respond


@case("D34", "412 to every range behind the first", "always", faults=(*CHANGE, *RANGE, "http_4xx"))
def d34_always(setting: Setting) -> Responder:
    """Every range behind the first byte gets 412, whatever its conditions."""
    return faulty(setting, lambda _request, _reply: Reply(412, setting.file.lines), later)


@case("D35", "304 that nobody asked for", "once", faults=(*CHANGE, *RANGE))
def d35(setting: Setting) -> Responder:
    """One range behind the first byte gets 304."""
    return faulty(setting, lambda _request, _reply: Reply(304, setting.file.lines), later, times=1)


@case("D35", "304 always", "always", right=False, faults=(*CHANGE, *RANGE))
def d35_always(setting: Setting) -> Responder:
    """Every request gets 304."""
    return faulty(setting, lambda _request, _reply: Reply(304, setting.file.lines), content)


def _fresh(setting: Setting, etag: str | None) -> Responder:
    def respond(request: Request) -> Reply:
        body = Body(setting.size, f"version {request.number}")
        setting.right.append(body)
        named = None if etag is None else etag.format(request.number)
        return serve(request, ServedFile(body, etag=named, last_modified=None, does_if_range=False))

    return respond


@case("D36", "another file on every request", "etag", faults=CHANGE, most_requests=200)
def d36(setting: Setting) -> Responder:
    """Each request gets another version of equal size with its own ETag; a client must give up some day."""
    return _fresh(setting, '"{}"')


@case("D36", "another file on every request, nameless", "bare", faults=CHANGE, most_requests=200)
def d36_bare(setting: Setting) -> Responder:
    """Each request gets another version of equal size, and nothing names the version."""
    return _fresh(setting, None)


@case("D37", "a mirror has another version of equal size", "etag", needs=[Need.MIRRORS], faults=CHANGE)
def d37(setting: Setting) -> Responder:
    """Two mirrors: one has the file, the other an older version of equal size under another ETag."""
    return _mirrors(setting, setting.other)


@case("D37", "a mirror has another version of equal size, nameless", "bare", needs=[Need.MIRRORS], faults=CHANGE)
def d37_bare(setting: Setting) -> Responder:
    """Two mirrors: one has the file, the other an older version of equal size; neither names its version."""
    setting.file = replace(setting.file, etag=None, last_modified=None)
    return _mirrors(setting, replace(setting.other, etag=None, last_modified=None))


def _mirrors(setting: Setting, other: ServedFile) -> Responder:
    path = "/data.bin"
    setting.mirrors = [setting.server.url(path, 1), setting.server.url(path, 2)]
    setting.right.append(other.body)
    return lambda request: serve(request, other if request.origin == 2 else setting.file)


@case("D38", "variants by negotiation", faults=CHANGE)
def d38(setting: Setting) -> Responder:
    """Two variants of equal size take turns, as `Vary: Accept-Language` allows, each under its ETag."""
    variants = (setting.file, replace(setting.other, last_modified=A_DATE))
    setting.right.append(setting.other.body)

    def respond(request: Request) -> Reply:
        chosen = variants[request.number % 2]
        return serve(request, replace(chosen, does_if_range=False)).with_line("Vary", "Accept-Language")

    return respond


@case("D31", "ranges with no validators at all, the file unchanged", "bare")
def d31_bare(setting: Setting) -> Responder:
    """Neither 200 nor 206 has an ETag or a date; nothing changes."""
    setting.file = replace(setting.file, etag=None, last_modified=None)
    return faulty(setting, lambda _request, reply: reply, partial)
