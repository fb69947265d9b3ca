"""Many files at once: the public face of downloads.

async with Downloader(Path("data"), DownloadOptions(segments=8)) as downloader:
    result = await downloader.fetch(Wanted("https://example.org/set.tar", digests=(parse_digest("sha256:…"),)))
    async for result in downloader.fetch_all(wanted):
        ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from crawler.download.books import Books
from crawler.download.crew import Crew
from crawler.download.disk.layout import ROOM, prepare, tidy
from crawler.download.disk.receipt import Receipt
from crawler.download.fault import Fault
from crawler.download.gate import HostGate
from crawler.download.plan.refusals import Refusals
from crawler.download.proof.digests import Digest, parse_digest
from crawler.download.report import result_of
from crawler.download.retry import Patience, Sources
from crawler.download.start import new_pool
from crawler.download.transfer import Transfer
from crawler.download.values import DownloadOptions, FileResult, Gate, OnRedirect, ProgressSink, Wanted
from crawler.download.yard import Yard
from crawler.fetch.options import FetchOptions
from pipelines.cpu import run_blocking
from pipelines.pool.pool import WorkerPool
from pipelines.url import canonicalize


class Downloader:
    """Downloads files below one folder. Use as `async with`; owns its worker processes while the block runs.

    A pool that is given stays the caller's; its workers are taken as a whole, all of them, for as long as the block
    runs. Raises DownloadError and OSError on entering, when the folder cannot be used.
    """

    def __init__(
        self,
        root: Path,
        options: DownloadOptions | None = None,
        gate: Gate | None = None,
        pool: WorkerPool | None = None,
    ) -> None:
        """`root` is made if it is not there. `gate`: None for `options.per_host` requests to a host at once."""
        self._root = Path(root).absolute()
        self._options = options or DownloadOptions()
        self._refusals = Refusals(max(self._options.segments, self._options.per_host))
        chosen = self._options
        self._gate = gate or HostGate(chosen.per_host, self._refusals, chosen.retry_after_max)
        self._pool = pool
        self._stack = AsyncExitStack()
        self._yard: Yard | None = None
        self._files = asyncio.Semaphore(self._options.files)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            pool = self._pool
            if pool is None:
                pool = await stack.enter_async_context(new_pool(self._options))
            pool.start()
            preparing = asyncio.ensure_future(run_blocking(_prepared, self._root))
            crew = await stack.enter_async_context(
                Crew(pool, pool.workers, self._fetch_options(pool.workers), self._options)
            )
            if await preparing:
                stack.push_async_callback(run_blocking, tidy, self._root)
            self._yard = Yard(self._root, self._options, crew, self._gate, self._refusals)
            self._stack = stack.pop_all()
        return self

    def _fetch_options(self, workers: int) -> FetchOptions:
        options = self._options
        return replace(options.fetch, concurrency=max(options.segments, options.files * options.per_host // workers))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def fetch(
        self, wanted: Wanted, progress: ProgressSink | None = None, *, on_redirect: OnRedirect = "follow"
    ) -> FileResult:
        """Fetch one file and return what became of it; trouble with the file is in the result, never raised.

        `progress` is called now and then in this event loop. `on_redirect`: "report" for a result with Fault.REDIRECT
        and the target as `final_url`. When cancelled, what has landed is kept for a resume. Raises WorkersError when no
        worker process can be kept alive.
        """
        assert self._yard is not None, "used inside `async with`"
        canonical = _canonical(wanted)
        if canonical is None:
            return self._refused(wanted)
        async with self._files:
            return await Transfer(canonical, self._yard, progress=progress, on_redirect=on_redirect).run()

    async def repair(self, receipt: Receipt, spans: Sequence[tuple[int, int]]) -> FileResult:
        """Fetch only `spans` of a damaged file again and replace it, if the result has the receipt's digests.

        A file that is missing is fetched as a whole. What cannot be repaired stays as it is; the result tells why.
        """
        assert self._yard is not None, "used inside `async with`"
        digests = tuple(Digest(name, bytes.fromhex(value)) for name, value in receipt.digests.items())
        mirrors = tuple(dict.fromkeys((*receipt.mirrors, *receipt.places)))
        wanted = Wanted(receipt.url, receipt.path, digests, receipt.size, mirrors)
        async with self._files:
            return await Transfer(wanted, self._yard).repair(receipt, spans)

    async def fetch_all(
        self, wanted: Iterable[Wanted], progress: ProgressSink | None = None
    ) -> AsyncIterator[FileResult]:
        """Fetch files and yield each result as its file finishes. `wanted` is read as there is room for more."""
        rest = iter(wanted)
        tasks: set[asyncio.Task[FileResult]] = set()
        ended: asyncio.Queue[asyncio.Task[FileResult]] = asyncio.Queue()  # to wait for all costs time for each of them
        loop = asyncio.get_running_loop()
        try:
            while True:
                while len(tasks) < self._options.files and (one := next(rest, None)) is not None:
                    task = loop.create_task(self.fetch(one, progress))
                    tasks.add(task)
                    task.add_done_callback(ended.put_nowait)
                if not tasks:
                    return
                task = await ended.get()
                tasks.discard(task)
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _refused(self, wanted: Wanted) -> FileResult:
        assert self._yard is not None
        terms = Patience(0, 0.0, 0.0, 0.0)
        books = Books(self._yard.crew, self._gate, self._refusals, Sources([wanted.url], terms), self._options)
        return result_of(wanted, books, 0.0, "failed", fault=Fault.PROTOCOL, detail="no http(s) URL")


def _prepared(root: Path) -> bool:
    """Make the folders of downloads; return whether there were none before."""
    is_new = not (root / ROOM).exists()
    prepare(root)
    return is_new


def _canonical(wanted: Wanted) -> Wanted | None:
    """Return what is wanted with canonical URLs; None when the first is none. Mirrors that are none are left out."""
    url = canonicalize(wanted.url)
    if url is None:
        return None
    mirrors = (canonicalize(mirror) for mirror in wanted.mirrors)
    return wanted._replace(url=url, mirrors=tuple(mirror for mirror in mirrors if mirror is not None))


async def download(
    url: str,
    path: str | Path,
    *,
    digest: str | Digest | None = None,
    segments: int = 8,
    options: DownloadOptions | None = None,
    progress: ProgressSink | None = None,
) -> FileResult:
    """Fetch one file to `path` and return what became of it.

    `digest`: as `sha256:HEX` or in any spelling that `parse_digest` reads; without one, what the server announces is
    compared. The file is there only when the status is `verified` or `unverified`. Raises DigestError for a digest that
    is none, DownloadError and OSError when the folder of `path` cannot be used.
    """
    target = Path(path).absolute()  # noqa: ASYNC240 - asks for the working directory, never for a disk
    chosen = replace(options or DownloadOptions(), segments=segments)
    wanted = Wanted(
        url, target.name, (digest if isinstance(digest, Digest) else parse_digest(digest),) if digest else ()
    )
    async with Downloader(target.parent, chosen) as downloader:
        return await downloader.fetch(wanted, progress)
