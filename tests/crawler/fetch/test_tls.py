"""TLS: verified by default, and its troubles named."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.frontier.reasons import Reason
from tests.support.certificate import server_context
from tests.support.faults import CLOSE, HANG, RESET, FaultServer, Script, chunked, head, page
from tests.support.fetching import failed, fetch_once, fetched


async def test_an_untrusted_certificate_is_refused_and_said_why(tmp_path: Path) -> None:
    """C17."""
    with FaultServer({"/": [page()]}, tls=server_context(tmp_path)) as server:
        outcome = failed(await fetch_once(server.url()))
    assert outcome.reason is Reason.TLS
    assert "certificate" in outcome.detail
    assert not server.seen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_verification_can_be_turned_off(tmp_path: Path, host: str) -> None:
    with FaultServer({"/": [page(b"here")]}, tls=server_context(tmp_path)) as server:
        assert fetched(await fetch_once(server.url(host=host), verify_tls=False)).body == b"here"


@pytest.mark.parametrize("greet", [[b"HTTP/1.1 400 This is plain HTTP\r\n\r\n", CLOSE], [CLOSE], [RESET]])
async def test_a_server_that_does_not_speak_tls_is_a_named_failure(greet: Script) -> None:
    with FaultServer({}, greet=greet) as server:
        outcome = failed(await fetch_once(server.url().replace("http:", "https:")))
    assert outcome.reason in (Reason.TLS, Reason.CONNECT, Reason.DISCONNECTED)
    assert str(server.port) not in outcome.detail


async def test_a_handshake_that_never_ends_is_a_connection_that_is_never_made() -> None:
    """C18."""
    with FaultServer({}, greet=[HANG]) as server:
        outcome = failed(await fetch_once(server.url().replace("http:", "https:"), connect_timeout=0.3))
    assert outcome.reason is Reason.CONNECT_TIMEOUT


async def test_plain_http_to_a_tls_port(tmp_path: Path) -> None:
    with FaultServer({"/": [page()]}, tls=server_context(tmp_path)) as server:
        outcome = failed(await fetch_once(server.url().replace("https:", "http:")))
    assert outcome.reason in (Reason.DISCONNECTED, Reason.PROTOCOL)


@pytest.mark.parametrize(
    ("script", "body", "framing"),
    [
        ([head(length=5), b"hello", RESET], b"hello", "length"),
        ([head("200 OK", "Transfer-Encoding: chunked"), chunked(b"hello"), RESET], b"hello", "chunked"),
    ],
    ids=["length", "chunked"],
)
async def test_an_unclean_shutdown_after_a_framed_body_is_nothing(
    tmp_path: Path, script: Script, body: bytes, framing: str
) -> None:
    """C19."""
    with FaultServer({"/": script}, tls=server_context(tmp_path)) as server:
        got = fetched(await fetch_once(server.url(), verify_tls=False))
    assert (got.body, got.truncated, got.framing) == (body, None, framing)
