"""What runs in a worker process: takes orders over a socket, fetches, writes, hashes, reports numbers.

One coroutine for the life of the worker, in an event loop that is nobody else's, so it may be held up: by a slow disk
it must be, because what is not written is not received either. It ends when the parent hangs up.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import cast

from crawler.download.worker.attempt import Attempt
from crawler.download.worker.hashing import Hashing
from crawler.download.worker.limiter import Limiter
from crawler.download.worker.solo import Finisher
from crawler.download.worker.terms import Terms
from crawler.download.worker.wire import (
    BadFrame,
    Cut,
    Ended,
    Fetch,
    Follow,
    Forget,
    Go,
    Hello,
    Inbox,
    Rate,
    Report,
    Stop,
    Upto,
    WasCut,
    Write,
    encode,
)  # fmt: skip
from crawler.fetch.stream import Streamer

CONNECT_SECONDS = 10.0


async def serve(terms: Terms) -> None:
    """Work for the parent that listens at `terms.address` until it hangs up. Raises OSError when it is not there."""
    loop = asyncio.get_running_loop()
    async with Streamer(terms.fetch) as streamer:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, line = await loop.create_unix_connection(lambda: _Line(streamer), terms.address)
        try:
            line.tell(Hello(terms.token, os.getpid()))
            await line.hung_up
        finally:
            await line.close()


class _Line(asyncio.Protocol):
    """The worker's end of the socket, and all it works on."""

    def __init__(self, streamer: Streamer) -> None:
        self._loop = asyncio.get_running_loop()
        self.hung_up: asyncio.Future[None] = self._loop.create_future()
        self._streamer = streamer
        self._limiter = Limiter()
        self._inbox = Inbox()
        self._transport: asyncio.Transport | None = None
        self._attempts: dict[int, Attempt] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._files: dict[int, int] = {}
        self._hashing: dict[int, Hashing] = {}
        self._finisher = Finisher()
        self._outgoing: list[bytes] = []

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.hung_up.done():
            self.hung_up.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._inbox.feed(data):
                self._take(message)
        except BadFrame:
            if self._transport is not None:
                self._transport.abort()  # which ends this worker: it would not know any more what it is told

    def tell(self, report: Report) -> None:
        """Send a report, together with all others of this turn of the loop."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(encode(report))

    def _flush(self) -> None:
        data, self._outgoing = b"".join(self._outgoing), []
        if self._transport is not None:
            self._transport.write(data)

    async def close(self) -> None:
        """Stop everything, wait until it has stopped, give back descriptors and socket."""
        tasks = [*self._tasks.values(), *self._others]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for hashing in self._hashing.values():
            await hashing.close()
        self._hashing.clear()
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()
        if self._transport is not None:
            self._flush()
            self._transport.close()

    # -- orders

    def _take(self, message: object) -> None:
        match message:
            case Fetch():
                self._fetch(message)
            case Go(id=number):
                if (attempt := self._attempts.get(number)) is not None:
                    attempt.go(message)
            case Write(id=number):
                if (attempt := self._attempts.get(number)) is not None:
                    attempt.decide(message)
            case Cut(id=number, end=end):
                if (attempt := self._attempts.get(number)) is not None:
                    self.tell(WasCut(number, attempt.cut(end)))
            case Stop(id=number):
                if (task := self._tasks.get(number)) is not None:
                    task.cancel()
            case Follow(file=file, path=path, hashes=hashes):
                self._hashing[file] = Hashing(file, path, hashes, self.tell)
            case Upto(file=file, upto=upto, is_all=is_all):
                if (hashing := self._hashing.get(file)) is not None:
                    hashing.advance(upto, is_all=is_all)
            case Forget(file=file):
                self._begin(self._forget(file))
            case Rate(bytes_per_second=rate):
                self._limiter.change(rate, self._loop.time())
            case _:
                raise BadFrame(f"not for a worker: {type(message).__name__}")

    def _fetch(self, order: Fetch) -> None:
        attempt = Attempt(order, self._streamer, self._limiter, self._opened, self.tell, self._finisher)
        self._attempts[order.id] = attempt
        task = self._loop.create_task(attempt.run())
        self._tasks[order.id] = task
        task.add_done_callback(lambda task: self._fetched(order.id, task))

    def _fetched(self, number: int, task: asyncio.Task[None]) -> None:
        del self._attempts[number], self._tasks[number]
        if task.cancelled():  # before its first step
            self.tell(Ended(number, "interrupted", "stopped", 0, None, "", -1, 0, {}))

    def _begin(self, coroutine: asyncio._CoroutineLike[None]) -> None:
        task = self._loop.create_task(coroutine)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _forget(self, file: int) -> None:
        hashing = self._hashing.pop(file, None)
        if hashing is not None:
            await hashing.close()
        fd = self._files.pop(file, None)
        if fd is not None:
            with suppress(OSError):
                os.close(fd)

    def _opened(self, file: int, path: str) -> int:
        """Return the descriptor of a file, opened when it is first needed. Raises OSError."""
        fd = self._files.get(file)
        if fd is None:
            fd = self._files[file] = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return fd
