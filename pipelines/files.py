"""Local files as pages, as a server with plain headers would have sent them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from os import PathLike

from pipelines.page import Page

_TYPES = {
    ".css": "text/css",
    ".htm": "text/html",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".xhtml": "application/xhtml+xml",
    ".xml": "application/xml",
}
"""A file of any other name gets no type, so that the decode stage looks at its first bytes."""

_CODINGS = {".br": "br", ".gz": "gzip", ".zst": "zstd"}


def page_from_file(path: str | PathLike[str], *, url: str | None = None, id: int = 0) -> Page:  # noqa: A002 - Page's
    """Return a file as the page it could have been; `page.html.gz` as one with a content coding.

    `url`: where it would be on the web, so that its links resolve to there; None for the file's own. The time is that
    of its last change. Raises OSError.
    """
    from pathlib import Path  # 8 ms of a worker's start that a crawl need not pay

    file = Path(path)
    body = file.read_bytes()
    changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    headers = [("content-length", str(len(body)))]
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and (coding := _CODINGS.get(suffixes[-1])):
        headers.append(("content-encoding", coding))
        suffixes.pop()
    if suffixes and (mime := _TYPES.get(suffixes[-1])):
        headers.append(("content-type", mime))
    return Page(
        id=id,
        url=file.resolve().as_uri() if url is None else url,
        status=200,
        headers=tuple(headers),
        body=body,
        fetched_at=changed.isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def pages_from_files(paths: Iterable[str | PathLike[str]]) -> Iterator[Page]:
    """Yield each file as a page, read when its turn comes; `id` counts from 0. Raises OSError at the first bad one."""
    for number, path in enumerate(paths):
        yield page_from_file(path, id=number)
