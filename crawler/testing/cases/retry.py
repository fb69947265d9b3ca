"""D66 to D75, and D119 to D124: servers that fail, slow down and come back; connections that crawl; odd transports."""

from __future__ import annotations

import socket
from dataclasses import replace

from crawler.testing.bodies import flipped
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
    partial,
)  # fmt: skip
from crawler.testing.faultserver import Origin, Responder
from crawler.testing.files import part, serve
from crawler.testing.messages import End, Reply, Request, text

SHELF = Shelf()
case = SHELF.case
_BUSY = ("http_5xx", "http_4xx", "rate_limited", "timeout", "retries_exhausted")
MIB = 1024 * 1024


def _status(status: int, times: int | None) -> Build:
    def build(setting: Setting) -> Responder:
        return faulty(setting, lambda _request, _reply: text(status, "not now\n"), content, times)

    build.__doc__ = f"{'Every request' if times is None else 'The first two requests'} get {status}."
    return build


for _code in (500, 502, 503, 504, 429, 408, 522, 524):
    case("D66", f"{_code} twice, then well", f"{_code}")(_status(_code, 2))
case("D66", "503 for ever", "always", right=False, faults=_BUSY, most_requests=100)(_status(503, None))
case("D72", "a storm of retries is bounded", right=False, faults=_BUSY, most_requests=100)(_status(500, None))

_AFTER = {
    "seconds": "1",
    "date": "Sat, 01 Nov 2025 10:00:00 GMT",
    "huge": "99999999",
    "garbage": "soon",
    "negative": "-5",
    "fraction": "0.5",
}


def _retry_after(value: str) -> Build:
    def build(setting: Setting) -> Responder:
        refusal = text(503, "later\n", retry_after=value)
        return faulty(setting, lambda _request, _reply: refusal, content, times=1)

    build.__doc__ = f"The first request gets 503 with `Retry-After: {value}`; all others are honoured."
    return build


for _variant, _value in _AFTER.items():
    case("D67", f"Retry-After: {_value}", _variant, faults=_BUSY if _variant == "huge" else ())(_retry_after(_value))


@case("D68", "404 from the second segment on", "404", faults=("gone", "http_4xx", "retries_exhausted"))
def d68(setting: Setting) -> Responder:
    """Every range behind the first byte gets 404."""
    return faulty(setting, lambda _request, _reply: text(404, "gone\n"), later)


@case("D68", "410 from the second segment on", "410", faults=("gone", "http_4xx", "retries_exhausted"))
def d68_410(setting: Setting) -> Responder:
    """Every range behind the first byte gets 410."""
    return faulty(setting, lambda _request, _reply: text(410, "gone\n"), later)


@case("D68", "404 to one stretch of the file only", "stretch", faults=("gone", "http_4xx", "retries_exhausted"))
def d68_stretch(setting: Setting) -> Responder:
    """Every range that begins in the second half of the file gets 404."""
    half = setting.size // 2
    return faulty(setting, lambda _r, _reply: text(404, "gone\n"), lambda request, _reply: request.first > half)


@case("D69", "nobody listens", "refused", right=False, faults=("connect", "retries_exhausted"))
def d69(setting: Setting) -> Responder:
    """The port of the URL is closed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    setting.url = f"http://127.0.0.1:{port}{PATH}"
    return setting.honest


_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # fatal, handshake_failure (RFC 8446 6.2)


@case("D69", "a TLS alert", "alert", right=False, faults=("tls", "connect", "disconnected", "retries_exhausted"),
      greet=_ALERT)  # fmt: skip
def d69_alert(setting: Setting) -> Responder:
    """The server answers the handshake with a fatal alert."""
    setting.url = setting.server.url(PATH).replace("http:", "https:")
    return setting.honest


@case("D69", "a certificate that nobody trusts", "certificate", right=False, faults=("tls",), most_requests=0,
      origins=(Origin(tls=True),))  # fmt: skip
def d69_certificate(setting: Setting) -> Responder:
    """The server's certificate is signed by itself; a client must not even ask."""
    return setting.honest


@case("D70", "every connection is reset", right=False, faults=LINK, greet=End.RESET)
def d70(setting: Setting) -> Responder:
    """Every connection is accepted and reset at once; the client's budget of attempts must end some day."""
    return setting.honest


@case("D70", "every reply is reset after its head", "bytes", right=False, faults=LINK, most_requests=200)
def d70_bytes(setting: Setting) -> Responder:
    """Every reply is reset before the first byte of its body."""
    return faulty(setting, lambda _request, reply: replace(reply, cut=0, after=End.RESET), content)


@case("D73", "one of four connections at 1/16 of the rate", size=16 * MIB)
def d73(setting: Setting) -> Responder:
    """Every fourth connection gets 256 KiB a second, the others 4 MiB a second each."""

    def change(request: Request, reply: Reply) -> Reply:
        rate = 4.0 * MIB
        return replace(reply, rate=rate / 16 if request.connection % 4 == 2 else rate)

    return faulty(setting, change, content)


@case("D74", "slow connections that stop where the thief began", "victim", size=4 * MIB)
def d74(setting: Setting) -> Responder:
    """Every second connection gets 128 KiB a second, so that idle ones take over the rest of its work."""
    return faulty(setting, _half_slow, content)


def _half_slow(request: Request, reply: Reply, rate: float = 128.0 * 1024) -> Reply:
    return replace(reply, rate=rate) if request.connection % 2 == 0 else reply


@case("D74", "the thief fails", "thief", size=4 * MIB, faults=LINK)
def d74_thief(setting: Setting) -> Responder:
    """As before, and every request for a stretch that was asked for before is reset once."""
    asked = 0
    failed = 0

    def change(request: Request, reply: Reply) -> Reply:
        nonlocal asked, failed
        is_repeat = request.first < asked and request.first > 0
        asked = max(asked, reply.end or setting.size)
        if is_repeat and failed < 3:
            failed += 1
            return replace(reply, cut=reply.length // 3, after=End.RESET)
        return _half_slow(request, reply)

    return faulty(setting, change, content)


@case("D75", "a stretch that is asked for twice comes different the second time", needs=[Need.DIGEST], size=4 * MIB,
      faults=(*CHANGE, *RANGE))  # fmt: skip
def d75(setting: Setting) -> Responder:
    """Every second connection is slow; whoever asks for a stretch again gets it with a flipped bit."""
    asked = 0

    def change(request: Request, reply: Reply) -> Reply:
        nonlocal asked
        is_repeat = 0 < request.first < asked
        asked = max(asked, reply.end or setting.size)
        if is_repeat and reply.length > 5000:
            return replace(reply, source=flipped(setting.file.body, reply.first + 5000))
        return _half_slow(request, reply, 1024.0 * 1024)  # the whole may be asked for again, slowly

    return faulty(setting, change, content)


@case("D121", "thousands of answers", size=2 * MIB)
def d121(setting: Setting) -> Responder:
    """Every range gets at most 2,048 bytes of it: a thousand answers for one file."""
    return faulty(setting, lambda _r, reply: _at_most(setting, reply, 2048), partial)


def _at_most(setting: Setting, reply: Reply, most: int) -> Reply:
    return part(setting.file, reply.first, min(reply.end or setting.size, reply.first + most))


@case("D122", "more than 4 GiB", size=(4 << 30) + 4097, is_slow=True)
def d122(setting: Setting) -> Responder:
    """The file is longer than 32 bits can count; the server is honest."""
    return setting.honest


@case("D123", "an IPv6 literal", "ipv6", origins=(Origin("::1"),))
def d123(setting: Setting) -> Responder:
    """The host of the URL is `[::1]`; the server is honest."""
    return setting.honest


@case("D123", "a proxy", "proxy", needs=[Need.PROXY])
def d123_proxy(setting: Setting) -> Responder:
    """The server is a proxy, asked by whole URLs; it has the file itself."""
    setting.url = f"http://127.0.0.9:8080{PATH}"
    return setting.honest


@case("D123", "HTTP/1.0", "http10")
def d123_http10(setting: Setting) -> Responder:
    """The server speaks HTTP/1.0: no ranges, no length, one request a connection."""
    setting.file = replace(setting.file, has_ranges=False, accept_ranges=None)
    return faulty(setting, lambda _request, reply: replace(reply, version="HTTP/1.0"), content)


@case("D123", "HTTP/1.0 with ranges", "http10-ranges")
def d123_http10_ranges(setting: Setting) -> Responder:
    """The server speaks HTTP/1.0 and honours ranges, one request a connection."""
    return faulty(setting, lambda _request, reply: replace(reply, version="HTTP/1.0"), content)


@case("D123", "Connection: close each time", "close")
def d123_close(setting: Setting) -> Responder:
    """Every reply says `Connection: close` and means it."""
    return faulty(setting, lambda _request, reply: replace(reply, after=End.CLOSE), content)


@case("D123", "keep-alive that is not kept", "lie", faults=LINK)
def d123_lie(setting: Setting) -> Responder:
    """Every connection is closed after a whole reply, without having said so."""

    def change(_request: Request, reply: Reply) -> Reply:
        return replace(reply.with_field("Connection", "keep-alive"), after=End.CLOSE)

    return faulty(setting, change, content)


@case("D101", "two hosts that count their connections", needs=[Need.WHOLE_CLIENT])
def d101(setting: Setting) -> Responder:
    """The server is honest and a little slow; how many requests it has at once is in its log."""

    def respond(request: Request) -> Reply:
        return replace(serve(request, setting.file), rate=8.0 * MIB)

    return respond
