"""The Metalink that a server says describes a file (RFC 6249 4), asked for while the file comes.

It brings what the Link fields did not: the digest without which no mirror counts, or the mirrors themselves. Nothing
that goes wrong with it is the file's trouble.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from crawler.download.books import Books
from crawler.download.errand import bring
from crawler.download.proof.discover import Claim, trust_of
from crawler.download.proof.metalink import MetalinkError, MetalinkFile, parse
from crawler.download.retry import Patience, Sources
from pipelines.cpu import run_blocking

MAX_BYTES: Final = 1 << 20
"""Of one file's Metalink: some hundred mirrors, and digests of thirteen thousand pieces."""
MAX_SECONDS: Final = 15.0
"""A file that is there waits so long for its Metalink, counted from the first answer."""
MAX_RETRIES: Final = 1


async def describe(books: Books, url: str) -> None:
    """Ask for the Metalink at `url` and tell `books` what it says of their file. Raises WorkersError."""
    assert books.offers is not None
    options = replace(books.options, link_mirrors=False)
    terms = Patience(MAX_RETRIES, options.retry_delay, options.retry_delay_max, options.retry_after_max)
    own = Books(books.crew, books.gate, books.refusals, Sources([url], terms), options)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            said = await bring(own, MAX_BYTES)
        files = await run_blocking(parse, said.body, said.at)
    except (TimeoutError, MetalinkError):
        return
    file = _meant(files, books)
    if file is None:
        return
    wanted = books.sources.all[0].url
    books.claim([Claim(digest, f"described {url}", trust_of(said.at, wanted)) for digest in file.digests])
    books.offers.found(file.mirrors, said.at)
    books.take_offers()


def _meant(files: list[MetalinkFile], books: Books) -> MetalinkFile | None:
    """Return the file that has the name of ours, or is the only one; None if its size is another."""
    names = {unquote(url.partition("?")[0].rpartition("/")[2]) for url in (books.sources.all[0].url, books.final_url)}
    named = [file for file in files if file.name.rpartition("/")[2] in names] or files
    if len(named) != 1:
        return None
    is_other = None not in (named[0].size, books.size) and named[0].size != books.size
    return None if is_other else named[0]
