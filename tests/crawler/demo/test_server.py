"""The server sends what the site says, broken answers too, and logs every request in whole lines."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from crawler.demo.log import read_log
from crawler.demo.server import DemoServer
from crawler.demo.site import Demo, Kind

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        auto_decompress=False, timeout=aiohttp.ClientTimeout(5), connector=aiohttp.TCPConnector(limit=8)
    ) as session:
        yield session


async def _raw(server: DemoServer, request: str) -> bytes:
    """Send bytes to the first host and return everything until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request.encode("latin-1"))
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_every_url_is_answered_over_the_network_as_by_the_function() -> None:
    async with DemoServer(Demo(pages=60, flaky=False, slow_seconds=0.05)) as server, _client() as session:
        for found in server.demo.expected():
            if found.kind in (Kind.FAULT, Kind.OUT_OF_SCOPE):
                continue
            parts = urlsplit(found.url)
            target = found.url.split("/", 3)[3]
            answer = server.demo.answer(parts.hostname or "", f"/{target}", accept="gzip")
            headers = {"Accept-Encoding": "gzip"}
            async with session.get(URL(found.url, encoded=True), allow_redirects=False, headers=headers) as response:
                assert (response.status, await response.read()) == (answer.status, answer.body), found.url
    assert all(entry.complete for entry in server.log.entries)


async def test_a_log_entry_says_who_asked_for_what_and_when() -> None:
    async with DemoServer(Demo(pages=10, delay_seconds=0.05)) as server, _client() as session:
        for path in ("/", "/nothing?x=1"):
            async with session.get(server.url[:-1] + path, headers={"User-Agent": "tester/1"}) as response:
                await response.read()
    first, second = server.log.entries
    assert (first.host, first.path, first.status, first.user_agent) == ("127.0.0.1", "/", 200, "tester/1")
    assert (second.path, second.status, second.connection) == ("/nothing?x=1", 404, first.connection)
    assert 0.05 <= first.end - first.start < 1
    assert first.end <= second.start


async def test_a_vanished_client_ends_its_request() -> None:
    async with DemoServer(Demo(pages=10, delay_seconds=30)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.close()
        for _ in range(100):
            if server.log.entries:
                break
            await asyncio.sleep(0.01)
        (entry,) = server.log.entries
        assert (entry.status, entry.complete) == (0, False)
        assert entry.end - entry.start < 2


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("half", aiohttp.ClientPayloadError),
        ("half-chunked", aiohttp.ClientPayloadError),
        ("half-reset", (aiohttp.ClientPayloadError, aiohttp.ClientOSError)),
        ("head-only", aiohttp.ClientPayloadError),
        ("reset", aiohttp.ClientOSError),
    ],
)
async def test_a_broken_answer_is_broken(name: str, error: type[Exception]) -> None:
    async with DemoServer(Demo(pages=10, hosts=1, faults=True)) as server, _client() as session:
        with pytest.raises(error):
            async with session.get(f"{server.url}fault/{name}") as response:
                await response.read()
    assert not any(entry.complete for entry in server.log.entries)


async def test_flaky_urls_recover_in_one_server_and_start_over_in_the_next() -> None:
    for _ in range(2):
        async with DemoServer(Demo(pages=10, hosts=1)) as server, _client() as session:
            statuses = []
            for _ in range(3):
                async with session.get(f"{server.url}status/flaky") as response:
                    statuses.append(response.status)
            assert statuses == [500, 500, 200]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with DemoServer(Demo(pages=10, cases=False)) as server:
        one = "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = "GET /robots.txt HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        data = await _raw(server, one.format("no") + one.format("robots.txt") + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"404", b"200", b"200"]


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", b"200"),
        ("GET / HTTP/1.0\r\n\r\n", b"200"),
        ("GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", b"200"),
        ("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello", b"405"),
        ("GET / HTTP/1.1\r\nHost: elsewhere.invalid\r\nConnection: close\r\n\r\n", b"421"),
        ("nonsense\r\n\r\n", b"400"),
        ("GET /" + "x" * 70_000, b"431"),
    ],
)
async def test_requests_of_other_clients(request_text: str, status: bytes) -> None:
    async with DemoServer(Demo(pages=10)) as server:
        data = await _raw(server, request_text)
    assert data.split()[1] == status
    if request_text.startswith("HEAD"):
        assert data.endswith(b"\r\n\r\n")


async def test_a_taken_port_is_named() -> None:
    async with DemoServer(Demo(pages=10)) as server:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.port}"):
            async with DemoServer(Demo(pages=10), port=server.port):
                pass


async def test_leaving_the_server_drops_its_connections() -> None:
    async with DemoServer(Demo(pages=10, delay_seconds=30)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await asyncio.sleep(0.05)
    try:
        data = await asyncio.wait_for(reader.read(), 2)
    except ConnectionResetError:
        data = b""
    writer.close()
    assert data == b""
    assert [entry.complete for entry in server.log.entries] == [False]


@contextmanager
def _command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "crawler.demo", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()[1]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_serves_until_told_to_stop(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with _command("--pages", "12", "--plain", "--log", str(log)) as (process, url):
        async with _client() as session, session.get(url) as response:
            assert b"12 pages on 4 hosts" in await response.read()
        process.send_signal(number)
        assert await asyncio.to_thread(process.wait, 5) == 0
    (entry,) = read_log(log)
    assert entry.path == "/"


async def test_a_killed_server_leaves_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with _command("--plain", "--log", str(log)) as (process, url):
        async with _client() as session:
            for _ in range(20):
                async with session.get(url) as response:
                    await response.read()
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait, 5)
    entries = read_log(log)
    assert len(entries) in (19, 20)  # the last answer may have arrived an instant before its line was written
    assert all(entry.complete for entry in entries)


@pytest.mark.parametrize("arguments", [("--pages", "0"), ("--log", "/nonexistent/log")])
def test_impossible_options_end_with_two(arguments: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "crawler.demo", "--port", "0", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert done.stdout.startswith("crawl demo: ")
