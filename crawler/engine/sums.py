"""Checksum files on their way: a file waits for those of its folder, so that it can be held to what they say.

Only those that are known count, and nobody waits for ever: when pages cannot go on, files do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from crawler.download.proof.beside import is_sums
from crawler.frontier.host import ID, URL, Row
from crawler.frontier.request import Request
from pipelines.url import CanonicalUrl, host_of


class SumsWatch:
    """Knows the checksum files that are pending in memory. One event loop."""

    def __init__(self) -> None:
        self._folders: dict[int, str] = {}  # by the URL's id
        self._pending: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._hurried: set[str] = set()  # hosts; with "" all of them

    def saw(self, rows: Iterable[Row]) -> None:
        """Take note of URLs that became pending, or were read back."""
        for row in rows:
            if row[ID] not in self._folders and is_sums(row[URL]):
                folder = row[URL][: row[URL].rindex("/") + 1]
                self._folders[row[ID]] = folder
                self._pending[folder] += 1

    def settled(self, request: Request) -> None:
        """Note that a URL came to an end."""
        folder = self._folders.pop(request.id, None)
        if folder is not None:
            self._pending[folder] -= 1
            if not self._pending[folder]:
                del self._pending[folder]
            self._wake()

    def hurry(self, host_name: str = "") -> None:
        """Let the files of a host, or all, go on without what they wait for: it may never come."""
        if host_name not in self._hurried:
            self._hurried.add(host_name)
            self._wake()

    async def wait_for(self, url: str) -> None:
        """Return when no checksum file in the folder of a URL, or in one above it, is pending."""
        while self._has_pending(url) and self._hurried.isdisjoint(("", host_of(CanonicalUrl(url)))):
            await self._changed.wait()

    def _has_pending(self, url: str) -> bool:
        if not self._pending:
            return False
        path = url.partition("?")[0]
        ends = (at + 1 for at, char in enumerate(path) if char == "/" and at > 7)
        return any(path[:end] in self._pending for end in ends)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
