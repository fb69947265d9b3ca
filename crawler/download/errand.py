"""A small file that a download needs for itself: a checksum file, a Metalink.

It passes the gate and goes through the workers like any file, and ends in memory. What cannot be had is no file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from crawler.download.books import Books
from crawler.download.fault import Fault
from crawler.download.opening import Opened, Opening
from crawler.download.quiet import uninterrupted
from crawler.download.retry import GivenUp
from crawler.download.worker.wire import Cut
from pipelines.cpu import run_blocking

_SILENT: Final = frozenset({
    Fault.DNS, Fault.CONNECT, Fault.TLS, Fault.TIMEOUT, Fault.TOO_SLOW, Fault.DISCONNECTED, Fault.HTTP_5XX,
    Fault.RATE_LIMITED, Fault.WORKER_LOST,
})  # fmt: skip
"""What another request to the same server would meet as well."""


class Said(NamedTuple):
    """What came of one errand."""

    body: bytes = b""
    """Empty when there is no such file, or none that can be used."""
    at: str = ""
    """Where redirects have led to."""
    is_silent: bool = False
    """Whether the server had no answer at all: neither the file nor the news that there is none."""


async def bring(books: Books, limit: int) -> Said:
    """Fetch the file of `books`, of at most `limit` bytes; no HTML page counts. Raises WorkersError."""
    opening = Opening(books, is_reporting=False, is_curious=False)
    try:
        while True:
            opened = await opening.open("", (), is_single=True)
            try:
                if not _is_likely(opened, limit):
                    return Said()
                path = books.crew.scratch()
                opened.running.send(Cut(opened.running.id, limit + 1))  # its length may be nobody's promise
                opened.running.go(str(path), is_small=True)
                ended = await opened.running.wait()
            finally:
                if not opened.running.ended.done():
                    await uninterrupted(opened.running.stop())
            if not ended.fault:
                body = await run_blocking(_taken, path)
                return Said(b"" if len(body) > limit else body, opened.source.at)
            opening.failed(opened.source, opened.running.url, ended)
    except GivenUp as trouble:
        return Said(is_silent=trouble.last in _SILENT)
    except OSError:
        return Said()  # the disk of the temporary folder; the file's own disk speaks for itself


def _is_likely(opened: Opened, limit: int) -> bool:
    """Tell from the head of an answer whether its body may be what is wanted: many servers have a page for all."""
    kind = next((value for name, value in opened.head.fields if name == "content-type"), "").strip().lower()
    is_page = kind.startswith(("text/html", "application/xhtml"))
    return opened.head.status == 200 and not is_page and (opened.total or 0) <= limit


def _taken(path: Path) -> bytes:
    """Read a file of ours and remove it."""
    body = path.read_bytes()
    path.unlink()
    return body
