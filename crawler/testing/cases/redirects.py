"""D57 to D65: redirects, mirrors, signed URLs, rights that end, and names that servers give."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from crawler.testing.cases.case import (
    CHANGE,
    LINK,
    PATH,
    RANGE,
    Build,
    Need,
    Setting,
    Shelf,
    content,
    faulty,
    later,
)  # fmt: skip
from crawler.testing.faultserver import Origin, Responder
from crawler.testing.files import serve
from crawler.testing.messages import Fields, Reply, Request, page, redirect, text

SHELF = Shelf()
case = SHELF.case
_REDIRECT = ("redirect_limit", "redirect_to_page", "redirect_insecure", "retries_exhausted")
SIGNED = "/signed/data.bin"


@case("D57", "each segment is redirected to another host")
def d57(setting: Setting) -> Responder:
    """Every request gets 302 to one of two other hosts, in turn; both have the same file."""
    turn = count()
    setting.server.mount(SIGNED, setting.honest)
    return lambda _request: redirect(setting.server.url(SIGNED, 1 + next(turn) % 2))


@case("D57", "each kind of redirect once", "kinds")
def d57_kinds(setting: Setting) -> Responder:
    """301, 302, 303, 307 and 308 lead to the file, one after the other, with relative and absolute locations."""
    places = [f"/hop{number}" for number in range(5)]
    for status, here, there in zip((302, 303, 307, 308), places, places[1:], strict=False):
        setting.server.mount(here, lambda _request, status=status, there=there: redirect(there, status))  # type: ignore[misc]  # defaults bind the loop's values
    setting.server.mount(places[-1], setting.honest)
    return lambda _request: redirect(setting.server.url(places[0]), 301)


@case("D58", "one mirror answers 500", "500", needs=[Need.MIRRORS])
def d58(setting: Setting) -> Responder:
    """Two mirrors: the first has the file, the second answers every request with 500."""
    return _two_mirrors(setting, text(500, "broken\n"))


@case("D58", "one mirror answers 404", "404", needs=[Need.MIRRORS])
def d58_gone(setting: Setting) -> Responder:
    """Two mirrors: the first has the file, the second answers every request with 404."""
    return _two_mirrors(setting, text(404, "no such file\n"))


@case("D58", "one mirror answers with a page", "page", needs=[Need.MIRRORS], faults=(*CHANGE, *RANGE))
def d58_page(setting: Setting) -> Responder:
    """Two mirrors: the first has the file, the second answers every request with a small HTML page and 200."""
    return _two_mirrors(setting, page())


def _two_mirrors(setting: Setting, bad: Reply) -> Responder:
    setting.mirrors = [setting.server.url(PATH, 1), setting.server.url(PATH, 2)]
    return lambda request: bad if request.origin == 2 else serve(request, setting.file)


@case("D58", "the first source is dead, a mirror works", "first", needs=[Need.MIRRORS])
def d58_first(setting: Setting) -> Responder:
    """The URL itself answers 503 for ever; its two mirrors have the file."""
    setting.mirrors = [setting.server.url(PATH, 1), setting.server.url(PATH, 2)]
    return lambda request: text(503, "down\n") if request.origin == 0 else serve(request, setting.file)


@case("D59", "a loop of redirects", "loop", right=False, faults=_REDIRECT, most_requests=100)
def d59(setting: Setting) -> Responder:
    """The URL redirects to itself."""
    return lambda request: redirect(PATH)


@case("D59", "too many redirects", "many", right=False, faults=_REDIRECT, most_requests=200)
def d59_many(setting: Setting) -> Responder:
    """Each redirect leads to another URL, without end."""
    turn = count()

    def respond(request: Request) -> Reply:
        return redirect(f"{PATH}?hop={next(turn)}")

    return respond


@case("D60", "https redirects to http", right=False, faults=("redirect_insecure",), needs=[Need.TRUST],
      origins=(Origin(tls=True), Origin("127.0.0.2")))  # fmt: skip
def d60(setting: Setting) -> Responder:
    """The file is asked for over TLS, and the answer leads to the same file without TLS."""
    setting.server.mount(SIGNED, setting.honest)

    def respond(request: Request) -> Reply:
        return redirect(setting.server.url(SIGNED, 1))

    return respond


@case("D61", "a redirect to another host", "", needs=[Need.SECRET])
def d61(setting: Setting) -> Responder:
    """The first host asks for Authorization and redirects to another host, which must not see it."""

    def elsewhere(request: Request) -> Reply:
        has_secret = request.header("authorization") is not None or request.header("cookie") is not None
        return text(400, "that was not for me\n") if has_secret else serve(request, setting.file)

    def respond(request: Request) -> Reply:
        if request.header("authorization") is None:
            return text(401, "who are you?\n", www_authenticate='Basic realm="files"')
        return redirect(setting.server.url(SIGNED, 1))

    setting.server.mount(SIGNED, elsewhere)
    return respond


def _signed(setting: Setting, uses: int, refusal: Reply) -> Responder:
    """Redirect to URLs that are good for so many requests each."""
    issued, used = count(1), dict[str, int]()

    def signed(request: Request) -> Reply:
        used[request.target] = used.get(request.target, 0) + 1
        return refusal if used[request.target] > uses else serve(request, setting.file)

    setting.server.mount(SIGNED, signed)
    return lambda _request: redirect(f"{SIGNED}?signature={next(issued)}")


@case("D62", "a signed URL expires, and is signed anew", "403")
def d62(setting: Setting) -> Responder:
    """The URL redirects to a signed one that is good for three requests and then answers 403; each redirect is new."""
    return _signed(setting, 3, text(403, "Request has expired\n"))


@case("D62", "a signed URL expires with 400 and a page", "400", faults=("http_4xx", "auth", "retries_exhausted"))
def d62_page(setting: Setting) -> Responder:
    """As before, but an expired signature gets 400."""
    return _signed(setting, 3, page(400, "AccessDenied"))


def _refused(status: int, times: int | None) -> Build:
    def build(setting: Setting) -> Responder:
        return faulty(setting, lambda _request, _reply: text(status, "not you\n"), later, times)

    build.__doc__ = f"{'Every range' if times is None else 'One range'} behind the first byte gets {status}."
    return build


for _status in (401, 403, 407):
    case("D63", f"{_status} in the middle, once", f"{_status}-once", faults=("auth", "http_4xx", "retries_exhausted"))(
        _refused(_status, 1)
    )
    case("D63", f"{_status} from the middle on", f"{_status}-always", faults=("auth", "http_4xx", "retries_exhausted"))(
        _refused(_status, None)
    )


@case("D64", "a redirect to a sign-in page", "first", right=False, faults=(*_REDIRECT, *RANGE))
def d64(setting: Setting) -> Responder:
    """The URL redirects to a page that asks for a password, in HTML, with 200."""
    setting.server.mount("/login", lambda _request: page())

    def respond(request: Request) -> Reply:
        return redirect("/login?next=data.bin")

    return respond


@case("D64", "segments are redirected to a sign-in page", "later", faults=(*_REDIRECT, *RANGE, *CHANGE, "auth"))
def d64_later(setting: Setting) -> Responder:
    """Every range behind the first byte is redirected to a page that asks for a password."""
    setting.server.mount("/login", lambda _request: page())
    return faulty(setting, lambda _request, _reply: redirect("/login?next=data.bin"), later)


NAMES: dict[str, str] = {
    "traversal": 'attachment; filename="../../etc/passwd"',
    "absolute": 'attachment; filename="/etc/cron.d/job"',
    "backslash": r'attachment; filename="..\\..\\evil.bat"',
    "coded": "attachment; filename*=UTF-8''..%2F..%2Fevil",
    "nul": "attachment; filename*=UTF-8''data.txt%00.sh",
    "long": f'attachment; filename="{"x" * 300}.bin"',
    "hidden": 'attachment; filename=".bashrc"',
    "reserved": 'attachment; filename="CON.txt"',
    "dots": 'attachment; filename=".."',
    "empty": 'attachment; filename=""',
    "bidi": "attachment; filename*=UTF-8''invoice%E2%80%AEfdp.exe",
    "folder": 'attachment; filename="a/b/c.bin"',
}
"""Content-Disposition lines with names that must not be taken as they are."""


def _named(line: str) -> Build:
    def build(setting: Setting) -> Responder:
        lines: Fields = (("Content-Disposition", line),)
        setting.file = replace(setting.file, fields=lines)
        return setting.honest

    build.__doc__ = f"Every reply names the file by `Content-Disposition: {line[:60]}`."
    return build


for _variant, _line in NAMES.items():
    case("D65", f"an unsafe name: {_variant}", _variant, size=20_000, needs=[Need.WHOLE_CLIENT],
         faults=("name_unsafe",))(_named(_line))  # fmt: skip


@case("D71", "all mirrors are dead", needs=[Need.MIRRORS], right=False, most_requests=200,
      faults=(*LINK, "http_5xx", "gone"))  # fmt: skip
def d71(setting: Setting) -> Responder:
    """The URL answers 503, one mirror resets, the other answers 500."""
    setting.mirrors = [setting.server.url(PATH, 1), setting.server.url(PATH, 2)]

    def respond(request: Request) -> Reply:
        return text(503 if request.origin == 0 else 500, "down\n")

    return respond


@case("D61", "a redirect back and forth between hosts", "returns", needs=[Need.SECRET])
def d61_returns(setting: Setting) -> Responder:
    """The first host redirects to another, and that one back to the first, which asks for Authorization."""
    setting.server.mount(SIGNED, lambda request: (
        text(400, "that was not for me\n") if request.header("authorization") else redirect(setting.server.url("/back"))
    ))  # fmt: skip
    setting.server.mount("/back", lambda request: (
        serve(request, setting.file) if request.header("authorization") else text(401, "who are you?\n")
    ))  # fmt: skip
    return lambda _request: redirect(setting.server.url(SIGNED, 1))


@case("D64", "a small page with the content type of the file", "honest", size=500)
def d64_honest(setting: Setting) -> Responder:
    """The file itself is HTML: this is no sign-in page, and is what was asked for."""
    setting.file = replace(setting.file, content_type="text/html")
    return faulty(setting, lambda _request, reply: reply, content)
