"""The worker processes, as the parent sees them: started, listened to, spread over, replaced when one dies.

Each worker runs one long coroutine (`serve` in `crawler.download.worker.worker`) and dials in on a socket of our own.
An order is awaited: it ends with `Ended`, whatever happens, also when its worker dies (`worker_lost`).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from crawler.download.hand import STOP_SECONDS, Hand, Running
from crawler.download.start import loop_factory, work
from crawler.download.values import DownloadOptions
from crawler.download.worker.terms import Terms
from crawler.download.worker.wire import Hello, Rate
from crawler.errors import WorkersError
from crawler.fetch.options import FetchOptions
from pipelines.errors import PoolBroken, PoolClosed, WorkerCrashed
from pipelines.in_worker import run_async_in_worker
from pipelines.pool.pool import WorkerPool
from pipelines.url import host_of

START_SECONDS = 60.0
"""Without any worker, after which none is waited for."""
MAX_DEATHS = 20
"""Of workers, after which none is started again: it is not chance any more."""
ACCEPT_PAUSE = 0.5
"""Seconds until it is tried again to take a worker in, where there is no descriptor for it."""
MAX_ADDRESS = 100
"""Bytes of a socket's path: the kernel takes 107 (unix(7))."""


class Crew:
    """All workers of a downloader. Owns them, the socket and its folder while the `async with` block runs."""

    def __init__(self, pool: WorkerPool, size: int, fetch: FetchOptions, options: DownloadOptions) -> None:
        """`size`: how many of the pool's workers to take, each as a whole and for as long as the block runs.

        `fetch`: a worker's part of `options.fetch`.
        """
        self._pool = pool
        self._size = size
        self._fetch = fetch
        self._rate_limit = options.rate_limit
        self._loop_factory = loop_factory() if options.uvloop else None
        self._folder: Path | None = None
        self._listener: socket.socket | None = None
        self._hands: list[Hand] = []
        self._strangers: set[Hand] = set()
        self._tokens: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        """Those who have dialled and are not heard yet."""
        self._deaths = 0
        self._is_closing = False
        self._broken: WorkersError | None = None
        self._changed = asyncio.Event()
        self._numbers = count(1)
        self._files = count(1)

    async def __aenter__(self) -> Self:
        try:
            self._folder = _private_folder()
            address = str(self._folder / "s")
            self._listen(address)
            for _ in range(self._size):
                self._start(address)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        """Hang up, end the workers' coroutines, remove the socket."""
        self._is_closing = True
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        if self._arriving:
            await asyncio.wait(self._arriving)
        for hand in [*self._hands, *self._strangers]:
            hand.hang_up()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS / 2)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def scratch(self) -> Path:
        """Return where a worker may put what is no file of anybody's: in a folder of our own, gone with the block."""
        assert self._folder is not None, "used inside `async with`"
        return self._folder / secrets.token_hex(8)

    @property
    def is_closing(self) -> bool:
        """Whether nobody is taken in any more."""
        return self._is_closing

    @property
    def hands(self) -> tuple[Hand, ...]:
        """The workers that are there."""
        return tuple(self._hands)

    def running_at(self, host: str) -> list[Running]:
        """Return the requests under way at a host, of all files."""
        return [each for hand in self._hands for each in hand.running.values() if host_of(each.url) == host]

    def new_order(self) -> int:
        """Return a number that no other order has."""
        return next(self._numbers)

    def new_file(self) -> int:
        """Return a number that no other file has."""
        return next(self._files)

    async def hand(self, among: tuple[Hand, ...] = ()) -> Hand:
        """Return the worker with least to do; of `among`, if any of these is still there. Waits for one to be there.

        Raises WorkersError when none can be kept alive.
        """
        while True:
            there = [hand for hand in among if not hand.is_gone] or self._hands
            if there:
                return min(there, key=lambda hand: hand.load)
            if self._broken is not None:
                raise self._broken
            self._changed.clear()
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                raise WorkersError(f"no worker process was ready within {START_SECONDS:.0f} s") from None

    def team(self, hands: tuple[Hand, ...], most: int) -> tuple[Hand, ...]:
        """Return the workers of a file, so many at most: they may come late, when the file has begun, and die."""
        there = [hand for hand in hands if not hand.is_gone]
        if len(there) >= most:
            return hands
        others = sorted((hand for hand in self.hands if hand not in there), key=lambda hand: hand.load)
        return (*there, *others[: most - len(there)])

    def shared(self) -> None:
        """Share the rate among the workers as their connections are."""
        if self._rate_limit is None:
            return
        total = sum(len(hand.running) for hand in self._hands)
        for hand in self._hands:
            if total and hand.running:
                hand.send(Rate(self._rate_limit * len(hand.running) / total))

    # -- workers come and go

    def _start(self, address: str) -> None:
        token = secrets.token_hex(16)
        self._tokens.add(token)
        task = asyncio.get_running_loop().create_task(self._work(Terms(address, token, self._fetch)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, terms: Terms) -> None:
        """Keep one worker at work: start it, and when it dies start another."""
        while True:
            trouble: Exception
            try:
                await run_async_in_worker(work, terms, pool=self._pool, loop_factory=self._loop_factory)
                trouble = WorkersError("a worker hung up")
            except (WorkerCrashed, OSError, TimeoutError) as exc:
                trouble = exc
            except (PoolBroken, PoolClosed) as exc:
                self._fail(WorkersError(f"the worker processes cannot be started: {exc}"))
                return
            self._tokens.discard(terms.token)
            if self.is_closing:
                return
            self._deaths += 1
            if self._deaths > MAX_DEATHS:
                self._fail(WorkersError(f"worker processes keep dying: {trouble}"))
                return
            terms = Terms(terms.address, secrets.token_hex(16), terms.fetch)
            self._tokens.add(terms.token)

    def _fail(self, error: WorkersError) -> None:
        self._broken = error
        self._changed.set()

    def _listen(self, address: str) -> None:
        """Take in whoever dials. `create_unix_server` would leave the socket of one who dials as it closes open."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(address)
        self._listener.listen()
        self._look()

    def _look(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        loop = asyncio.get_running_loop()
        try:
            dialled, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # it hung up again
        except OSError:  # no descriptor is left
            loop.remove_reader(self._listener.fileno())
            loop.call_later(ACCEPT_PAUSE, self._look)
            return
        task = loop.create_task(self._arrive(dialled))
        self._arriving.add(task)
        task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._arriving.discard(task)
        _ = task.cancelled() or task.exception()  # seen: whoever hung up has its task end, which tells why

    async def _arrive(self, dialled: socket.socket) -> None:
        dialled.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._stranger, dialled)
        except BaseException:
            dialled.close()
            raise

    def _stranger(self) -> Hand:
        hand = Hand(self)
        self._strangers.add(hand)
        return hand

    def welcome(self, hand: Hand, hello: Hello) -> bool:
        """Take a worker in that shows a token of ours."""
        if hello.token not in self._tokens or self._is_closing:
            return False
        self._tokens.discard(hello.token)
        hand.is_known, hand.pid, hand.token = True, hello.pid, hello.token
        self._strangers.discard(hand)
        self._hands.append(hand)
        self._changed.set()
        return True

    def lost(self, hand: Hand) -> None:
        """Note that a worker hung up."""
        self._strangers.discard(hand)
        with suppress(ValueError):
            self._hands.remove(hand)


def _private_folder() -> Path:
    """Make a folder for us alone (0700), where the path of a socket in it is not too long for the kernel."""
    folder = Path(tempfile.mkdtemp(prefix="crawlmill-"))
    if len(os.fsencode(folder)) <= MAX_ADDRESS:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="crawlmill-", dir="/tmp"))  # made new, with a random name, 0700
