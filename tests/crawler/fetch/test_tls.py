"""TLS: verified by default, and its troubles named."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.errors import ExitCode
from crawler.fetch.fetcher import Fetcher
from crawler.frontier.reasons import Reason
from tests.support.certificate import server_context
from tests.support.faults import CLOSE, HANG, RESET, FaultServer, Script, chunked, head, page
from tests.support.fetching import a_request, failed, fetch_once, fetched, options


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect here what uvloop leaves of a handshake that failed: a socket in a cycle, which would warn in any test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def test_an_untrusted_certificate_is_refused_and_said_why(tmp_path: Path) -> None:
    """C17."""
    with FaultServer({"/": [page()]}, tls=server_context(tmp_path)) as server:
        outcome = failed(await fetch_once(server.url()))
    assert outcome.reason is Reason.TLS
    assert "certificate" in outcome.detail
    assert not server.seen


async def test_a_certificate_that_the_system_trusts_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "untrusted.pem"))
    with FaultServer({"/": [page(b"here")]}, tls=server_context(tmp_path)) as server:
        assert fetched(await fetch_once(server.url(host="localhost"))).body == b"here"


def test_the_command_verifies_against_the_certificates_of_the_system(tmp_path: Path) -> None:
    """It imports aiohttp with no certificates in sight; its own requests must see them all the same."""
    robots = b"User-agent: *\nDisallow:\n"
    with FaultServer({"/robots.txt": [page(robots)], "/": [page()]}, tls=server_context(tmp_path)) as server:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[job]\nseeds = ["{server.url(host="localhost")}"]\n[fetch]\nallow_addresses = ["127.0.0.0/8"]\n'
        )
        command = [sys.executable, "-m", "crawler", "--quiet", str(config)]
        distrusted = subprocess.run([*command, "--out", str(tmp_path / "no")], check=False, timeout=30)
        environment = os.environ | {"SSL_CERT_FILE": str(tmp_path / "untrusted.pem")}
        trusted = subprocess.run([*command, "--out", str(tmp_path / "yes")], env=environment, check=False, timeout=30)
    assert distrusted.returncode == ExitCode.FAILURES
    assert not (tmp_path / "no" / "pages.jsonl").read_bytes()
    assert trusted.returncode == ExitCode.COMPLETE
    assert (tmp_path / "yes" / "pages.jsonl").read_bytes().count(b"\n") == 1


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


async def test_a_page_comes_through_a_proxys_tunnel(tmp_path: Path) -> None:
    """The guard sits on the TLS transport then, not on the socket's."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(f"CONNECT example.com:{server.port} ".encode())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head("200 Connection established"))
        await asyncio.gather(pipe(reader, there_writer), pipe(there_reader, writer))

    with FaultServer({"/": [page(b"through")]}, tls=server_context(tmp_path)) as server:
        proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with Fetcher(options(proxy=address, verify_tls=False)) as fetcher:
            for _ in range(2):
                got = fetched(await fetcher.fetch(a_request(server.url(host="example.com"))))
                assert got.body == b"through"
        proxy.close()
        await asyncio.sleep(0.1)
    assert [seen.connection for seen in server.seen] == [1, 1]
