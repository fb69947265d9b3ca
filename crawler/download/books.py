"""What is known of one file while it is fetched: pieces, claims, counters; journal and hash are kept in step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawler.download.answers.identity import Identity
from crawler.download.crew import Crew
from crawler.download.disk.disk import fault_of
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import JournalFile
from crawler.download.fault import Fault
from crawler.download.plan.refusals import Refusals
from crawler.download.plan.sizes import SMALLEST
from crawler.download.proof.digests import is_available
from crawler.download.proof.discover import Claim, Trust, claims_of
from crawler.download.quiet import ended as gone
from crawler.download.retry import GivenUp, Source, Sources
from crawler.download.tail import Tail
from crawler.download.values import DownloadOptions, Gate
from crawler.download.worker.wire import Aside, Ended, Head
from pipelines.cpu import run_blocking
from pipelines.url import CanonicalUrl, host_of, origin_of

if TYPE_CHECKING:
    from crawler.download.offers import Offers
    from crawler.download.proof.metalink import Pieces


class Books:
    """One file's. Owns nothing but its numbers."""

    def __init__(self, crew: Crew, gate: Gate, refusals: Refusals, sources: Sources, options: DownloadOptions) -> None:
        self.crew = crew
        self.gate = gate
        self.refusals = refusals
        self.sources = sources
        self.options = options
        self.offers: Offers | None = None
        if options.link_mirrors:
            from crawler.download.offers import Offers  # nobody else pays for what it imports

            self.offers = Offers(sources)
        self.file = crew.new_file()
        """The file's number in all workers."""
        self.part = ""
        """Path of the temporary file."""
        self.journal: JournalFile | None = None
        self.tail: Tail | None = None
        self.pinner: Source | None = None
        """The place whose answer the file was pinned by."""
        self.identity = Identity(None)
        self.size: int | None = None
        self.path: str | None = None
        self.pieces: dict[int, Piece] = {}
        """By their first byte."""
        self.claims: dict[tuple[str, str, bytes], Claim] = {}
        self.retries = 0
        self.received_bytes = 0
        self.resumed_bytes = 0
        self.segments = 0
        """Most requests at once."""
        self.best_rate = 0.0
        """Bytes a second of the best request so far; 0 before any was measured."""
        self.is_mixed = False
        """Whether bytes of several places were put together, beside each other."""
        self._is_mixed_no_more = False
        self.streams_left = 0
        """Streams of the whole file that were given up because they crawled."""
        self.frontier = 0
        self.hashed = 0
        self.unsynced = 0
        self.synced = asyncio.Event()
        self._commit: asyncio.Future[int] | None = None
        self.describe: Callable[[str], Coroutine[Any, Any, None]] | None = None
        """Asks for a Metalink and tells what it says."""
        self._describing: asyncio.Task[None] | None = None
        self.on_hashed: Callable[[int], None] = lambda upto: None
        self.on_moved: Callable[[], None] = lambda: None

    async def place(self) -> Source:
        """Return the place to ask next, once it may be asked. Raises GivenUp: none is left."""
        loop = asyncio.get_running_loop()
        while True:
            source, now = self.sources.best(loop.time()), loop.time()
            if source.not_before <= now:
                return source
            await asyncio.sleep(source.not_before - now)

    def claim(self, claims: list[Claim]) -> None:
        """Note digests that somebody announced, each once."""
        for claim in claims:
            self.claims.setdefault((claim.source, claim.digest.algorithm, claim.digest.value), claim)

    def trust(self, source: Source) -> Trust:
        """Return how far the head of an answer from a place is believed."""
        is_same = origin_of(CanonicalUrl(source.at)) == origin_of(CanonicalUrl(self.sources.all[0].url))
        return Trust.SAME_ORIGIN if is_same else Trust.OTHER_ORIGIN

    def announced(self, source: Source, head: Head) -> None:
        """Note the digests in the head of an answer; of the place that the file was pinned by, also what it offers."""
        lines = [(name, value) for name, value in head.fields]
        self.claim(claims_of(lines, is_whole=not head.is_part, trust=self.trust(source)))
        if self.offers is not None and source is self.pinner:
            self.offers.noted(lines, source.at)
            self.take_offers()
            metalink = self.offers.metalink(self.claims.values())
            if metalink is not None and self.describe is not None and self._describing is None:
                self._describing = asyncio.get_running_loop().create_task(self.describe(metalink))

    def aside(self, asked: str, aside: Aside) -> None:
        """Note the digests and the mirrors that a redirect names."""
        if self.offers is not None:
            self.claim(self.offers.redirected([(name, value) for name, value in aside.fields], asked))
            self.take_offers()

    def take_offers(self) -> None:
        """Add the mirrors that were offered to the places of the file, if what is known by now proves it."""
        if self.offers is not None:
            self.offers.take(self.claims.values(), self.identity._replace(size=self.size))

    async def described(self) -> None:
        """Wait until all that is asked about the file, beside its bytes, is answered. Raises WorkersError."""
        if self._describing is not None:
            await self._describing

    def met(self, source: Source, head: Head, identity: Identity, size: int | None) -> None:
        """Pin the file by its first answer."""
        self.pinner, self.identity, self.size = source, identity, size
        source.met(identity)
        self.announced(source, head)

    @property
    def final_url(self) -> str:
        """Where the bytes came from, after redirects."""
        return (self.pinner or self.sources.all[0]).at

    @property
    def mirrors(self) -> tuple[str, ...]:
        """Other places that gave bytes."""
        return tuple(source.at for source in self.sources.all if source.has_given and source is not self.pinner)

    @property
    def is_digest_known(self) -> bool:
        """Whether the user gave a digest."""
        return any(claim.trust is Trust.CONFIGURED for claim in self.claims.values())

    @property
    def is_provable(self) -> bool:
        """Whether a digest that anybody announced will tell if the file is right."""
        return any(is_available(claim.digest.algorithm) for claim in self.claims.values())

    @property
    def is_spread(self) -> bool:
        """Whether the segments may go to several places at once: not again where that came to no good end."""
        options = self.options
        is_wanted = options.spread_mirrors and options.segments > 1 and len(self.sources.all) > 1
        return is_wanted and not self._is_mixed_no_more

    @property
    def has_spare_bytes(self) -> bool:
        """Whether bytes came from places that the next attempt does without: offered ones, and others beside one."""
        return self.is_mixed or any(source.has_given for source in self.sources.all if source.is_offered)

    def may_join(self, identity: Identity, pieces: Pieces | None) -> bool:
        """Tell whether parts may be put together: by a strong validator (RFC 9110 15.3.7.3), or a digest of the result.

        A weak one may stay when bytes change, and a change between two borders shows at none of them.
        """
        return identity.is_strong or self.is_provable or pieces is not None

    async def begin_again(self) -> None:
        """Forget all bytes, and what was pinned with them; counters and the claims that did not come with them stay."""
        await self.close()
        self.file = self.crew.new_file()
        self.pieces.clear()
        came = ("header ", "trailer ", "described ")  # with the bytes: the next answer has its own
        self.claims = {key: claim for key, claim in self.claims.items() if not claim.source.startswith(came)}
        self.pinner, self.identity, self.size = None, Identity(None), None
        self.journal = None
        self.frontier = self.hashed = self.resumed_bytes = 0
        self._is_mixed_no_more |= self.is_mixed
        self.is_mixed = False
        if self.offers is not None:
            self.offers.begin_again()
        for source in self.sources.all:
            source.begin_again()

    @property
    def is_open(self) -> bool:
        """Whether there is anything to close."""
        return bool(self.part) or any(each is not None for each in (self._describing, self.tail, self.journal))

    async def close(self) -> None:
        """End the hash, let the workers close the file, wait for the sync; what lies in no journal is removed."""
        if self._describing is not None:
            await gone(self._describing)
            self._describing = None
        if self.tail is not None:
            self.tail.close()
            self.tail = None
        for hand in self.crew.hands:
            hand.forget(self.file)
        await self.settle()
        if self.part and self.journal is None:
            await run_blocking(Path(self.part).unlink, missing_ok=True)
        self.part = ""

    def received(self, ended: Ended) -> None:
        """Count what came off the wire."""
        self.received_bytes += ended.received

    def reached(self, size: int, seconds: float) -> None:
        """Note how fast a request was; one that is too short tells nothing."""
        if size >= SMALLEST:
            self.best_rate = max(self.best_rate, size / max(seconds, 0.001))

    def refused(self, url: str, ended: Ended) -> None:
        """Remember that a host would not serve a request beside those that are under way there, of any file.

        Alone it is no matter of their number. Nor is it when nothing at all is answered: the line was cut.
        """
        others = self.crew.running_at(host_of(url))
        if others and (not ended.is_silent or any(other.is_answered for other in others)):
            self.refusals.refused(host_of(url), len(others), asyncio.get_running_loop().time())

    def advance(self, frontier: int) -> None:
        """Note how many contiguous bytes are on disk."""
        self.frontier = frontier
        self.on_moved()
        if self.tail is not None:
            self.tail.advance(frontier)

    def hash_moved(self, upto: int) -> None:
        """Note how far the hash has come."""
        self.hashed = upto
        self.on_hashed(upto)

    def landed(self, piece: Piece) -> None:
        """Enter a piece that is on disk, as far as the kernel knows."""
        self.pieces[piece.first] = piece
        if self.journal is not None:
            self.journal.landed(piece)
        self.unsynced += piece.end - piece.first
        if self.unsynced >= self.options.sync_bytes:
            self.synced.set()

    def dropped(self, first: int, end: int) -> None:
        """Forget all pieces that have bytes in `[first, end)`."""
        for piece in [piece for piece in self.pieces.values() if piece.first < end and piece.end > first]:
            del self.pieces[piece.first]
        if self.journal is not None:
            self.journal.dropped(first, end)

    async def keep_journal(self) -> None:
        """Sync and record what has landed, again and again, until cancelled. Raises GivenUp: the disk is in trouble."""
        assert self.journal is not None
        while True:
            try:
                async with asyncio.timeout(self.options.sync_seconds):
                    await self.synced.wait()
            except TimeoutError:
                pass  # that often, even if little came
            self.synced.clear()
            self.unsynced = 0
            self._commit = asyncio.ensure_future(run_blocking(self.journal.commit))
            try:
                await asyncio.shield(self._commit)
            except OSError as error:
                raise GivenUp(Fault(fault_of(error)), f"journal: {error.strerror}") from error

    async def settle(self) -> None:
        """Wait for the sync that may still be under way in its thread: nobody else may touch the journal before."""
        if self._commit is not None and not self._commit.done():
            await asyncio.wait([self._commit])
        if self._commit is not None and not self._commit.cancelled():
            self._commit.exception()  # seen; the journal itself knows that it is broken
