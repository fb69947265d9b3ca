"""Every exception that the network causes in aiohttp or the system becomes an outcome that repeats none of its text."""

from __future__ import annotations

import errno
import ssl
from typing import cast

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError, LineTooLong
from aioresponses import aioresponses
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from crawler.fetch.errors import NETWORK_ERRORS, outcome_of
from crawler.fetch.fetcher import Fetcher
from crawler.fetch.guard import HeadTooLong
from crawler.fetch.outcome import Failed, Refused
from crawler.fetch.resolver import AddressBlocked, NameNotResolved
from crawler.frontier.reasons import Reason
from tests.support.fetching import a_request, options

PRIVATE = "10.9.8.7"
KEY = ConnectionKey(PRIVATE, 80, False, True, None, None, None)
INFO = RequestInfo(URL("http://example.com/"), "GET", CIMultiDictProxy(CIMultiDict()))


def response_error(message: str, cause: Exception | None = None, status: int = 400) -> aiohttp.ClientResponseError:
    error = aiohttp.ClientResponseError(INFO, (), status=status, message=message)
    error.__cause__ = cause
    return error


def os_error(number: int) -> OSError:
    return OSError(number, f"Connect call failed ('{PRIVATE}', 80)")


UNTRUSTED = ssl.SSLCertVerificationError(1, f"[SSL] certificate verify failed {PRIVATE}")
UNTRUSTED.verify_message = "self-signed certificate"
HANDSHAKE = ssl.SSLError(1, f"[SSL: WRONG_VERSION_NUMBER] {PRIVATE}")
HANDSHAKE.reason = "WRONG_VERSION_NUMBER"

TOO_LARGE = "the head of the response is too long"
REFUSED = os_error(errno.ECONNREFUSED)

FAILURES: list[tuple[Exception, Reason, str]] = [
    (aiohttp.ClientConnectorDNSError(KEY, NameNotResolved("no address")), Reason.DNS, "no address"),
    (aiohttp.ClientConnectorError(KEY, REFUSED), Reason.CONNECT, "connection refused"),
    (aiohttp.ClientConnectorError(KEY, os_error(errno.EHOSTUNREACH)), Reason.CONNECT, "no route to host"),
    (aiohttp.ClientConnectorError(KEY, OSError(f"Several: {PRIVATE}")), Reason.CONNECT, "connection failed"),
    (aiohttp.ClientProxyConnectionError(KEY, REFUSED), Reason.CONNECT, "proxy: connection refused"),
    (aiohttp.ClientConnectorCertificateError(KEY, UNTRUSTED), Reason.TLS, "self-signed certificate"),
    (aiohttp.ClientConnectorSSLError(KEY, HANDSHAKE), Reason.TLS, "wrong version number"),
    (aiohttp.ConnectionTimeoutError(PRIVATE), Reason.CONNECT_TIMEOUT, "no connection in time"),
    (aiohttp.SocketTimeoutError(PRIVATE), Reason.READ_TIMEOUT, "timed out"),
    (TimeoutError(PRIVATE), Reason.READ_TIMEOUT, "timed out"),
    (aiohttp.ServerDisconnectedError(PRIVATE), Reason.DISCONNECTED, "the connection ended before the response"),
    (aiohttp.ClientPayloadError(PRIVATE), Reason.DISCONNECTED, "the connection ended inside the response"),
    (aiohttp.ClientOSError(errno.ECONNRESET, PRIVATE), Reason.DISCONNECTED, "connection reset by peer"),
    (ConnectionResetError(), Reason.DISCONNECTED, "ConnectionResetError"),
    (aiohttp.ClientConnectionError(PRIVATE), Reason.DISCONNECTED, "connection failed"),
    (response_error(f"Bad status line {PRIVATE!r}"), Reason.PROTOCOL, "Bad status line"),
    (response_error("Bad status line:\n\n  b'x'", BadStatusLine("x")), Reason.PROTOCOL, "Bad status line"),
    (HttpProcessingError(message="more than 10"), Reason.PROTOCOL, "more than 10"),
    (response_error("Got more", LineTooLong(b"x", 1)), Reason.HEADERS_TOO_LARGE, TOO_LARGE),
    (response_error("", HeadTooLong()), Reason.HEADERS_TOO_LARGE, TOO_LARGE),
    (response_error("Too many headers received"), Reason.HEADERS_TOO_LARGE, TOO_LARGE),
]  # fmt: skip


@pytest.mark.parametrize(("error", "reason", "detail"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_failure_is_named_and_tells_no_address(error: Exception, reason: Reason, detail: str) -> None:
    """C32, P11."""
    assert isinstance(error, NETWORK_ERRORS)
    assert outcome_of(error) == Failed(reason, detail)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (
            aiohttp.ClientConnectorDNSError(KEY, AddressBlocked("no address that the crawl may reach")),
            Refused(Reason.ADDRESS_BLOCKED, "no address that the crawl may reach"),
        ),
        (aiohttp.InvalidURL(PRIVATE), Refused(Reason.INVALID_URL, "refused by the HTTP client")),
        (UnicodeError("label too long"), Refused(Reason.INVALID_URL, "refused by the HTTP client")),
    ],
)
def test_what_was_not_sent_is_refused(error: Exception, outcome: Refused) -> None:
    assert isinstance(error, NETWORK_ERRORS)
    assert outcome_of(error) == outcome


@pytest.mark.parametrize(("status", "reason"), [(407, Reason.AUTH), (502, Reason.CONNECT)])
def test_a_proxy_speaks_for_itself(status: int, reason: Reason) -> None:
    error = aiohttp.ClientHttpProxyError(INFO, (), status=status, message=PRIVATE)
    assert outcome_of(error) == Failed(reason, f"the proxy answered {status}")


@pytest.mark.parametrize("error", [row[0] for row in FAILURES], ids=lambda value: type(value).__name__)
async def test_whatever_the_session_raises_for_the_network_is_an_outcome(error: Exception) -> None:
    with aioresponses() as network:
        network.get("http://example.com/", exception=error)
        async with Fetcher(options()) as fetcher:
            assert isinstance(await fetcher.fetch(a_request("http://example.com/")), Failed)


@pytest.mark.parametrize("error", [RuntimeError("bug"), ValueError("bug"), KeyError("bug"), MemoryError()])
async def test_a_bug_passes(error: BaseException) -> None:
    with aioresponses() as network:
        network.get("http://example.com/", exception=cast("Exception", error))
        async with Fetcher(options()) as fetcher:
            with pytest.raises(type(error)):
                await fetcher.fetch(a_request("http://example.com/"))
