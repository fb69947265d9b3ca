"""The life of a file in a crawl: from the frontier to its one line in files.jsonl.

A download takes care of the bytes; here it is decided what it is told, and what its end means for the crawl. Imported
only by a crawl that can have files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import orjson

from crawler.config import Download
from crawler.config import Downloads as DownloadsTable
from crawler.download.fault import Fault
from crawler.download.proof.digests import parse_digest
from crawler.download.proof.discover import Claim, trust_of
from crawler.download.values import FileProgress, FileResult, OnRedirect, ProgressSink, Wanted
from crawler.engine.gate import FrontierGate
from crawler.engine.sums import SumsWatch
from crawler.errors import StateError, WorkersError
from crawler.fetch.outcome import Redirected
from crawler.frontier.files import Files, place_of
from crawler.frontier.frontier import Frontier
from crawler.frontier.host import MOST_FILES
from crawler.frontier.places import Places
from crawler.frontier.request import Request
from crawler.store.group import FileEnded
from crawler.store.store import Store
from pipelines.page import SCHEMA_VERSION
from pipelines.url import canonicalize

_log = logging.getLogger(__name__)

ROOM: Final = 4 * MOST_FILES
"""Files found and not done; beyond these, only files go on until there is room again. Each takes some 4 kB."""
_OURS: Final = frozenset({Fault.NO_SPACE, Fault.DISK})
"""Trouble of this machine: as with the state, the run ends, and the same command goes on from there."""


class Downloads(Protocol):
    """What fetches a file, whatever that takes: `crawler.download.downloader.Downloader`."""

    async def fetch(
        self, wanted: Wanted, *, progress: ProgressSink | None = None, on_redirect: OnRedirect = "follow"
    ) -> FileResult:
        """Return what became of a file. Cancelled, it leaves what a later call goes on with."""


class FileParts(NamedTuple):
    """What the desk works with."""

    options: DownloadsTable
    listed: Mapping[str, Download]
    """The files that somebody listed, by the URL under which the store knows them."""
    files: Files
    frontier: Frontier
    store: Store
    fingerprint: Callable[[str], int]
    """The key under which the store knows a URL."""
    wake: Callable[[], None]
    """Makes the scheduler look again."""


class FileDesk:
    """Fetches the files of one crawl, a few at a time; the others wait in a room of limited size."""

    def __init__(self, parts: FileParts, downloads: Downloads, gate: FrontierGate) -> None:
        """It owns none of these."""
        self._parts = parts
        self._downloads = downloads
        self.gate = gate
        self.sums = SumsWatch()
        """Told of all pages: files wait for the checksum files beside them."""
        self._places = Places(parts.options.concurrency)
        self._turns: dict[int, asyncio.Future[None]] = {}  # of files that wait for a place or have one, by their id
        self._tasks: set[asyncio.Task[None]] = set()
        self._progress: dict[int, FileProgress] = {}
        self._received = 0  # bytes of files that came to an end
        self.bugs = 0

    # -- for a person, and for limits

    @property
    def open(self) -> int:
        """Files found that have not come to an end in this run."""
        return len(self._tasks)

    @property
    def is_full(self) -> bool:
        """Whether no further file may be found for now."""
        return len(self._tasks) >= ROOM

    @property
    def under_way(self) -> tuple[FileProgress, ...]:
        """Where the files stand that are being fetched."""
        return tuple(self._progress.values())

    @property
    def unsettled_bytes(self) -> int:
        """Bytes of the files under way, which no counter knows of yet."""
        return sum(progress.written for progress in self._progress.values())

    @property
    def received_bytes(self) -> int:
        """Bytes of all files of this run so far."""
        return self._received + self.unsettled_bytes

    # -- the life of a file

    def own(self, request: Request, task: asyncio.Task[None]) -> None:
        """Take note of the task that lives the life of a file, to be able to stop it."""
        self._tasks.add(task)
        is_host_full = self._parts.frontier.began_file(request)
        if self.is_full or is_host_full:  # from here on pages wait for files, so files must not wait for pages
            self.sums.hurry("" if self.is_full else request.host)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._parts.wake()

    def stop(self) -> None:
        """Stop all files; what was received is kept for the next run."""
        for task in self._tasks:
            task.cancel()

    def is_listed(self, request: Request) -> bool:
        """Tell whether somebody asked for this very file, so that no scope stands above it."""
        return self._parts.files.is_listed(request.url, request.redirects)

    async def fetch(self, request: Request) -> FileEnded | Redirected | None:
        """Return what a file came to; None when it stays pending.

        Raises StateError when this machine is in trouble, WorkersError when no process can be kept alive.
        """
        await self.sums.wait_for(request.url)
        async with self._place(request):
            result = await self._download(request, await self._wanted(request))
            if result.fault in (None, Fault.REDIRECT):
                self._places.delivered(request.host)
        self._received += result.fetched_bytes
        return self._end(request, result)

    @asynccontextmanager
    async def _place(self, request: Request) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the block runs."""
        turn = self._turns[request.id] = asyncio.get_running_loop().create_future()
        self._places.want(request.id, request.host)
        self._let_in()
        try:
            await turn
            yield
        finally:
            del self._turns[request.id]
            self._places.leave(request.id)
            self._let_in()

    def _let_in(self) -> None:
        """Let all those in who may have a place now."""
        while (ticket := self._places.grant()) is not None:
            turn = self._turns[ticket]
            if not turn.done():  # else it was cancelled, and gives its place back when it wakes
                turn.set_result(None)

    async def _download(self, request: Request, wanted: Wanted) -> FileResult:
        def note(progress: FileProgress) -> None:
            before = self._progress.get(request.id)
            self._progress[request.id] = progress
            if before is not None and progress.written > before.written:  # the first may tell of an earlier run's
                self._places.delivered(request.host)
                self._let_in()

        try:
            return await self._downloads.fetch(wanted, progress=note, on_redirect="report")
        except WorkersError:
            raise
        except Exception as exc:  # noqa: BLE001  # a bug met on one file costs that file; the exit code tells
            self.bugs += 1
            _log.error("unexpected error on %s", ascii(request.url), exc_info=exc)
            return _broken(wanted, f"{type(exc).__name__}: {exc}"[:300])
        finally:
            self._progress.pop(request.id, None)

    def _end(self, request: Request, result: FileResult) -> FileEnded | Redirected | None:
        """Say what the end of a download means for the crawl."""
        if result.fault is Fault.INTERRUPTED:
            return None
        if result.fault in _OURS:
            text = f"{request.url}: {result.detail}; make room or mend the disk, then run the same command again"
            raise StateError(text)
        if result.fault is Fault.REDIRECT:
            if not (request.url.startswith("https:") and result.final_url.startswith("http:")):
                return _redirected(result)
            result = result._replace(fault=Fault.REDIRECT_INSECURE)
        if result.fault is None:
            self._parts.frontier.delivered(request.host)
        is_missed = result.path is None and self.is_listed(request)
        if is_missed:  # what the exit code is about: not in the outputs alone
            _log.error("%s is listed and missing: %s: %s", ascii(request.url), result.fault, ascii(result.detail))
        line = orjson.dumps(file_record(request, result))
        size = result.size or 0 if result.path is not None else 0
        return FileEnded(request, line, result.status, is_missed, result.fetched_bytes, size)

    async def _wanted(self, request: Request) -> Wanted:
        """Put together what is known of a file: what was listed, and what crawled pages say."""
        names = (request.url, *request.redirects)
        parts = self._parts
        listed = next((parts.listed[name] for name in names if name in parts.listed), None)
        claims: list[Claim] = []
        if parts.options.page_digests:
            for digest, page in await parts.store.claims([parts.fingerprint(name) for name in names]):
                trust = max(trust_of(page, name) for name in names)  # whoever moved the file speaks for it too
                claims.append(Claim(parse_digest(digest), f"page {page}", trust))
        if listed is None:
            return Wanted(request.url, place_of(request.url), claims=tuple(claims))
        return Wanted(
            request.url,
            listed.path or place_of(listed.url),
            tuple(map(parse_digest, listed.known_digests())),
            listed.size,
            _mirrors(listed, request.url),
            tuple(claims),
        )


def _mirrors(listed: Download, url: str) -> tuple[str, ...]:
    return tuple(mirror for mirror in listed.mirrors if mirror != url)


def _redirected(result: FileResult) -> Redirected:
    """Return the redirect that a download met and did not follow."""
    target = canonicalize(result.final_url)
    assert target is not None, "the worker made it canonical"
    return Redirected(result.http_status or 302, target, (("location", target),), _now())


def _broken(wanted: Wanted, detail: str) -> FileResult:
    fault = Fault.INTERNAL
    return FileResult(
        wanted.url, wanted.url, None, "failed", fault, detail, None, {}, wanted.claims, None, 0, 0, 0, 0.0, 0, 0
    )  # fmt: skip


def file_record(request: Request, result: FileResult) -> dict[str, object]:
    """Return the record of a file: a line of files.jsonl as a dictionary, keys in their order."""
    return {
        "schema": SCHEMA_VERSION,
        "url": request.url,
        "final_url": result.final_url,
        "path": result.path,
        "status": result.status,
        "reason": None if result.fault is None else result.fault.value,
        "detail": result.detail,
        "size": result.size,
        "digests": result.digests,
        "verified_by": None if result.verified_by is None else _told(result.verified_by),
        "claims": [_told(claim) for claim in result.claims],
        "segments": result.segments,
        "retries": result.retries,
        "mirrors": result.mirrors,
        "seconds": round(result.seconds, 3),
        "fetched_bytes": result.fetched_bytes,
        "resumed_bytes": result.resumed_bytes,
        "ended_at": _now(),
        "depth": request.depth,
        "via": request.via,
        "redirects": request.redirects,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"  # without +00:00


def _told(claim: Claim) -> dict[str, str]:
    """Return a digest as records tell it: what, who says so, and how far that is believed."""
    return {"digest": str(claim.digest), "source": claim.source, "trust": claim.trust.name.lower()}
