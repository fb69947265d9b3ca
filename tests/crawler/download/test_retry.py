"""Whether to ask again, where and when: decided from faults and the time alone."""

from __future__ import annotations

import pytest

from crawler.download.fault import Fault
from crawler.download.retry import MAX_HOPS, MAX_RENEWALS, Failure, GivenUp, Patience, Source, Sources

TERMS = Patience(retries=3, delay=1.0, delay_max=4.0, retry_after_max=60.0)


def fail(source: Source, fault: Fault, now: float = 0.0, *, status: int = 0, after: float | None = None) -> None:
    source.failed(source.at, Failure(fault, "why", status, after), now, TERMS, 1.0)


def test_pauses_double_up_to_a_limit_and_end() -> None:
    source = Source("http://a/")
    pauses = []
    for _ in range(3):
        fail(source, Fault.TIMEOUT)
        pauses.append((source.not_before, source.dead))
    assert pauses == [(1.0, None), (2.0, None), (4.0, None)]
    fail(source, Fault.TIMEOUT)
    assert source.dead is Fault.RETRIES_EXHAUSTED
    assert "timeout: why" in source.detail


def test_bytes_are_a_new_beginning() -> None:
    source = Source("http://a/")
    for _ in range(20):
        fail(source, Fault.SHORT_BODY)
        source.moved()
    assert source.dead is None


@pytest.mark.parametrize("fault", [Fault.GONE, Fault.AUTH, Fault.TLS, Fault.ADDRESS_BLOCKED, Fault.HTTP_4XX])
def test_what_will_not_pass_is_not_asked_again(fault: Fault) -> None:
    source = Source("http://a/")
    fail(source, fault)
    assert source.dead is fault


def test_a_server_is_heard_when_it_asks_for_a_pause() -> None:
    source = Source("http://a/")
    fail(source, Fault.RATE_LIMITED, 10.0, status=429, after=30.0)
    assert source.not_before == 40.0
    fail(source, Fault.RATE_LIMITED, 40.0, status=429, after=61.0)
    assert source.dead is Fault.RATE_LIMITED
    assert "61 s" in source.detail


def test_a_signed_url_that_expired_is_looked_up_anew() -> None:
    """D62: the place that a redirect led to says 403; the place that sends there knows a fresh one."""
    source = Source("http://a/")
    for _ in range(MAX_RENEWALS):
        source.redirected(source.at, "http://b/?signature=1")
        fail(source, Fault.AUTH, status=403)
        assert (source.at, source.dead) == ("http://a/", None)
    source.redirected(source.at, "http://b/?signature=9")
    fail(source, Fault.AUTH, status=403)
    assert source.dead is Fault.AUTH


def test_news_from_where_nobody_asks_any_more_is_none() -> None:
    """Eight requests with one signature that expired are one failure, and only the first answer to them is followed."""
    source = Source("http://a/")
    source.redirected("http://a/", "http://b/?1")
    for _ in range(8):
        source.failed("http://b/?1", Failure(Fault.AUTH, "why", 403), 0.0, TERMS, 1.0)
    assert (source.at, source.renewals, source.dead) == ("http://a/", 1, None)
    source.redirected("http://a/", "http://b/?2")
    source.redirected("http://a/", "http://b/?3")
    assert source.at == "http://b/?2"


def test_requests_that_fail_together_are_one_failure() -> None:
    """A server that is restarted cuts eight connections at once; with five retries that would be the end."""
    source = Source("http://a/")
    for _ in range(8):
        source.failed(source.at, Failure(Fault.DISCONNECTED, "why", began=1.0), 2.0, TERMS, 1.0)
    assert (source.failures, source.dead) == (1, None)
    source.failed(source.at, Failure(Fault.DISCONNECTED, "why", began=3.0), 4.0, TERMS, 1.0)
    assert source.failures == 2


def test_redirects_end() -> None:
    source = Source("http://a/")
    for number in range(MAX_HOPS):
        source.redirected(source.at, f"http://a/{number}")
    assert source.dead is None
    source.redirected(source.at, "http://a/more")
    assert source.dead is Fault.REDIRECT_LIMIT


def test_nobody_is_led_from_https_to_http() -> None:
    source = Source("https://a/")
    source.redirected("https://a/", "http://a/")
    assert (source.dead, source.at) == (Fault.REDIRECT_INSECURE, "https://a/")


def test_the_first_place_that_may_be_asked_is_best() -> None:
    sources = Sources(["http://a/", "http://b/", "http://a/"], TERMS)
    assert [source.url for source in sources.all] == ["http://a/", "http://b/"]
    first, second = sources.all
    assert sources.best(0.0) is first
    fail(first, Fault.TIMEOUT)
    assert sources.best(0.0) is second
    assert sources.best(5.0) is first
    fail(first, Fault.GONE)
    assert sources.best(5.0) is second
    fail(second, Fault.AUTH)
    with pytest.raises(GivenUp) as caught:
        sources.best(5.0)
    assert caught.value.fault is Fault.AUTH
    assert "1 other place" in caught.value.detail


def test_each_silence_is_awaited_twice_as_long_as_the_last_and_the_final_one_to_the_end() -> None:
    """A server that is slow but alive is given up early, and is served in the end."""
    source, terms = Source("http://a/"), TERMS._replace(stall=10.0)
    waits = []
    for _ in range(4):
        waits.append(source.silence(terms))
        fail(source, Fault.TIMEOUT)
    assert waits == [10.0, 20.0, 40.0, 0.0]
    source.moved()
    assert source.silence(terms) == 10.0
