"""What each status means, and that an unwanted body costs little."""

from __future__ import annotations

import time

import pytest

from crawler.fetch.fetcher import Fetcher
from crawler.fetch.outcome import Failed, Redirected
from crawler.frontier.reasons import Reason
from crawler.frontier.request import Kind
from tests.support.faults import HANG, FaultServer, Repeat, chunked, head, page
from tests.support.fetching import a_request, failed, fetch_once, fetched, options


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (304, Reason.HTTP_OTHER), (300, Reason.HTTP_OTHER), (400, Reason.HTTP_4XX), (401, Reason.AUTH),
        (403, Reason.HTTP_4XX), (404, Reason.HTTP_4XX), (407, Reason.AUTH), (410, Reason.HTTP_4XX),
        (429, Reason.RATE_LIMITED), (499, Reason.HTTP_4XX), (500, Reason.HTTP_5XX), (503, Reason.HTTP_5XX),
        (599, Reason.HTTP_5XX), (600, Reason.HTTP_OTHER),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", Kind)
async def test_a_status_without_a_page_is_a_failure_with_its_reason(status: int, reason: Reason, kind: Kind) -> None:
    body = b"" if status == 304 else b"no"
    with FaultServer({"/": [page(body, f"{status} Hm", "WWW-Authenticate: Basic realm=x")]}) as server:
        assert await fetch_once(server.url(), kind) == Failed(reason, f"status {status}", status)
        assert len(server.seen) == 1  # A27: a challenge is not answered


@pytest.mark.parametrize("status", [200, 201, 203, 206, 299])
async def test_every_2xx_is_a_page(status: int) -> None:
    with FaultServer({"/": [page(b"yes", f"{status} Hm")]}) as server:
        assert fetched(await fetch_once(server.url())).status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_reported_and_not_followed(status: int) -> None:
    lines = ("Location: /there?\xc3\xa9#x", "X-Robots-Tag: noindex")
    with FaultServer({"/a/b": [page(b"moved", f"{status} Hm", *lines)]}) as server:
        outcome = await fetch_once(server.url("/a/b"))
        assert isinstance(outcome, Redirected)
        assert (outcome.status, outcome.target) == (status, server.url("/there?%C3%A9"))
        assert ("x-robots-tag", "noindex") in outcome.headers
        assert len(server.seen) == 1


@pytest.mark.parametrize("line", ["X: no location", "Location:", "Location: ftp://example.com/", "Location: http://]/"])
async def test_a_redirect_to_nowhere_is_invalid(line: str) -> None:
    """C03, C04, C15."""
    with FaultServer({"/": [page(b"", "302 Found", line)]}) as server:
        outcome = failed(await fetch_once(server.url()))
    assert (outcome.reason, outcome.status) == (Reason.REDIRECT_INVALID, 302)


async def test_a_redirect_to_an_overlong_label_is_a_target_like_any_other() -> None:
    """C04: it fails when it is looked up, as a name that does not resolve."""
    target = f"http://{'a' * 64}.example/"
    with FaultServer({"/": [page(b"", "302 Found", f"Location: {target}")]}) as server:
        outcome = await fetch_once(server.url())
    assert isinstance(outcome, Redirected)
    assert failed(await fetch_once(outcome.target)).reason is Reason.DNS


@pytest.mark.parametrize(("status", "value", "reason", "wait"), [
    (429, "120", Reason.RATE_LIMITED, 120.0),
    (429, "garbage", Reason.RATE_LIMITED, None),
    (503, "0", Reason.RATE_LIMITED, 0.0),
    (503, "garbage", Reason.HTTP_5XX, None),
    (404, "5", Reason.HTTP_4XX, 5.0),
])  # fmt: skip
async def test_retry_after_is_passed_on(status: int, value: str, reason: Reason, wait: float | None) -> None:
    """A21."""
    with FaultServer({"/": [page(b"", f"{status} Hm", f"Retry-After: {value}")]}) as server:
        outcome = failed(await fetch_once(server.url()))
    assert (outcome.reason, outcome.retry_after) == (reason, wait)


@pytest.mark.parametrize(
    "answer",
    [page(b"x" * 10_000, "404 No"), head("404 No", "Transfer-Encoding: chunked") + chunked(b"x" * 10_000)],
    ids=["length", "chunked"],
)
async def test_a_small_error_page_keeps_the_connection(answer: bytes) -> None:
    with FaultServer({"/": [answer]}) as server:
        async with Fetcher(options()) as fetcher:
            for _ in range(3):
                assert failed(await fetcher.fetch(a_request(server.url()))).status == 404
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        [head("404 No", length=10**10), HANG],
        [head("302 Found", "Location: /x", length=200_000_000), Repeat(b"x" * 65536)],
        [head("404 No", "Transfer-Encoding: chunked"), Repeat(chunked(b"x" * 65536, last=False))],
        [head("500 No"), Repeat(b"x" * 65536)],
    ],
    ids=["10 GB declared", "200 MB redirect", "endless chunks", "until close"],
)
async def test_a_large_error_page_is_not_read(answer: list[bytes]) -> None:
    """B02: what is behind a 404 or a redirect is nobody's bomb."""
    started = time.perf_counter()
    with FaultServer({"/": answer}) as server:
        outcome = await fetch_once(server.url())
    assert isinstance(outcome, Redirected | Failed)
    assert outcome.status in (302, 404, 500)
    assert time.perf_counter() - started < 2


async def test_a_dripping_error_page_costs_two_seconds_and_no_more() -> None:
    started = time.perf_counter()
    with FaultServer({"/": [head("404 No", length=1000), Repeat(b"x", every=0.1)]}) as server:
        assert failed(await fetch_once(server.url())).status == 404
    assert time.perf_counter() - started < 4
