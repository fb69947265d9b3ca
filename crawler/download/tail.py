"""The hash behind the frontier, as the parent sees it: told how far to go, begun again when bytes were taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crawler.download.crew import Crew
from crawler.download.fault import Fault
from crawler.download.hand import Hand
from crawler.download.retry import GivenUp
from crawler.download.worker.wire import Hashed, Report
from crawler.errors import WorkersError

TELL_BYTES = 4 << 20
"""The frontier moves at least this much before the worker is told."""
MAX_RESTARTS = 20


class Tail:
    """The digests of one file while it arrives. Owns its place in a worker from `begin` to `close`."""

    def __init__(self, crew: Crew, path: str, algorithms: tuple[str, ...], moved: Callable[[int], None]) -> None:
        """`moved` is told how far the hash has come; also when it begins again."""
        self._crew = crew
        self._path = path
        self._algorithms = algorithms
        self._moved = moved
        self._hand: Hand | None = None
        self._number = 0
        self._told = 0
        self._is_all = False
        self._restarts = 0
        self._digests: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._digests.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._waiting: asyncio.Task[None] | None = None
        self._upto = 0

    def advance(self, frontier: int, *, is_all: bool = False) -> None:
        """Tell how many contiguous bytes there are. Fewer than before: the hash begins again."""
        if not self._algorithms:  # nobody wants one, and nothing waits for it
            asyncio.get_running_loop().call_soon(self._moved, frontier)
            if is_all and not self._digests.done():
                self._digests.set_result({})
            return
        if frontier < self._told:
            self._restart()
        self._upto, self._is_all = frontier, is_all
        if self._hand is None:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_task(self._begin())
        elif is_all or frontier - self._told >= TELL_BYTES:
            self._tell()

    async def digests(self) -> dict[str, str]:
        """Return the digests, in hexadecimal, once `advance` was told all. Raises GivenUp."""
        return await asyncio.shield(self._digests)

    def close(self) -> None:
        """Let the worker forget it. Further calls do nothing."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._hand is not None:
            self._hand.forget(self._number)
            self._hand = None
        self._digests.cancel()

    async def _begin(self) -> None:
        try:
            hand = await self._crew.hand()
        except WorkersError as error:
            if not self._digests.done():
                self._digests.set_exception(error)
            return
        self._number = self._crew.new_file()
        self._hand, self._waiting, self._told = hand, None, 0
        hand.follow(self._number, self._path, self._algorithms, self._heard)
        self._tell()

    def _tell(self) -> None:
        if self._hand is not None:
            self._told = self._upto
            self._hand.advance(self._number, self._upto, is_all=self._is_all)

    def _restart(self) -> None:
        self._restarts += 1
        if self._hand is not None:
            self._hand.forget(self._number)
            self._hand = None
        self._told = 0
        self._moved(0)

    def _heard(self, report: Report) -> None:
        assert isinstance(report, Hashed)
        if report.file != self._number or self._digests.done():
            return  # of a hash that was given up
        if report.fault == Fault.WORKER_LOST and self._restarts < MAX_RESTARTS:
            self._restart()
            self.advance(self._upto, is_all=self._is_all)
        elif report.fault:
            self._digests.set_exception(GivenUp(Fault(report.fault), report.detail))
        elif report.digests:
            self._digests.set_result(report.digests)
        else:
            self._moved(report.upto)
