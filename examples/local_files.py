"""HTML files to records, on all cores, without any crawl.

    python examples/local_files.py FOLDER > records.jsonl

The same pipeline as in a crawl: encodings, titles, text, links, digests. A file that hangs the parser costs itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import PoolError
from pipelines.page import Page, Processed
from pipelines.pipeline import PipelineSpec, process_batch
from pipelines.pool.pool import WorkerPool

BATCH = 16  # files to a trip: a trip costs about the same for one and for sixteen
SECONDS = 30.0  # for a batch


def pages(folder: Path) -> Iterator[Page]:
    """Yield each HTML file below `folder` as the page it could have been."""
    for number, file in enumerate(sorted(folder.rglob("*.html"))):
        changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        yield Page(
            id=number,
            url=file.resolve().as_uri(),
            status=200,
            headers=(("content-type", "text/html"),),
            body=file.read_bytes(),
            fetched_at=changed.isoformat(timespec="seconds"),
        )


def records(folder: Path) -> Iterator[bytes]:
    """Yield one line of JSON for each file, in order; what fails is told on stderr."""
    spec = PipelineSpec().dumps()
    todo = list(pages(folder))
    with WorkerPool(preload=["pipelines.pipeline"]) as pool:
        batches = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]
        futures: list[Future[list[Processed]]] = [
            pool.submit(process_batch, spec, batch, deadline=SECONDS) for batch in batches
        ]
        for batch, future in zip(batches, futures, strict=True):
            try:
                results = future.result()
            except PoolError as error:
                print(f"{batch[0].url} and {len(batch) - 1} more: {error}", file=sys.stderr)
                continue
            for page, result in zip(batch, results, strict=True):
                if result.error is None:
                    yield result.line
                else:
                    print(f"{page.url}: {result.error}: {result.detail}", file=sys.stderr)


if __name__ == "__main__":
    for line in records(Path(sys.argv[1])):
        sys.stdout.buffer.write(line + b"\n")
