"""Small files that a worker does alone, as the parent sees them: what the worker has to know, what came of it.

Not for a file that needs more than its bytes: checksum files beside it, mirrors that an answer names, a manifest of
its pieces.
"""

from __future__ import annotations

import os
from pathlib import Path

from crawler.download.books import Books
from crawler.download.checks import is_page_asked
from crawler.download.disk.receipt import Receipt
from crawler.download.report import result_from
from crawler.download.retry import Source
from crawler.download.values import DownloadOptions, FileResult, Wanted
from crawler.download.worker.wire import Ended, Solo


def may_be_solo(wanted: Wanted, options: DownloadOptions) -> bool:
    """Tell whether a worker can do this file alone, should it be small."""
    return not (options.look_beside or options.link_mirrors) and wanted.pieces is None


def solo_of(root: Path, path: str | None, wanted: Wanted, source: Source, books: Books, seconds: float) -> Solo:
    """Return what a worker has to know to do a small file alone, at `source`."""
    options = books.options
    return Solo(
        root=str(root),
        path=path,
        url=wanted.url,
        mirrors=wanted.mirrors,
        claims=tuple(
            (claim.digest.algorithm, claim.digest.value.hex(), claim.source, int(claim.trust))
            for claim in books.claims.values()
        ),
        head_trust=int(books.trust(source)),
        size=wanted.size,
        max_bytes=options.max_bytes,
        must_verify=options.require_digest or bool(wanted.digests),
        refuses_pages=source.at != source.url and not is_page_asked(wanted),
        is_durable=options.is_durable,
        retries=books.retries,
        received=books.received_bytes,
        seconds=seconds,
        holder=os.getpid(),
    )


def result_alone(ended: Ended, books: Books, seconds: float) -> FileResult:
    """Return the result of a file that a worker has done alone; what came off the wire is counted already."""
    return result_from(Receipt(**ended.receipt), seconds)._replace(
        detail="", segments=1, retries=books.retries, mirrors=1, fetched_bytes=books.received_bytes, resumed_bytes=0
    )
