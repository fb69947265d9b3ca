"""A server on loopback that says exactly what it is told, over raw streams: what no proper server would send.

    with FaultServer() as server:
        server.mount("/data.bin", lambda request: replace(serve(request, version("A", 1 << 20)), cut=1000, after=RESET))
        ... server.url("/data.bin") ...
    server.exchanges

A responder is a function from `Request` to `Reply`; it is called on the server's own thread, one request at a time, so
it may count and remember without locks. The server has an event loop of its own in a thread of its own: it works beside
any other loop or none, and beside blocking clients. It ends with the `with` block, whatever its clients do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from crawler.testing.certificate import server_context
from crawler.testing.exchange import Sender
from crawler.testing.messages import End, Exchange, Reply, Request, text
from crawler.testing.wire import keeps_alive, parse_head

Responder = Callable[[Request], Reply]

_HEAD_BYTES = 64 * 1024
_STOP_SECONDS = 10.0


class Origin(NamedTuple):
    """An address the server listens at, on a port of its own."""

    address: str = "127.0.0.1"
    tls: bool = False


THREE_HOSTS = (Origin("127.0.0.1"), Origin("127.0.0.2"), Origin("127.0.0.3"))


class FaultServer:
    """See the module. Entering raises OSError when an address cannot be listened at.

    `greet` is done when a connection is accepted, in place of all else: bytes to say, or a way to end it.
    """

    def __init__(
        self, origins: Sequence[Origin] = THREE_HOSTS, *, greet: bytes | End | None = None, backlog: int = 256
    ) -> None:
        self.exchanges: list[Exchange] = []
        """The log: every request with what was sent for it, in the order of arrival."""
        self.connections = 0
        """Accepted so far."""
        self.open = 0
        """Connections that are open now."""
        self.most_active = 0
        """The most requests that were being answered at once."""
        self._busy: set[Sender] = set()
        self._origins = tuple(origins)
        self.greet = greet
        """May be changed while it runs: None lets connections get as far as a request."""
        self._backlog = backlog
        self._responders: dict[str, Responder] = {}
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._started = 0.0
        self._bugs: list[BaseException] = []

    def mount(self, path: str, responder: Responder) -> None:
        """Answer requests for a path (without its query) from now on; the last responder for a path wins."""
        self._responders[path] = responder

    def url(self, path: str = "/", origin: int = 0) -> str:
        """Return the URL of a path at one of the origins."""
        place = self._origins[origin]
        host = f"[{place.address}]" if ":" in place.address else place.address
        return f"{'https' if place.tls else 'http'}://{host}:{self.port(origin)}{path}"

    def port(self, origin: int = 0) -> int:
        """Return the port of one of the origins."""
        port: int = self._sockets[origin].getsockname()[1]
        return port

    @property
    def active(self) -> int:
        """Requests that are being answered now; one whose client has hung up counts no more."""
        return sum(not sender.is_deserted for sender in tuple(self._busy))

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of arrival."""
        return [exchange.request for exchange in self.exchanges]

    @property
    def sent(self) -> int:
        """Bytes of bodies sent so far, by all exchanges."""
        return sum(exchange.sent for exchange in self.exchanges)

    def forget(self) -> None:
        """Empty the log; the counters of connections and requests go on."""
        self.exchanges = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for place in self._origins:
                family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
                listener = socket.create_server((place.address, 0), family=family, backlog=self._backlog)
                self._sockets.append(stack.enter_context(listener))
            stack.pop_all()
        self._started = time.monotonic()
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="fault server", daemon=True)
        self._thread.start()
        if not ready.wait(_STOP_SECONDS):
            raise RuntimeError("the fault server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        assert self._thread is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_SECONDS)
        for listener in self._sockets:
            listener.close()
        if error is None:
            assert not self._thread.is_alive(), "the fault server does not stop"
            if self._bugs:
                raise self._bugs[0]

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # handshakes that fail are wanted here
        servers = []
        for number, (place, listener) in enumerate(zip(self._origins, self._sockets, strict=True)):
            context: ssl.SSLContext | None = server_context() if place.tls else None
            servers.append(
                await asyncio.start_server(self._talk_at(number), sock=listener, ssl=context, limit=_HEAD_BYTES)
            )
        ready.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _talk_at(self, origin: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert self._loop is not None
            self.connections += 1
            task = self._loop.create_task(self._talk(origin, self.connections, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accept

    async def _talk(
        self, origin: int, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the requests of one connection, one after the other."""
        self.open += 1
        sender = Sender(reader, writer, self._now)
        try:
            if self.greet is not None:
                await sender.greet(self.greet)
                return
            turn = 1
            while await self._answer(origin, connection, turn, reader, sender):
                turn += 1
        except OSError:
            pass  # the client is gone, as clients do
        finally:
            self.open -= 1
            writer.transport.abort() if sender.is_reset else writer.close()

    async def _answer(
        self, origin: int, connection: int, turn: int, reader: asyncio.StreamReader, sender: Sender
    ) -> bool:
        """Answer one request; return whether the connection lives on."""
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False
        head = parse_head(raw[:-4])
        if head is None:
            return False
        self._busy.add(sender)
        self.most_active = max(self.most_active, self.active)
        try:
            number = len(self.exchanges) + 1
            request = Request(
                number, connection, turn, origin, head.method, head.target, head.version, head.fields,
                self.active, self._now(),
            )  # fmt: skip
            reply = self._reply(request)
            exchange = Exchange(request, reply.status)
            self.exchanges.append(exchange)
            return await sender.send(reply, exchange, is_last=not keeps_alive(head))
        finally:
            self._busy.discard(sender)

    def _reply(self, request: Request) -> Reply:
        responder = self._responders.get(request.path)
        if responder is None:
            return text(404, "nothing is mounted here\n")
        try:
            return responder(request)
        except Exception as exc:  # noqa: BLE001 - a bug of a test's responder: raised again when the server ends
            self._bugs.append(exc)
            return text(500, "the responder of this test raised\n")

    def _now(self) -> float:
        return time.monotonic() - self._started
