"""The fault server says what it is told, byte for byte, and logs what it said."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import time
from dataclasses import replace

import pytest

from crawler.testing import End, FaultServer, Framing, Origin, Reply, Request, serve, text, version
from crawler.testing.faultserver import Responder

A = version("A", 100_003)
WHOLE = A.body.read(0, A.body.size)


def say(server: FaultServer, request: str, origin: int = 0, seconds: float = 5.0) -> tuple[bytes, str]:
    """Send a request; return all that comes, and how the connection ended: "closed", "reset" or "open"."""
    with socket.create_connection(("127.0.0.1", server.port(origin)), timeout=seconds) as sock:
        sock.sendall(request.encode())
        received = b""
        try:
            while data := sock.recv(65536):
                received += data
        except TimeoutError:
            return received, "open"
        except ConnectionResetError:
            return received, "reset"
        return received, "closed"


def get(*lines: str) -> str:
    return "\r\n".join(["GET /f HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""])


@pytest.fixture
def server() -> FaultServer:
    return FaultServer([Origin()])


def answer(server: FaultServer, responder: Responder, request: str, seconds: float = 5.0) -> tuple[bytes, bytes, str]:
    with server:
        server.mount("/f", responder)
        received, end = say(server, request, seconds=seconds)
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body, end


def test_the_whole_file(server: FaultServer) -> None:
    head, body, end = answer(server, lambda request: serve(request, A), get())
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 100003" in head
    assert (body, end) == (WHOLE, "closed")
    (exchange,) = server.exchanges
    assert (exchange.status, exchange.sent, exchange.is_complete) == (200, 100_003, True)


@pytest.mark.parametrize(
    ("lines", "status", "span"),
    [
        (("Range: bytes=10-19",), 206, (10, 20)),
        (("Range: bytes=99999-",), 206, (99_999, 100_003)),
        (("Range: bytes=99999-500000",), 206, (99_999, 100_003)),
        (("Range: bytes=100003-",), 416, None),
        (("Range: bytes=0-0", f"If-Range: {A.etag}"), 206, (0, 1)),
        (("Range: bytes=0-0", 'If-Range: "other"'), 200, (0, 100_003)),
        (("Range: bytes=0-0", f"If-Range: {A.last_modified}"), 206, (0, 1)),
        (("Range: bytes=0-0", "If-Range: Sun, 02 Nov 2025 00:00:00 GMT"), 200, (0, 100_003)),
        (("Range: bytes=0-0", f"If-Match: {A.etag}"), 206, (0, 1)),
        (("Range: bytes=0-0", 'If-Match: "other"'), 412, None),
        (("Range: lines=0-0",), 200, (0, 100_003)),
    ],
)
def test_the_honest_server_honours_ranges_and_conditions(
    server: FaultServer, lines: tuple[str, ...], status: int, span: tuple[int, int] | None
) -> None:
    """RFC 9110 13 and 14. Every fault departs from this, so this must be right."""
    head, body, _ = answer(server, lambda request: serve(request, A), get(*lines))
    assert head.split(b" ")[1] == str(status).encode()
    assert span is None or body == WHOLE[slice(*span)]
    if status == 206 and span is not None:
        assert f"Content-Range: bytes {span[0]}-{span[1] - 1}/100003".encode() in head


def test_a_cut_and_a_close_send_exactly_the_bytes(server: FaultServer) -> None:
    head, body, end = answer(server, lambda r: replace(serve(r, A), cut=1000, after=End.CLOSE), get())
    assert b"Content-Length: 100003" in head
    assert (body, end) == (WHOLE[:1000], "closed")
    assert not server.exchanges[0].is_complete


def test_a_reset_is_a_reset(server: FaultServer) -> None:
    _, body, end = answer(server, lambda r: replace(serve(r, A), cut=1000, after=End.RESET), get())
    assert (body, end) == (WHOLE[:1000], "reset")


def test_silence_is_silence(server: FaultServer) -> None:
    _, body, end = answer(server, lambda r: replace(serve(r, A), cut=0, after=End.HANG), get(), seconds=0.2)
    assert (body, end) == (b"", "open")


def test_chunks_with_and_without_the_last_one(server: FaultServer) -> None:
    for is_last, ending in ((True, b"0\r\nX-Sum: 1\r\n\r\n"), (False, b"\r\n")):
        reply = Reply(200, source=A.body, end=10, framing=Framing.CHUNKED, trailers=(("X-Sum", "1"),))
        reply = replace(reply, is_last_chunk_sent=is_last, after=End.CLOSE)
        head, body, _ = answer(FaultServer([Origin()]), lambda _r, reply=reply: reply, get())  # type: ignore[misc]  # a default binds the loop's value
        assert b"Transfer-Encoding: chunked" in head
        assert b"Content-Length" not in head
        assert body == b"a\r\n" + WHOLE[:10] + (b"\r\n" + ending if is_last else ending)


def test_lies_about_the_length(server: FaultServer) -> None:
    def lie(request: Request) -> Reply:
        return replace(serve(request, A).with_line("Content-Length", "5"), declared=7, extra=b"garbage")

    head, body, _ = answer(server, lie, get())
    assert head.count(b"Content-Length: 5") == head.count(b"Content-Length: 7") == 1
    assert body == WHOLE + b"garbage"


def test_both_framings_at_once(server: FaultServer) -> None:
    head, _, _ = answer(server, lambda r: replace(serve(r, A), framing=Framing.BOTH, declared=3), get())
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length: 3" in head


def test_a_rate_is_kept(server: FaultServer) -> None:
    began = time.monotonic()
    _, body, _ = answer(server, lambda r: replace(serve(r, A), rate=400_000), get())
    assert body == WHOLE
    assert 0.2 < time.monotonic() - began < 1.0


def test_connections_are_kept_counted_and_logged() -> None:
    with FaultServer() as server:
        server.mount("/f", lambda request: serve(request, A))
        client = http.client.HTTPConnection("127.0.0.2", server.port(1), timeout=5)
        for _ in range(3):
            client.request("GET", "/f?x=1")
            assert client.getresponse().read() == WHOLE
        client.close()
        while server.exchanges[-1].ended is None:  # the client is quicker to read than the server to write it down
            time.sleep(0.001)
        assert server.connections == 1
        assert [(seen.connection, seen.turn, seen.origin) for seen in server.requests] == [
            (1, 1, 1),
            (1, 2, 1),
            (1, 3, 1),
        ]
        assert [seen.at for seen in server.requests] == sorted(seen.at for seen in server.requests)
        assert server.sent == 3 * len(WHOLE)


async def test_requests_at_once_are_counted_and_the_callers_loop_stays_free() -> None:
    with FaultServer([Origin()]) as server:
        server.mount("/f", lambda request: replace(text(200, "x"), delay=0.2))

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
            writer.write(get().encode())
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
            return received

        answers = await asyncio.gather(*(ask() for _ in range(4)))
        assert all(answer.endswith(b"x") for answer in answers)
        assert server.most_active == 4
        assert [seen.active for seen in server.requests] == [1, 2, 3, 4]


def test_tls_and_a_greeting_in_place_of_it() -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with FaultServer([Origin(tls=True)]) as server:
        server.mount("/f", lambda request: serve(request, A))
        assert server.url("/f").startswith("https://")
        client = http.client.HTTPSConnection("127.0.0.1", server.port(), timeout=5, context=context)
        client.request("GET", "/f")
        assert client.getresponse().read() == WHOLE
        client.close()
    with FaultServer([Origin()], greet=b"220 smtp\r\n") as server:
        assert say(server, "") == (b"220 smtp\r\n", "closed")
    with FaultServer([Origin()], greet=End.RESET) as server:
        assert say(server, "") == (b"", "reset")


def test_a_bug_in_a_responder_is_not_lost() -> None:
    def broken(_request: Request) -> Reply:
        raise LookupError("a bug of a test")

    server = FaultServer([Origin()])
    with pytest.raises(LookupError, match="a bug of a test"):
        answer(server, broken, get())
    assert server.exchanges[0].status == 500


def test_it_ends_though_clients_hang() -> None:
    began = time.monotonic()
    with FaultServer([Origin()]) as server:
        server.mount("/f", lambda request: replace(serve(request, A), cut=0, after=End.HANG))
        with socket.create_connection(("127.0.0.1", server.port())) as sock:
            sock.sendall(get().encode())
            assert sock.recv(12) == b"HTTP/1.1 200"
    assert time.monotonic() - began < 5
