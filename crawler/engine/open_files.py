"""Opens the downloads of a crawl: from the configuration to a desk that fetches files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from crawler.config import Config
from crawler.download.disk.errors import DownloadError
from crawler.download.downloader import Downloader
from crawler.download.values import DownloadOptions
from crawler.engine.assemble import fetch_options
from crawler.engine.clock import Clock
from crawler.engine.files import FileDesk, FileParts
from crawler.engine.gate import FrontierGate
from crawler.errors import StateError


def download_options(config: Config) -> DownloadOptions:
    """Return how files are fetched. Retries and their delays are those of pages."""
    table = config.downloads
    return DownloadOptions(
        segments=table.segments,
        processes=table.processes,
        files=table.concurrency,
        per_host=config.politeness.per_host,
        retries=config.fetch.retries,
        retry_delay=config.fetch.retry_delay,
        retry_delay_max=config.fetch.retry_delay_max,
        retry_after_max=config.politeness.retry_after_max,
        stall_timeout=table.stall_timeout,
        max_bytes=table.max_bytes,
        require_digest=table.require_digest,
        spread_mirrors=False,  # a mirror's host was asked for no robots.txt: not while the place itself can be asked
        algorithms=table.digests,
        is_durable=config.output.durability == "full",
        rate_limit=table.limit_rate or None,
        uvloop=config.fetch.uvloop,
        fetch=fetch_options(config),
    )


@asynccontextmanager
async def open_files(config: Config, parts: FileParts, clock: Clock) -> AsyncIterator[FileDesk]:
    """Open the downloads, and close them with the block. Raises StateError when their folder cannot be used."""
    folder = config.downloads.folder or config.job.out / "files"
    gate = FrontierGate(parts.frontier, clock, parts.wake, retry_after_max=config.politeness.retry_after_max)
    async with AsyncExitStack() as stack:
        try:
            downloads = await stack.enter_async_context(Downloader(folder, download_options(config), gate=gate))
        except (DownloadError, OSError) as exc:
            text = f"{folder}: cannot be used as folder for files: {getattr(exc, 'strerror', None) or exc}"
            raise StateError(f"{text}; make room or mend the disk, or choose another downloads.folder") from exc
        yield FileDesk(parts, downloads, gate)
