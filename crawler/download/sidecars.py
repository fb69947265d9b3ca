"""Checksum files that nobody pointed to: asked for beside a file, by the names that such files usually have.

A guess costs a request, so the list is short, whoever names the file ends it, and what stands for a whole folder is
asked for once, also when it is not there. Every request passes the gate and goes through the workers like those of a
file. What cannot be had is no claim: the file is then what it would have been without anybody looking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import unquote
from weakref import WeakValueDictionary

from crawler.download.books import Books
from crawler.download.crew import Crew
from crawler.download.errand import Said, bring
from crawler.download.plan.refusals import Refusals
from crawler.download.proof import sums
from crawler.download.proof.beside import is_sums
from crawler.download.proof.digests import Digest, is_available
from crawler.download.proof.discover import Claim, Trust, sidecar_url, trust_of
from crawler.download.retry import Patience, Sources
from crawler.download.values import DownloadOptions, Gate, Wanted
from pipelines.cpu import run_blocking

GUESSES: Final = ("SHA256SUMS", "SHA512SUMS", "sha256sum.txt", ".sha256", ".sha512", "MD5SUMS", ".md5")
"""As `sidecar_url` takes them, in the order in which they are asked for.

MD5 last: it counts where there is nothing better. SHA-256 before SHA-512: both are beyond doubt, and it is what most
publish. Folders before files: one request then does for all files of a folder. Where the names come from: Debian
(https://www.debian.org/CD/verify) and Ubuntu have SHA256SUMS and the like, Linux Mint sha256sum.txt; one of NAME.sha256
and NAME.sha512 is what Apache's projects must have (https://infra.apache.org/release-distribution#sigs-and-sums), and
Maven repositories have them, NAME.md5 included (https://maven.apache.org/resolver/about-checksums.html).
"""

MAX_LIST_BYTES: Final = 4 << 20
"""Of a folder's list: some 40,000 names. A longer one is not read at all, since a part of a list says half."""
MAX_OWN_BYTES: Final = 64 << 10
"""Of one file's own: a digest, a name, perhaps a signature around them."""
MAX_NAMES: Final = 200_000
"""Of all lists in memory; the list that was asked for first goes first, and is asked for again if it is needed."""
MAX_RETRIES: Final = 2
"""A file waits for its sidecars, so there is less patience for them than for the file."""


class Listed(NamedTuple):
    """What a list says of the files of its folder."""

    said: Said
    digests: Mapping[str, list[Digest]]
    """By the names of the files."""

    @property
    def weight(self) -> int:
        """What it takes to remember this, in names."""
        return 1 + len(self.digests)


class Sidecars:
    """Looks for checksum files beside the files of one downloader. One event loop; owns what it remembers of lists."""

    def __init__(self, crew: Crew, gate: Gate, refusals: Refusals, options: DownloadOptions) -> None:
        self._crew = crew
        self._gate = gate
        self._refusals = refusals
        self._options = replace(options, link_mirrors=False)  # nothing proves a checksum file but who sends it
        retries = min(options.retries, MAX_RETRIES)
        self._terms = Patience(retries, options.retry_delay, options.retry_delay_max, options.retry_after_max)
        self._lists: dict[str, Listed] = {}
        self._names = 0
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def claims(self, wanted: Wanted) -> list[Claim]:
        """Return what the first checksum file that names a file says of it; nothing where there is none.

        Nothing is asked for a file whose digest the caller knows, or that is a checksum file itself. Each claim names
        the URL that was asked, and has the trust of the place that answered. Raises WorkersError.
        """
        is_known = wanted.digests or any(claim.trust is Trust.CONFIGURED for claim in wanted.claims)
        if is_known or is_sums(wanted.url):
            return []
        name = unquote(wanted.url.partition("?")[0].rpartition("/")[2])
        for guess in GUESSES:
            url = sidecar_url(wanted.url, guess)
            if url is None:
                break
            if guess.startswith("."):
                said = await self._ask(url, MAX_OWN_BYTES)
                found = sums.find(said.body, name, sums.kind_of(url))
            else:
                said, digests = await self._listed(url)
                found = digests.get(name, [])
            usable = [digest for digest in found if is_available(digest.algorithm)]
            if usable:
                trust = trust_of(said.at, wanted.url)
                return [Claim(digest, f"sidecar {url}", trust) for digest in usable]
            if said.is_silent:
                break
        return []

    async def _listed(self, url: str) -> Listed:
        """Return what the list of a folder says, asked for once."""
        turn = self._turns.setdefault(url, asyncio.Lock())
        async with turn:  # the first one asks; should it be cancelled, the next one does
            listed = self._lists.get(url)
            if listed is None:
                said = await self._ask(url, MAX_LIST_BYTES)
                listed = await run_blocking(_read, said, url)
                self._remember(url, listed)
        return listed

    def _remember(self, url: str, listed: Listed) -> None:
        self._lists[url] = listed
        self._names += listed.weight
        while self._names > MAX_NAMES:
            self._names -= self._lists.pop(next(iter(self._lists))).weight

    async def _ask(self, url: str, limit: int) -> Said:
        """Fetch one checksum file, of at most `limit` bytes. Raises WorkersError."""
        books = Books(self._crew, self._gate, self._refusals, Sources([url], self._terms), self._options)
        said = await bring(books, limit)
        is_page = said.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")  # whatever its head called it
        return said._replace(body=b"", at="") if is_page else said


def _read(said: Said, url: str) -> Listed:
    return Listed(said._replace(body=b""), sums.of_folder(said.body, sums.kind_of(url)))
