"""The life of one file: taken, opened, fetched, hashed on the way, compared, given its name; or told why not.

A file that turns out to be another one than before is discarded and begun again, a few times (`Changes`). Whatever ends
this, also a cancellation, leaves what had landed in the journal, and no name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, assert_never

from crawler.download.answers.identity import Identity
from crawler.download.books import Books
from crawler.download.changes import Changes, FileChanged, PartsRefused
from crawler.download.checks import check, check_size
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import Stamp, stamp_of
from crawler.download.disk.receipt import Receipt
from crawler.download.fault import OF_LATER_RANGES, OF_RANGES, Fault
from crawler.download.names import UnsafeName, folded, name_of, safe_relative, unique
from crawler.download.opening import Opened, Opening, RedirectSeen
from crawler.download.place import Left, Place
from crawler.download.proof.discover import Claim, Mismatch, Trust, Unverified, Verified, algorithms_for, verdict
from crawler.download.quiet import uninterrupted
from crawler.download.report import receipt_of, result_from, result_of
from crawler.download.retry import GivenUp, Patience, Source, Sources
from crawler.download.solo import may_be_solo, result_alone, solo_of
from crawler.download.there import as_wanted
from crawler.download.values import FileResult, OnRedirect, ProgressSink, Wanted
from crawler.download.version import Version
from crawler.download.whole import all_digests, check_holes, wrong_piece
from crawler.download.worker.wire import Ended, Solo
from crawler.download.yard import Finishing, Yard
from pipelines.cpu import run_blocking

MAX_NAMES = 1000


class Transfer:
    """Fetches one file. Use it once."""

    def __init__(
        self, wanted: Wanted, yard: Yard, *, progress: ProgressSink | None = None, on_redirect: OnRedirect = "follow"
    ) -> None:
        options = yard.options
        terms = Patience(
            options.retries, options.retry_delay, options.retry_delay_max, options.retry_after_max,
            options.stall_timeout,
        )  # fmt: skip
        self._wanted = wanted
        self._yard = yard
        self._options = options
        self._progress = progress
        sources = Sources([wanted.url, *wanted.mirrors], terms)
        self._books = Books(yard.crew, yard.gate, yard.refusals, sources, options)
        self._books.claim([Claim(digest, "config", Trust.CONFIGURED) for digest in wanted.digests])
        self._books.claim(list(wanted.claims))
        if options.link_mirrors:
            from crawler.download.described import describe  # nobody else pays for what it imports

            self._books.describe = partial(describe, self._books)
        self._opening = Opening(self._books, is_reporting=on_redirect == "report")
        self._place: Place | None = None
        self._may_be_solo = may_be_solo(wanted, options)
        self._beside: str | None = None
        self._is_single = False
        self._is_replacing = False
        self._changes = Changes()
        self._mismatches = 0
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    @property
    def _seconds(self) -> float:
        return self._loop.time() - self._started

    async def run(self) -> FileResult:
        """Return what became of the file. Expected trouble is in the result; a cancellation and bugs pass."""
        return await self._told(self._fetch)

    async def repair(self, receipt: Receipt, spans: Sequence[tuple[int, int]]) -> FileResult:
        """Fetch only `spans` of a damaged file again, as the receipt has it; the file gives way when that is right."""
        self._is_replacing, self._may_be_solo = True, False
        return await self._told(lambda: self._repaired(receipt, spans))

    async def _told(self, work: Callable[[], Coroutine[Any, Any, FileResult]]) -> FileResult:
        try:
            return (await work())._replace(beside=self._beside)
        except GivenUp as trouble:
            return self._failed(trouble.fault, trouble.detail)
        except DownloadError as trouble:
            return self._failed(Fault(trouble.fault), trouble.detail)
        except OSError as trouble:
            error = DownloadError.of(trouble, str(trouble.filename or "disk"))
            return self._failed(Fault(error.fault), error.detail)
        except UnsafeName as trouble:
            return self._failed(Fault.NAME_UNSAFE, str(trouble))
        except RedirectSeen as seen:
            failed = self._failed(Fault.REDIRECT, f"redirects to {seen.target}", final_url=seen.target)
            return failed._replace(http_status=seen.status)
        finally:
            if self._place is not None or self._books.is_open:  # else a worker has done it alone, or nothing was begun
                await uninterrupted(self._leave())

    async def _leave(self) -> None:
        """Give everything back; what landed is recorded first."""
        await self._books.close()
        if self._place is not None and not self._place.is_closed:
            await run_blocking(self._place.close)

    def _failed(self, fault: Fault, detail: str, final_url: str = "") -> FileResult:
        return result_of(
            self._wanted, self._books, self._seconds, "failed", fault=fault, detail=detail, final_url=final_url,
            size=self._books.size,
        )  # fmt: skip

    # -- from the beginning

    async def _repaired(self, receipt: Receipt, spans: Sequence[tuple[int, int]]) -> FileResult:
        await self._take(receipt.path)
        assert self._place is not None
        if self._place.is_taken:
            place = self._place
            left = await uninterrupted(run_blocking(place.repair, receipt, spans))
            try:
                done = await self._completed(await Version(self._books, self._progress).resumed(left))
            except FileChanged as news:
                raise GivenUp(Fault.CHANGED, str(news)) from news
            except PartsRefused:
                self._is_single, done = True, None  # all of it, then: it has to be what the receipt says anyway
            if done is not None:
                return done
            await self._discarded()
        return await self._fetched(None)

    async def _fetch(self) -> FileResult:
        if self._wanted.path is not None:
            path = str(safe_relative(self._wanted.path))
            self._wanted = self._wanted._replace(path=path)
            if not self._may_be_solo:
                there = await self._take(path)
                return there if there is not None else await self._fetched(self._left())
        return await self._fetched(None)

    async def _fetched(self, left: Left | None) -> FileResult:
        """Fetch until there is a result, from what is `left` at first."""
        if self._yard.sidecars is not None:  # before the first byte: the hash has to know what to compute
            self._books.claim(await self._yard.sidecars.claims(self._wanted))
        try:
            if left is not None and (done := await self._attempt(lambda: self._resumed(left))) is not None:
                return done
            while True:
                done = await self._attempt(self._afresh)
                if done is not None:
                    return done
        except GivenUp as trouble:
            has_begun = self._books.pinner is not None
            if self._is_single or trouble.last not in (OF_LATER_RANGES if has_begun else OF_RANGES):
                raise
            return await self._at_last(trouble)

    async def _at_last(self, trouble: GivenUp) -> FileResult:
        """Ask once for the whole file, as a simple client would. What was kept goes only when that is answered well."""
        await self._books.begin_again()
        self._books.sources.revive()
        self._is_single = True
        try:
            done = await self._afresh()
        except (GivenUp, FileChanged, PartsRefused):
            raise trouble from None
        if done is None:
            raise trouble
        return done

    async def _attempt(self, attempt: Callable[[], Coroutine[Any, Any, FileResult | None]]) -> FileResult | None:
        """Return what an attempt came to; None: everything was discarded, try again from the first byte."""
        done = None
        try:
            done = await attempt()
            if done is None:
                self._changes.broke(self._books.pinner, self._books.identity)
        except FileChanged as news:
            try:
                self._changes.noted(str(news))
            except GivenUp:
                await self._discarded()
                raise
            self._is_single |= self._changes.count > 1  # nodes of one name may differ: one connection meets one of them
        except PartsRefused:
            self._is_single = True
        if done is None:
            await self._discarded()
        return done

    async def _discarded(self) -> None:
        """Remove all that came: nothing of it is worth a resume."""
        await self._books.begin_again()
        if self._place is not None:
            await uninterrupted(run_blocking(self._place.drop))

    async def _take(self, path: str) -> FileResult | None:
        """Take the target; return the result at once if the file is there already, as it is wanted."""

        def take() -> None:
            self._place = Place(self._yard.root, path, self._wanted.url, is_durable=self._options.is_durable)

        await uninterrupted(self._yard.take(take))
        assert self._place is not None
        self._books.path = path
        if self._is_replacing or not self._place.is_taken:
            return None
        found = await as_wanted(self._place, self._wanted, self._books)
        if isinstance(found, Receipt):
            return result_from(found, self._seconds)
        raise GivenUp(Fault.EXISTS, f"{self._place.places.target} is there, and is not what is wanted: {found}")

    def _left(self) -> Left | None:
        """Return what an earlier run left, if it may be gone on with."""
        assert self._place is not None
        left = self._place.left
        if left is None or left.journal.header.size is None or not left.pieces:
            return None
        identity = Identity(**left.journal.header.identity)  # type: ignore[arg-type]  # proved by the journal
        return left if self._books.may_join(identity, self._wanted.pieces) else None

    async def _resumed(self, left: Left) -> FileResult | None:
        """Go on with what an earlier run left."""
        assert left.journal.header.size is not None
        check_size(self._wanted, self._options, left.journal.header.size)
        return await self._completed(await Version(self._books, self._progress).resumed(left))

    async def _afresh(self) -> FileResult | None:
        """Open the file and fetch it. None: it has to be begun again."""
        books = self._books
        books.part = small = "" if self._place is None else str(self._place.small_part())  # `close` removes it
        hashes = algorithms_for(books.claims.values(), self._options.algorithms)
        is_solo = self._may_be_solo and self._place is None
        opened = await self._opening.done_or_opened(
            small, hashes, is_single=self._is_single, solo=self._solo_at if is_solo else None
        )
        if isinstance(opened, Ended):
            if opened.receipt is not None:
                return result_alone(opened, books, self._seconds)
            return await self._with_place()
        try:
            books.met(opened.source, opened.head, opened.identity, opened.total)
            self._changes.met(opened.source, opened.identity)
            check(opened, self._wanted, self._options)
            if self._place is None:
                path = self._wanted.path
                there = await self._named(opened) if path is None else await self._take(path)
                if there is not None:
                    return there
                if opened.head.is_part and not self._is_single and (left := self._left()) is not None:
                    await uninterrupted(opened.running.stop())
                    return await self._resumed(left)
            if not opened.head.is_small:
                return await self._large(opened)
            assert self._place is not None
            if not small:
                small = str(self._place.small_part())
                opened.running.go(small, is_small=True)
            return await self._small(opened, small)
        finally:
            if not opened.running.ended.done():
                await uninterrupted(opened.running.stop())

    def _solo_at(self, source: Source) -> Solo:
        return solo_of(self._yard.root, self._wanted.path, self._wanted, source, self._books, self._seconds)

    async def _with_place(self) -> FileResult | None:
        """Go on where a worker found the target taken: something is there, or was left for a resume."""
        self._may_be_solo = False
        assert self._wanted.path is not None
        there = await self._take(self._wanted.path)
        if there is not None:
            return there
        left = self._left()
        return await (self._afresh() if left is None else self._resumed(left))

    async def _named(self, opened: Opened) -> FileResult | None:
        """Choose a name from the answer and take it; another one if something else has it."""
        fields = dict(reversed(opened.head.fields))
        own = name = name_of(self._wanted.url, fields.get("content-disposition"), fields.get("content-type"))
        taken: set[str] = set()
        for _ in range(MAX_NAMES):
            try:
                return await self._take(name)
            except (GivenUp, DownloadError) as trouble:
                if trouble.fault not in (Fault.EXISTS, Fault.LOCKED):
                    raise
                if trouble.fault is Fault.EXISTS and (self._place is None or self._place.is_in_the_way):
                    self._beside = self._beside or trouble.detail
            place, self._place = self._place, None
            if place is not None:
                await uninterrupted(run_blocking(place.close))
            taken.add(folded(name))
            name = unique(own, taken)
        raise GivenUp(Fault.EXISTS, f"{name} and {MAX_NAMES} names like it are taken")

    async def _small(self, opened: Opened, part: str) -> FileResult | None:
        """Take a file that a worker does all alone."""
        books = self._books
        books.part = part
        ended = await opened.running.wait()
        books.received(ended)
        if ended.fault:
            self._opening.failed(opened.source, opened.running.url, ended)
            return None
        opened.source.moved()
        assert books.size is not None
        books.segments = 1
        return await self._proved(books.size, ended.digests, None)

    async def _large(self, opened: Opened) -> FileResult | None:
        assert self._place is not None
        place, books = self._place, self._books
        if opened.head.is_part and not self._is_single and not books.may_join(books.identity, self._wanted.pieces):
            raise PartsRefused("parts, and nothing that tells whether they are of one version")
        await uninterrupted(run_blocking(place.begin, self._wanted.url, books.size, books.identity))
        assert place.journal is not None
        version = Version(books, self._progress)
        if opened.head.is_part and books.size is None:
            raise PartsRefused("a part of a file of unknown length")
        if opened.head.is_part and not self._is_single:
            return await self._completed(await version.in_segments(opened, place.journal))
        ended = await version.in_one(opened, place.journal, partial(check_size, self._wanted, self._options))
        if ended.fault:
            self._opening.failed(opened.source, opened.running.url, ended)
            return None
        opened.source.moved()
        return await self._completed(max(ended.upto, 0))

    # -- the end

    async def _completed(self, size: int) -> FileResult | None:
        """Wait for the hash of a large file and compare."""
        books = self._books
        assert books.tail is not None
        assert books.journal is not None
        await books.settle()
        stamp = stamp_of(books.journal.fd)
        await check_holes(books, size)
        books.tail.advance(size, is_all=True)
        return await self._proved(size, await books.tail.digests(), stamp)

    async def _proved(self, size: int, digests: dict[str, str], stamp: Stamp | None) -> FileResult | None:
        """Compare what came with what was announced; give the file its name, or discard it. None: try again."""
        books = self._books
        check_size(self._wanted, self._options, size)
        await books.described()
        digests = await all_digests(books, size, digests)
        judged = verdict(books.claims.values(), {name: bytes.fromhex(value) for name, value in digests.items()})
        if isinstance(judged, Unverified) and self._wanted.pieces is not None:
            judged = await wrong_piece(books.part, self._wanted.pieces) or judged
        match judged:
            case Mismatch(claim, got):
                self._mismatches += not books.has_spare_bytes  # else it may be their fault: once without them
                if self._mismatches > len(books.sources.named):
                    await self._discarded()
                    return result_of(
                        self._wanted, books, self._seconds, "mismatch", fault=Fault.DIGEST_MISMATCH,
                        detail=f"{got} instead of {claim}", size=size, digests=digests,
                    )  # fmt: skip
                books.retries += 1
                if books.pinner is not None and not books.has_spare_bytes:
                    books.sources.last_to(books.pinner)
                self._is_single |= (
                    len(books.sources.named) == self._mismatches == 1
                )  # whoever joins parts wrongly may send the whole right
                return None
            case Verified(claim):
                return await self._finished(size, digests, stamp, claim)
            case Unverified(why):
                if self._options.require_digest or self._wanted.digests:
                    raise GivenUp(Fault.DIGEST_REQUIRED, why)
                return await self._finished(size, digests, stamp, None)
            case _:
                assert_never(judged)

    async def _finished(
        self, size: int, digests: dict[str, str], stamp: Stamp | None, claim: Claim | None
    ) -> FileResult:
        """Give the file its name. Raises DownloadError, OSError."""
        place, books = self._place, self._books
        assert place is not None
        receipt = receipt_of(self._wanted, place.places.path, size, digests, books, claim, self._seconds)
        expected = {} if claim is None else {claim.digest.algorithm: claim.digest.value.hex()}
        await uninterrupted(
            self._yard.finish(Finishing(place, books.part, receipt, expected, stamp, self._is_replacing))
        )
        books.part = ""
        return result_of(
            self._wanted, books, self._seconds, "unverified" if claim is None else "verified", path=receipt.path,
            size=size, digests=digests, claim=claim,
        )  # fmt: skip
