"""The places of one file at work: where a lane gets its turn, whose bytes landed where, and what a wrong place costs.

`Spread` decides. A place whose bytes do not fit those of a place that is joined costs its own pieces, and nothing else:
who is to blame is known here. Where no digest would find another version, a place has to tell that it has this one.
"""

from __future__ import annotations

import asyncio
from functools import partial

from crawler.download.answers.identity import Identity, is_same
from crawler.download.books import Books
from crawler.download.plan.plan import POLL, Plan
from crawler.download.plan.seams import Mismatch, Seams
from crawler.download.plan.spread import Spread
from crawler.download.retry import Source
from crawler.download.worker.wire import Ended, Head
from pipelines.url import host_of

TURN = 0.25
"""Seconds to wait for a turn at one place, before another is asked as well."""
MEASURED_BYTES = 256 << 10
MEASURED_SECONDS = 1.0
"""A request that brought less, in less time, does not tell how fast its place is."""


class Spreading:
    """Those of one version. Owns nothing but what it knows."""

    def __init__(self, books: Books, plan: Plan) -> None:
        assert books.pinner is not None, "a version was pinned at some place"
        self._books = books
        self._plan = plan
        self._home = books.pinner
        self._spread = Spread(self._home.url, books.options.segments)
        self._owners: dict[int, tuple[int, Source]] = {}
        """End of a piece, and where it came from, by its first byte; pieces of an earlier run are nobody's."""
        self._loop = asyncio.get_running_loop()
        self._meet(self._home)

    # -- where to go

    def key(self, lane: int) -> int | None:
        """Return the number of a lane where it would go now; None when no place has room. Raises GivenUp."""
        ranked = self._ranked(lane)
        return self._spread.lane(lane, ranked[0].url) if ranked else None

    def entered(self, source: Source) -> None:
        """Note that a lane works at a place."""
        self._spread.entered(source.url)

    def left(self, source: Source) -> None:
        """Note that it does so no more."""
        self._spread.left(source.url)

    async def turn(self, lane: int, avoid: Source | None = None) -> tuple[Source, str]:
        """Wait for a lane's turn at the place that is best for it; return both, the URL as it was when it was entered.

        `avoid`: where what it helps is fetched. Raises GivenUp: no place is left.
        """
        while True:
            ranked = self._ranked(lane, avoid)
            if not ranked:
                await asyncio.sleep(POLL)
            elif (found := await self._queued(lane, ranked[0], avoid)) is not None:
                self._spread.settled(lane, found[0].url, reach=self._reach)
                return found

    async def _queued(self, lane: int, first: Source, avoid: Source | None) -> tuple[Source, str] | None:
        """Wait in the queue of a place, and look now and then whether another one is free. None: that place is no more.

        The queue is left only for a turn elsewhere: who began anew each time would never get one where a host is slow.
        """
        url = first.at
        self._spread.entered(first.url)
        entering = self._loop.create_task(self._enter(url))
        found: tuple[Source, str] | None = None
        was_foreign = self._spread.is_foreign(first.url)  # where nobody else is left
        try:
            while found is None and first.dead is None and self._spread.is_foreign(first.url) is was_foreign:
                await asyncio.wait([entering], timeout=TURN)
                if entering.done():
                    entering.result()
                    found = first, url
                else:
                    found = await self._elsewhere(lane, first, avoid)
        finally:
            if found is None or found[0] is not first:
                self._spread.left(first.url)
                entering.add_done_callback(partial(self._give_back, url))  # its turn may have come meanwhile
                entering.cancel()
        return found

    def _give_back(self, url: str, entering: asyncio.Task[None]) -> None:
        if not entering.cancelled() and entering.exception() is None:
            self._books.gate.leave(url)

    async def _enter(self, url: str) -> None:
        await self._books.gate.enter(url)

    async def _elsewhere(self, lane: int, first: Source, avoid: Source | None) -> tuple[Source, str] | None:
        """Return another place where a turn comes at once, or nearly."""
        for other in self._ranked(lane, avoid):
            if other is first:
                continue
            url = other.at
            self._spread.entered(other.url)
            try:
                async with asyncio.timeout(TURN):
                    await self._enter(url)
            except TimeoutError:
                self._spread.left(other.url)
                return None  # one at a time: the turn at the first may have come
            except BaseException:
                self._spread.left(other.url)
                raise
            return other, url
        return None

    def _ranked(self, lane: int, avoid: Source | None = None) -> list[Source]:
        """Return the places for a lane, best first; of several at one host only the best. Raises GivenUp."""
        now, sources = self._loop.time(), self._books.sources
        sources.best(now)
        if not self._plan.is_reaching:
            self._spread.tried(self._plan.capacity)
        ready: dict[str, Source] = {}
        hosts = set()
        for source in (self._home, *sources.all):
            host = host_of(source.at)
            if source.dead is None and source.not_before <= now and host not in hosts:
                hosts.add(host)
                ready[source.url] = source
                self._meet(source)
        ranked = self._spread.ranked(
            lane, list(ready), now, is_anchored=self._is_anchored, reach=self._reach,
            avoid=None if avoid is None else avoid.url,
        )  # fmt: skip
        return [ready[url] for url in ranked]

    @property
    def _reach(self) -> int:
        return self._plan.capacity if self._plan.is_reaching else 0

    @property
    def _is_anchored(self) -> bool:
        """Whether a place that is joined can still be asked, now or later."""
        return any(self._is_joined(source) for source in self._books.sources.all)

    def _is_joined(self, source: Source) -> bool:
        return source.dead is None and self._spread.knows(source.url) and self._spread.is_joined(source.url)

    def _meet(self, source: Source) -> None:
        if not self._spread.knows(source.url):
            now = self._loop.time()
            self._spread.meet(source.url, self._books.refusals.of(host_of(source.at), now))

    # -- what came of it

    def is_usable(self, source: Source, head: Head) -> bool:
        """Tell from the head of an answer whether its bytes may be joined: a digest will tell, or it names the version.

        Where there is nobody else, the seams have to do.
        """
        if source is self._home or self._books.is_provable or is_same(self._books.identity, Identity(*head.identity)):
            return True
        is_chosen = not self._is_joined(source) and self._is_anchored
        self._spread.doubtful(source.url)
        return not is_chosen

    def ended(self, source: Source, ended: Ended, seconds: float) -> None:
        """Note how fast a request was."""
        if ended.received >= MEASURED_BYTES or (seconds >= MEASURED_SECONDS and ended.received):
            self._spread.measured(source.url, ended.received / max(seconds, 0.001))

    def refused(self, source: Source, others: int) -> None:
        """Note that a place refused a request beside `others`."""
        self._spread.refused(source.url, others, self._loop.time())

    def landed(self, source: Source, first: int, end: int) -> None:
        """Note whose bytes these are."""
        self._owners[first] = end, source
        if source is not self._home:
            self._books.is_mixed = True
            self._spread.landed(source.url)

    def fits(self, source: Source, first: int, seams: Seams) -> None:
        """Join places whose bytes fit at the edges of the piece that begins at `first`."""
        for neighbour in seams.agreed(first):
            _, other = self._owners.get(neighbour, (0, self._home))
            self._spread.joined(source.url, other.url)

    def to_blame(self, mismatch: Mismatch) -> list[Source]:
        """Return the places whose bytes are the wrong ones at a border; none where that cannot be told."""
        found = (self._owners.get(first) for first in (mismatch.first, mismatch.border))
        return self.blamed([self._home if owner is None else owner[1] for owner in found])

    def blamed(self, parties: list[Source]) -> list[Source]:
        """Return which of those who disagree are wrong: who never fitted, where somebody did; who is not the home."""
        if len(set(parties)) > 1 and self._is_anchored:
            wrong = [source for source in parties if not self._spread.is_joined(source.url)]
            if not wrong and self._home.dead is None:
                wrong = [source for source in parties if source is not self._home]
            return wrong
        return []

    def spare(self, source: Source) -> bool:
        """Do without a place, if others are there; return whether that is so."""
        if source is self._home or not any(self._is_joined(each) for each in self._books.sources.all if each != source):
            return False
        self._spread.foreign(source.url)
        return True

    def rejected(self, wrong: list[Source]) -> list[tuple[int, int]]:
        """Give places up; return all of their pieces that are on disk."""
        for source in wrong:
            self._spread.foreign(source.url)
            source.has_given = False
        found = [(first, end) for first, (end, owner) in self._owners.items() if owner in wrong]
        for first, _ in found:
            del self._owners[first]
        self._books.is_mixed = any(owner is not self._home for _, owner in self._owners.values())
        return found

    def dropped(self, first: int, end: int) -> None:
        """Forget whose bytes these were."""
        for start, (stop, _) in list(self._owners.items()):
            if start < end and stop > first:
                del self._owners[start]
