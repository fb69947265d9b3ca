"""Servers that break HTTP: a response becomes a whole page, one that says why it is not whole, or a named failure.

Ids such as A01 are those of the catalogue of faults.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from crawler.fetch.outcome import Fetched, Outcome
from crawler.frontier.reasons import Reason
from crawler.frontier.request import Kind
from tests.support.faults import CLOSE, HANG, RESET, FaultServer, Repeat, Script, Wait, chunked, head, page
from tests.support.fetching import failed, fetch_once, fetched

TRAILERS = Repeat(b"X: y\r\n" * 1000)
CHUNKED = head("200 OK", "Transfer-Encoding: chunked")


async def exchange(script: Script, **changes: Any) -> Outcome:
    with FaultServer({"/": script}) as server:
        async with asyncio.timeout(10):
            return await fetch_once(server.url(), **changes)


WHOLE: dict[str, tuple[Script, bytes, str]] = {
    "length": ([page(b"hello")], b"hello", "length"),
    "empty": ([page(b"")], b"", "length"),
    "chunked": ([CHUNKED, chunked(b"hel", b"lo")], b"hello", "chunked"),
    "A07 chunk extension and trailer": ([CHUNKED, b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"], b"hello", "chunked"),
    "A09 until close": ([head(), b"hello", CLOSE], b"hello", "close"),
    "HTTP/1.0": ([b"HTTP/1.0 200 OK\r\n\r\nhello", CLOSE], b"hello", "close"),
    "A03 longer than declared": ([page(b"hello"), Wait(0.1), b"garbage"], b"hello", "length"),
    "A11 8-bit header": ([page(b"ok", "200 OK", "X: a\xe9b")], b"ok", "length"),
    "A11 folded header": ([page(b"ok", "200 OK", "X: a", "  b")], b"ok", "length"),
    "A11 bare LF": ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], b"ok", "length"),
    "A13 ten interim responses": ([Repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n", 10), page(b"ok")], b"ok", "length"),
    "A14 no content": ([head("204 No Content")], b"", "length"),
    "cut in small segments": (
        [Repeat(page(b"hello")[:1], 0), *(bytes([b]) for b in page(b"hello"))],
        b"hello",
        "length",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_a_proper_end_makes_a_whole_page(name: str) -> None:
    script, body, framing = WHOLE[name]
    got = fetched(await exchange(script))
    assert (got.body, got.truncated, got.framing) == (body, None, framing)


CUT: dict[str, tuple[Script, bytes, str]] = {
    "A01 length, close": ([head(length=1000), b"x" * 500, CLOSE], b"x" * 500, "content_length"),
    "A01 length, close later": ([head(length=1000), b"x" * 500, Wait(0.1), CLOSE], b"x" * 500, "content_length"),
    "A01 nothing came": ([head(length=1000), CLOSE], b"", "content_length"),
    "A06 no last chunk": ([CHUNKED, chunked(b"hello", last=False), CLOSE], b"hello", "chunked"),
    "A06 cut inside a chunk": ([CHUNKED, b"1000\r\nhello", CLOSE], b"hello", "chunked"),
    "A06 chunk of 2^63": ([CHUNKED, b"7fffffffffffffff\r\nhello", CLOSE], b"hello", "chunked"),
    "A10 endless trailers": ([CHUNKED, b"5\r\nhello\r\n", Wait(0.1), b"0\r\n", TRAILERS], b"hello", "chunked"),
    "A06 bad chunk later": ([CHUNKED, b"5\r\nhello\r\n", Wait(0.1), b"zz\r\n", HANG], b"hello", "chunked"),
}


@pytest.mark.parametrize("name", CUT)
async def test_an_early_end_keeps_what_came_and_says_so(name: str) -> None:
    """The last bytes often arrive together with the end of the connection; they must not be lost."""
    script, body, truncated = CUT[name]
    got = fetched(await exchange(script))
    assert (got.body, got.truncated) == (body, truncated)


BROKEN: dict[str, tuple[Script, Reason]] = {
    "A04 two lengths": ([head("200 OK", "Content-Length: 5", "Content-Length: 6"), b"hello"], Reason.PROTOCOL),
    "A04 negative length": ([head("200 OK", "Content-Length: -5"), b"hello"], Reason.PROTOCOL),
    "A04 no number": ([head("200 OK", "Content-Length: abc"), b"hello"], Reason.PROTOCOL),
    "A04 2^64": ([head("200 OK", "Content-Length: 18446744073709551616"), b"hello"], Reason.PROTOCOL),
    "A05 length and chunked": (
        [head("200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"), chunked(b"hello")],
        Reason.PROTOCOL,
    ),
    "A06 chunk size overflow": ([CHUNKED + b"fffffffffffffffffffff\r\nhello"], Reason.PROTOCOL),
    "A10 one header of 10 MB": ([b"HTTP/1.1 200 OK\r\nX: ", Repeat(b"x" * 65536, 160)], Reason.HEADERS_TOO_LARGE),
    "A10 endless headers": ([b"HTTP/1.1 200 OK\r\n", Repeat(b"X: y\r\n" * 1000)], Reason.HEADERS_TOO_LARGE),
    "A10 360 KB of headers": (
        [b"HTTP/1.1 200 OK\r\n", Repeat(b"X: " + b"y" * 30_000 + b"\r\n", 12), b"Content-Length: 0\r\n\r\n"],
        Reason.HEADERS_TOO_LARGE,
    ),
    "A10 endless long headers": (
        [b"HTTP/1.1 200 OK\r\n", Repeat(b"X: " + b"y" * 30_000 + b"\r\n")],
        Reason.HEADERS_TOO_LARGE,
    ),
    "A11 NUL": ([page(b"ok", "200 OK", "X: a\0b")], Reason.PROTOCOL),
    "A11 bare CR": ([page(b"ok", "200 OK", "X: a\rb")], Reason.PROTOCOL),
    "A11 no colon": ([page(b"ok", "200 OK", "garbage")], Reason.PROTOCOL),
    "A12 status line only": ([b"HTTP/1.1 200 OK\r\n", CLOSE], Reason.DISCONNECTED),
    "A12 ICY": ([b"ICY 200 OK\r\n\r\nhello", CLOSE], Reason.PROTOCOL),
    "A12 HTTP/0.9": ([b"<html>hello", CLOSE], Reason.PROTOCOL),
    "A12 HTTP/3.0": ([b"HTTP/3.0 200 OK\r\n\r\n", CLOSE], Reason.PROTOCOL),
    "A12 code 99": ([page(b"x", "99 Hm")], Reason.PROTOCOL),
    "A12 code 999": ([page(b"x", "999 Hm")], Reason.HTTP_OTHER),
    "A16 reset before the head": ([RESET], Reason.DISCONNECTED),
    "A16 reset in the body": ([head(length=1000), b"x" * 500, Wait(0.1), RESET], Reason.DISCONNECTED),
    "A16 reset in a body until close": ([head(), b"x" * 500, Wait(0.1), RESET], Reason.DISCONNECTED),
    "closed before the head": ([CLOSE], Reason.DISCONNECTED),
    "A28 HTTP/2 only": ([b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80", CLOSE], Reason.PROTOCOL),
    "A28 upgrade": (
        [head("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"), HANG],
        Reason.PROTOCOL,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_http_is_a_named_failure(name: str) -> None:
    script, reason = BROKEN[name]
    started = time.perf_counter()
    outcome = failed(await exchange(script))
    assert outcome.reason is reason
    assert 0 < len(outcome.detail) <= 300
    assert time.perf_counter() - started < 3  # by what was read, not by a timeout


async def test_endless_interim_responses_do_not_hold_the_loop() -> None:
    """A13: a loop that lets the parser take in all that a fast server sends stands still for more than a second."""
    longest = 0.0

    async def meter() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    with FaultServer({"/": [Repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000)]}) as server:
        metering = asyncio.create_task(meter())
        outcome = failed(await fetch_once(server.url()))
        metering.cancel()
    assert (outcome.reason, outcome.detail) == (Reason.PROTOCOL, "more than 10 interim responses")
    assert longest < 0.5


async def test_a_head_without_end_is_over_at_the_read_timeout() -> None:
    """A18: each byte of a dripping head would start a plain read timeout anew."""
    script: Script = [b"HTTP/1.1 200 OK\r\nX: ", Repeat(b"y", every=0.05)]
    assert failed(await exchange(script, read_timeout=0.3)).reason is Reason.READ_TIMEOUT


@pytest.mark.parametrize(
    "start", [head(), head(length=10**7), CHUNKED + b"ffffff\r\n"], ids=["close", "length", "chunk"]
)
async def test_an_endless_body_is_cut_at_the_cap(start: bytes) -> None:
    """A19."""
    got = fetched(await exchange([start, Repeat(b"x" * 65536)], max_wire_bytes=3_000_001))
    assert (len(got.body), got.truncated) == (3_000_001, "max_wire_bytes")


async def test_a_body_of_exactly_the_cap_is_whole() -> None:
    got = fetched(await exchange([page(b"x" * 1000)], max_wire_bytes=1000))
    assert (len(got.body), got.truncated) == (1000, None)


async def test_a_download_is_refused_before_it_is_read() -> None:
    """A20."""
    outcome = failed(await exchange([head(length=10**10), HANG]))
    assert (outcome.reason, outcome.status) == (Reason.TOO_LARGE, 200)


async def test_robots_are_read_to_their_limit_whatever_they_declare() -> None:
    """E03: RFC 9309 2.5 asks for the first 500 KiB of a file of any size."""
    with FaultServer({"/robots.txt": [head(length=5 * 10**9), Repeat(b"#" * 65536)]}) as server:
        got = fetched(await fetch_once(server.url("/robots.txt"), Kind.ROBOTS))
    assert (len(got.body), got.truncated) == (512 * 1024 + 1, "max_wire_bytes")


async def test_half_a_million_chunks_of_one_byte_are_a_page() -> None:
    """A08."""
    got = fetched(await exchange([CHUNKED, Repeat(b"1\r\nx\r\n" * 10_000, 50), b"0\r\n\r\n"]))
    assert (len(got.body), got.truncated) == (500_000, None)


async def test_the_page_says_what_came_and_for_which_request() -> None:
    lines = ("Content-Encoding: gzip", "X-Twice: 1", "x-twice: 2", "Server: caf\xe9")
    with FaultServer({"/a%20b?q=%C3%A9": [page(b"\x1f\x8b not touched", "200 OK", *lines)]}) as server:
        outcome = await fetch_once(server.url("/a%20b?q=%C3%A9#fragment"))
    assert isinstance(outcome, Fetched)
    got = outcome.page
    assert (got.id, got.url, got.status) == (7, server.url("/a%20b?q=%C3%A9"), 200)
    assert got.body == b"\x1f\x8b not touched"
    assert got.headers[:4] == (("content-encoding", "gzip"), ("x-twice", "1"), ("x-twice", "2"), ("server", "caf\xe9"))
    assert got.fetched_at.endswith("Z")
    assert {name for name, _ in got.timings} == {"ttfb", "fetch"}


async def test_timings_are_finer_than_the_clock_of_the_loop() -> None:
    """uvloop's has whole milliseconds: a page from nearby would have taken no time at all."""
    timings = []
    for _ in range(5):
        outcome = await exchange([page(b"near")])
        timings.append(dict(fetched(outcome).timings))
    assert all(0 < found["ttfb"] <= found["fetch"] < 5 for found in timings), timings
    assert any(round(seconds * 1e6) % 1000 for found in timings for seconds in found.values()), timings
