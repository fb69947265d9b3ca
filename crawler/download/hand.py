"""One worker process, as the parent sees it: orders go in, reports come back, each order ends with `Ended`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from crawler.download.fault import Fault
from crawler.download.worker.wire import (
    END_UNKNOWN,
    Arrived,
    Aside,
    BadFrame,
    Cut,
    Ended,
    Fetch,
    Follow,
    Forget,
    Go,
    Hashed,
    Head,
    Held,
    Hello,
    Inbox,
    Landed,
    Order,
    Progress,
    Report,
    Stop,
    Upto,
    WasCut,
    Write,
    encode,
)  # fmt: skip

STOP_SECONDS = 5.0
"""What a worker may take to end an order that was stopped."""

Tell = Callable[[Report], None]


class Employer(Protocol):
    """Who has the workers: the crew."""

    @property
    def is_closing(self) -> bool:
        """Whether nobody is taken in any more."""

    def welcome(self, hand: Hand, hello: Hello) -> bool:
        """Take a worker in that shows a token; return whether it is one of ours."""

    def lost(self, hand: Hand) -> None:
        """Note that a worker hung up."""

    def shared(self) -> None:
        """Note that the number of requests under way has changed."""


class Running:
    """One order under way in a worker."""

    __slots__ = ("began", "ended", "file", "hand", "id", "is_answered", "lead", "tell", "url")

    def __init__(self, order: Fetch, hand: Hand, tell: Tell) -> None:
        self.id = order.id
        self.file = order.file
        self.url = order.url
        self.lead = order.lead
        self.began = asyncio.get_running_loop().time()
        self.hand = hand
        self.tell = tell
        self.is_answered = False
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def send(self, order: Cut | Stop | Write) -> None:
        """Say something more about it."""
        self.hand.send(order)

    def go(self, path: str, *, is_small: bool) -> None:
        """Say where the body belongs that `Head` told of; `is_small` when the worker is to do the file alone."""
        if not is_small:
            self.hand.files.add(self.file)
        self.hand.send(Go(self.id, path, is_small))

    async def wait(self) -> Ended:
        """Return its end. When cancelled, stop it and wait until it has stopped, for a few seconds."""
        try:
            return await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop it, and wait until it has stopped: for a few seconds, since a worker may hang in a disk."""
        self.send(Stop(self.id))
        await asyncio.wait([self.ended], timeout=STOP_SECONDS)


class Hand(asyncio.Protocol):
    """The parent's end of one worker's socket."""

    def __init__(self, crew: Employer) -> None:
        self._crew = crew
        self._inbox = Inbox()
        self._transport: asyncio.Transport | None = None
        self.running: dict[int, Running] = {}
        self.hashing: dict[int, Tell] = {}
        self.files: set[int] = set()
        """Those that the worker has opened, or is about to."""
        self._outgoing: list[bytes] = []
        self.is_known = False
        """Whether it showed its token."""
        self.pid = 0
        self.token = ""

    @property
    def load(self) -> int:
        """How much it has to do; a hash is as much as two connections."""
        return len(self.running) + 2 * len(self.hashing)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        if self._crew.is_closing:  # it dialled while the others were hung up on
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._crew.lost(self)
        for running in list(self.running.values()):
            self._end(Ended(running.id, Fault.WORKER_LOST, "the worker process died", 0, None, "", END_UNKNOWN, 0, {}))
        hashing, self.hashing = self.hashing, {}
        for file, tell in hashing.items():
            tell(Hashed(file, 0, {}, Fault.WORKER_LOST, "the worker process died"))

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._inbox.feed(data):
                self._take(message)
        except BadFrame:
            self.hang_up()

    def _take(self, message: object) -> None:
        if not self.is_known:
            if not isinstance(message, Hello) or not self._crew.welcome(self, message):
                raise BadFrame("a stranger")
            return
        match message:
            case Ended():
                self._end(message)
            case Head() | Aside() | Progress() | WasCut() | Held() | Arrived() | Landed():
                if (running := self.running.get(message.id)) is not None:
                    running.is_answered = True
                    running.tell(message)
            case Hashed():
                if (tell := self.hashing.get(message.file)) is not None:
                    tell(message)
            case _:
                raise BadFrame(f"not for the parent: {type(message).__name__}")

    def _end(self, ended: Ended) -> None:
        running = self.running.pop(ended.id, None)
        if running is not None and not running.ended.done():
            running.ended.set_result(ended)
            self._crew.shared()

    def send(self, order: Order) -> None:
        """Send an order with all others of this turn of the loop: each system call wakes the worker.

        Into the void when the worker has gone, whose end is told anyway.
        """
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(encode(order))

    def _flush(self) -> None:
        data, self._outgoing = b"".join(self._outgoing), []
        if self._transport is not None:
            self._transport.write(data)

    @property
    def is_gone(self) -> bool:
        """Whether its worker has hung up."""
        return self._transport is None

    def hang_up(self) -> None:
        """Let the worker see the end of its socket: it stops all it does and ends."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def begin(self, order: Fetch, tell: Tell) -> Running:
        """Let the worker fetch; `tell` gets all reports on it but the last, which `Running.wait` gives."""
        running = Running(order, self, tell)
        if self.is_gone:
            running.ended.set_result(
                Ended(order.id, Fault.WORKER_LOST, "the worker process died", 0, None, "", END_UNKNOWN, 0, {})
            )
            return running
        self.running[order.id] = running
        if order.path:
            self.files.add(order.file)
        self._crew.shared()
        self.send(order)
        return running

    def cut(self, number: int, end: int) -> None:
        """Ask for an order to end at `end`."""
        self.send(Cut(number, end))

    def follow(self, file: int, path: str, hashes: tuple[str, ...], tell: Tell) -> None:
        """Let the worker hash a file behind `advance`; `tell` gets each `Hashed`."""
        self.hashing[file] = tell
        self.files.add(file)
        self.send(Follow(file, path, hashes))
        if self.is_gone:
            del self.hashing[file]
            asyncio.get_running_loop().call_soon(
                tell, Hashed(file, 0, {}, Fault.WORKER_LOST, "the worker process died")
            )

    def advance(self, file: int, upto: int, *, is_all: bool) -> None:
        """Tell how far a file may be hashed."""
        self.send(Upto(file, upto, is_all))

    def forget(self, file: int) -> None:
        """Close a file in the worker, if it is open there."""
        self.hashing.pop(file, None)
        if file in self.files:
            self.files.discard(file)
            self.send(Forget(file))
